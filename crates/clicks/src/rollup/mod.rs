//! Clicks added up: per scope, whether it was a program, and hour or day; and in each of those, per
//! value of each dimension.

mod batch;
mod counts;
mod sums;

pub(crate) use batch::{Grain, Rollup, RollupBatch, ScopeName};
pub(crate) use counts::{Counts, sections};
pub(crate) use sums::{DamagedRollup, Sums};

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
/// Quarters of an hour, which each hour counts apart.
pub(crate) const QUARTERS: usize = 4;

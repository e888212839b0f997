//! What a client is told of the limits it has met.

use std::time::Duration;

pub(crate) use tollgate_limit::headers::{QUOTA_EXCEEDED, seconds, told};

/// Milliseconds, rounded up as [`seconds`] are.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

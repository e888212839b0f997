//! What instances count together: see [`SharedTotals`].

use std::time::Duration;

use async_trait::async_trait;

use crate::store::{LimitKey, StoreError};

/// What an instance admitted, and asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose budget.
    pub key: LimitKey,
    /// How long its windows are: whole milliseconds. They begin at multiples of it since 1970.
    pub window: Duration,
    /// What was admitted since the last report; 0 only asks.
    pub units: u64,
    /// In which window; none for the one of the moment.
    pub number: Option<u64>,
}

/// What all instances together admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// In which window, counted since 1970: the one of the moment.
    pub number: u64,
    /// So much, with the units of the report if they count.
    pub units: u64,
    /// How long until the window is over.
    pub left: Duration,
    /// Whether the units of the report count in it: they do not if they are of another window.
    pub counted: bool,
}

/// Counts what instances admit, by one clock.
#[async_trait]
pub trait SharedTotals: Send + Sync + 'static {
    /// Counts the units of each report in its window, if that is the one of the moment. One answer for
    /// each, in their order.
    ///
    /// Units without an answer are reported again: they may count twice.
    async fn report(&self, reports: &[Report]) -> Vec<Result<Total, StoreError>>;
}

//! How far the counting is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tollgate_clock::UnixMillis;

/// Stands for no click.
const NONE: i64 = i64::MAX;

/// What a [`Consumer`](super::Consumer) has done since it started, and what it has in hand.
#[derive(Debug)]
pub struct Progress {
    clicks: AtomicU64,
    batches: AtomicU64,
    adjusted: AtomicU64,
    source_failures: AtomicU64,
    store_failures: AtomicU64,
    /// When the oldest click was captured that is read and not counted.
    oldest: AtomicI64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            clicks: AtomicU64::default(),
            batches: AtomicU64::default(),
            adjusted: AtomicU64::default(),
            source_failures: AtomicU64::default(),
            store_failures: AtomicU64::default(),
            oldest: AtomicI64::new(NONE),
        }
    }
}

impl Progress {
    /// Clicks counted.
    #[must_use]
    pub fn clicks(&self) -> u64 {
        self.clicks.load(Relaxed)
    }

    /// Commits that counted them.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Clicks whose time could not be, and was put to that of counting.
    #[must_use]
    pub fn adjusted(&self) -> u64 {
        self.adjusted.load(Relaxed)
    }

    /// Times the source failed.
    #[must_use]
    pub fn source_failures(&self) -> u64 {
        self.source_failures.load(Relaxed)
    }

    /// Times the store failed.
    #[must_use]
    pub fn store_failures(&self) -> u64 {
        self.store_failures.load(Relaxed)
    }

    /// The lag: how old the oldest click is that waits to be counted. Zero if none does.
    #[must_use]
    pub fn lag(&self, now: UnixMillis) -> Duration {
        match self.oldest.load(Relaxed) {
            NONE => Duration::ZERO,
            oldest => now.since(UnixMillis::from_millis(oldest)),
        }
    }

    pub(super) fn waiting(&self, since: Option<UnixMillis>) {
        let since = since.map_or(NONE, |since| since.as_millis().min(NONE - 1));
        self.oldest.store(since, Relaxed);
    }

    pub(super) fn counted(&self, clicks: u64, adjusted: u64) {
        self.clicks.fetch_add(clicks, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.adjusted.fetch_add(adjusted, Relaxed);
    }

    pub(super) fn source_failed(&self) {
        self.source_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn store_failed(&self) {
        self.store_failures.fetch_add(1, Relaxed);
    }
}

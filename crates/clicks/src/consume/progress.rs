//! How far the counting is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::UnixMillis;

/// What a [`Consumer`](super::Consumer) has done since it started, and what it has in hand.
#[derive(Debug, Default)]
pub struct Progress {
    clicks: AtomicU64,
    batches: AtomicU64,
    adjusted: AtomicU64,
    source_failures: AtomicU64,
    store_failures: AtomicU64,
    /// When the oldest click of each batch was captured that is read and not counted.
    waiting: Mutex<VecDeque<UnixMillis>>,
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
        let oldest = self.waiting.lock().front().copied();
        oldest.map_or(Duration::ZERO, |oldest| now.since(oldest))
    }

    /// A batch was read, whose oldest click is this one.
    pub(super) fn read(&self, oldest: Option<UnixMillis>) {
        // Without clicks there is only a position to note, which nobody waits for.
        let oldest = oldest.unwrap_or(UnixMillis::from_millis(i64::MAX));
        self.waiting.lock().push_back(oldest);
    }

    /// The first batch that was read is counted.
    pub(super) fn done(&self) {
        self.waiting.lock().pop_front();
    }

    /// What was read is read again.
    pub(super) fn begin(&self) {
        self.waiting.lock().clear();
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

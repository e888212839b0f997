//! What the cache counts for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CacheStats;

/// A number that grows, on a cache line of its own: threads that count hits shall not slow down
/// those that count something else.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) loads: Counter,
    pub(super) coalesced: Counter,
    pub(super) early_refreshes: Counter,
    pub(super) stale: Counter,
    pub(super) load_errors: Counter,
}

impl Counters {
    /// All counts; entries and bytes are not counted here.
    pub(super) fn read(&self) -> CacheStats {
        CacheStats {
            entries: 0,
            bytes: 0,
            hits: self.hits.read(),
            misses: self.misses.read(),
            loads: self.loads.read(),
            coalesced: self.coalesced.read(),
            early_refreshes: self.early_refreshes.read(),
            stale: self.stale.read(),
            load_errors: self.load_errors.read(),
        }
    }
}

//! The first cache tier: in this process, in front of the store.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::Clock;

use crate::store::{LinkStore, StoreError};
use crate::{Code, Domain, Link, LinkKey};

/// Bounds and times of the cache; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// The most bytes all entries may take, bookkeeping included.
    pub max_bytes: u64,
    /// How long a link is fresh. Entries get 90 to 100 % of it, so that they do not expire together.
    pub ttl: Duration,
    /// How long the absence of a link is believed.
    pub negative_ttl: Duration,
    /// How long past its freshness a link may be served while the store is away.
    pub stale_if_error: Duration,
    /// XFetch's beta: above 1 refreshes earlier, 0 never early.
    pub early_refresh: f64,
    /// Seeds the jitter and the early refreshes.
    pub seed: u64,
}

/// Which tier answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process's cache, fresh.
    Memory,
    /// This process's cache, past its freshness, because the store is away.
    Stale,
    /// The store.
    Store,
}

/// An answer of the cache.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The link; `None` if there is none of this name.
    pub link: Option<Arc<Link>>,
    /// Who knew.
    pub tier: Tier,
}

/// Counters since start, for metrics. All but the first two only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries now.
    pub entries: u64,
    /// Bytes now, as the bound counts them.
    pub bytes: u64,
    /// Lookups answered from memory.
    pub hits: u64,
    /// Lookups that had to ask the store or wait for somebody who asks.
    pub misses: u64,
    /// Store reads, early refreshes included.
    pub loads: u64,
    /// Lookups that waited for another's store read.
    pub coalesced: u64,
    /// Refreshes before the end of freshness.
    pub early_refreshes: u64,
    /// Answers past freshness because the store failed.
    pub stale: u64,
    /// Store reads that failed.
    pub load_errors: u64,
}

/// Cache-aside with W-TinyLFU admission, single flight, negative entries, probabilistic early
/// refresh and stale-if-error.
pub struct LinkCache {}

impl LinkCache {
    /// SKELETON
    #[must_use]
    pub fn new(
        options: CacheOptions,
        store: Arc<dyn LinkStore>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        todo!()
    }

    /// The answer if it is fresh in memory; never waits. May start a refresh in the background, so
    /// it must be called inside a Tokio runtime.
    #[must_use]
    pub fn peek(self: &Arc<Self>, domain: &Domain, code: &Code) -> Option<Lookup> {
        todo!()
    }

    /// The answer from memory or the store.
    ///
    /// # Errors
    /// When the store fails and nothing servable is cached.
    pub async fn get(self: &Arc<Self>, key: LinkKey) -> Result<Lookup, StoreError> {
        todo!()
    }

    /// Forgets a link, or its absence; a store read under way will not bring the old state back.
    pub fn invalidate(&self, key: &LinkKey) {
        todo!()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        todo!()
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        todo!()
    }
}

//! A cache of links that instances share in a Redis.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clock::SystemClock;
use tollgate_config::Config;
use tollgate_links::store::LinkStore;
use tollgate_links::{
    BreakerState, LinkCache, LinkSource, SharedCache, SharedCacheOptions, SharedCacheStats,
    WriteThrough,
};
use tollgate_server::metrics::{Counter, Gauge, Metrics};

/// The cache, if there is one.
pub(super) struct SharedLinks {
    cache: Option<Arc<SharedCache>>,
}

impl SharedLinks {
    /// Tries to connect; a Redis that is away may come later.
    pub(super) async fn connect(
        config: &Config,
        store: &Arc<dyn LinkStore>,
    ) -> anyhow::Result<Self> {
        let Some(url) = &config.links.cache else {
            return Ok(Self { cache: None });
        };
        let shared = &config.shared_cache;
        let seed = getrandom::u64().context("the system gives no randomness")?;
        let options = SharedCacheOptions {
            prefix: shared.prefix.clone(),
            ttl: shared.ttl,
            negative_ttl: shared.negative_ttl,
            deadline: shared.deadline,
            early_refresh: config.memory_cache.early_refresh,
            ..SharedCacheOptions::with_seed(seed)
        };
        let clock = Arc::new(SystemClock::new());
        let cache = SharedCache::connect(url.expose(), options, Arc::clone(store), clock).await;
        Ok(Self {
            cache: Some(cache.context("links.cache")?),
        })
    }

    /// What the cache in memory reads, if that is not the store.
    pub(super) fn source(&self) -> Option<Arc<dyn LinkSource>> {
        Some(Arc::clone(self.cache.as_ref()?) as _)
    }

    /// The store, which tells the cache of what is written to it.
    pub(super) fn told_of(&self, store: Arc<dyn LinkStore>) -> Arc<dyn LinkStore> {
        match &self.cache {
            Some(cache) => Arc::new(WriteThrough::new(Arc::clone(cache))),
            None => store,
        }
    }

    /// Hears what other instances edit, until `end`.
    pub(super) fn tend(
        self,
        memory: &Arc<LinkCache>,
        tasks: &TaskTracker,
        end: &CancellationToken,
    ) {
        if let Some(cache) = self.cache {
            let (memory, end) = (Arc::clone(memory), end.clone());
            tasks.spawn(async move { cache.run(&memory, end.cancelled()).await });
        }
    }

    /// Shows whether Redis is asked, and what it answers.
    pub(super) fn register(&self, metrics: &Metrics) {
        let Some(cache) = &self.cache else {
            return;
        };
        let cache = Arc::clone(cache);
        let stats = move || cache.stats();
        metrics.register_gauges(GAUGES, stats.clone());
        metrics.register_counters(COUNTERS, stats);
    }
}

const GAUGES: [Gauge<SharedCacheStats>; 3] = [
    (
        "tollgate_shared_cache_breaker_open",
        "Whether links are read without the shared cache: 1 while it is away",
        |stats| u64::from(stats.breaker.state != BreakerState::Closed),
    ),
    (
        "tollgate_shared_cache_listening",
        "Whether other instances tell of edits: 0 while they are only looked for in the store",
        |stats| u64::from(stats.listening),
    ),
    (
        "tollgate_shared_cache_owed",
        "Edited links that the shared cache could not be told of yet",
        |stats| stats.owed,
    ),
];

const COUNTERS: [Counter<SharedCacheStats>; 16] = [
    (
        "tollgate_shared_cache_hits",
        "Reads that the shared cache answered",
        |stats| stats.hits,
    ),
    (
        "tollgate_shared_cache_misses",
        "Reads that it did not answer, so that this instance read the store for all",
        |stats| stats.misses,
    ),
    (
        "tollgate_shared_cache_waits",
        "Reads that waited for another instance to read the store",
        |stats| stats.waits,
    ),
    (
        "tollgate_shared_cache_waits_in_vain",
        "Reads that waited too long for another instance",
        |stats| stats.waits_in_vain,
    ),
    (
        "tollgate_shared_cache_early_refreshes",
        "Entries of the shared cache read again before their end",
        |stats| stats.early_refreshes,
    ),
    (
        "tollgate_shared_cache_store_reads",
        "Reads of the store",
        |stats| stats.store_reads,
    ),
    (
        "tollgate_shared_cache_writes",
        "Links, or their absence, written to the shared cache",
        |stats| stats.writes,
    ),
    (
        "tollgate_shared_cache_writes_refused",
        "Links not written, because they were edited meanwhile",
        |stats| stats.writes_refused,
    ),
    (
        "tollgate_shared_cache_forgotten",
        "Edited links removed from the shared cache",
        |stats| stats.forgotten,
    ),
    (
        "tollgate_shared_cache_news",
        "Links that other instances told of",
        |stats| stats.news,
    ),
    (
        "tollgate_shared_cache_unreadable",
        "Entries that another version of the program has written, or nobody",
        |stats| stats.unreadable,
    ),
    (
        "tollgate_shared_cache_breaker_opened",
        "Times the shared cache was found to be away",
        |stats| stats.breaker.opened,
    ),
    (
        "tollgate_shared_cache_breaker_probes",
        "Calls that tried whether the shared cache is back",
        |stats| stats.breaker.probes,
    ),
    (
        "tollgate_shared_cache_breaker_refused",
        "Calls not made, because the shared cache was away",
        |stats| stats.breaker.refused,
    ),
    (
        "tollgate_shared_cache_breaker_failures",
        "Calls that the shared cache did not take, or not in time",
        |stats| stats.breaker.unavailable,
    ),
    (
        "tollgate_shared_cache_breaker_errors",
        "Calls that failed though the shared cache answered",
        |stats| stats.breaker.failed,
    ),
];

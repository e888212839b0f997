use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tollgate_links::CacheStats;

use super::reading::{counter, gauge};

/// Shows what the link cache counts for itself.
pub(super) struct CacheCollector<F> {
    stats: F,
}

impl<F> CacheCollector<F> {
    pub(super) fn new(stats: F) -> Self {
        Self { stats }
    }
}

impl<F: Fn() -> CacheStats + Send + Sync + 'static> Collector for CacheCollector<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = (self.stats)();
        let gauges = [
            ("entries", "Entries in the link cache", stats.entries),
            ("bytes", "Bytes the link cache holds", stats.bytes),
        ];
        for (name, help, value) in gauges {
            gauge(
                &mut encoder,
                &format!("tollgate_cache_{name}"),
                help,
                value as f64,
            )?;
        }
        let counters = [
            ("hits", "Lookups answered from memory", stats.hits),
            ("misses", "Lookups not answered from memory", stats.misses),
            (
                "loads",
                "Reads of the store, or of the cache that instances share, early refreshes included",
                stats.loads,
            ),
            (
                "coalesced",
                "Lookups that waited for the read of another",
                stats.coalesced,
            ),
            (
                "early_refreshes",
                "Refreshes before the end of freshness",
                stats.early_refreshes,
            ),
            (
                "stale",
                "Answers past freshness because the store failed",
                stats.stale,
            ),
            ("load_errors", "Reads that failed", stats.load_errors),
        ];
        for (name, help, value) in counters {
            counter(
                &mut encoder,
                &format!("tollgate_cache_{name}"),
                help,
                value as f64,
            )?;
        }
        Ok(())
    }
}

impl<F> fmt::Debug for CacheCollector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheCollector")
    }
}

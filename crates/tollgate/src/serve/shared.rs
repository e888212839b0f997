//! Limits that instances share in a Redis.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clock::SystemClock;
use tollgate_config::Limits;
use tollgate_limit::policy::PolicySet;
use tollgate_limit::store::{
    BreakerState, BreakerStats, GuardOptions, Guarded, LimitStore, RedisOptions, RedisStore,
};
use tollgate_server::metrics::Metrics;

/// Which of the counts.
type Read = fn(BreakerStats) -> u64;

/// A Redis behind a circuit breaker.
pub(super) struct Shared(Arc<Guarded<RedisStore>>);

impl Shared {
    /// Tries to connect; a Redis that is away may come later.
    pub(super) async fn connect(url: &str, limits: &Limits) -> anyhow::Result<Self> {
        let options = RedisOptions {
            prefix: limits.prefix.clone(),
            deadline: limits.deadline,
            ..RedisOptions::default()
        };
        let store = RedisStore::connect(url, options)
            .await
            .context("limits.store")?;
        let clock = Arc::new(SystemClock::new());
        let guarded = Guarded::new(store, GuardOptions::default(), clock);
        Ok(Self(Arc::new(guarded)))
    }

    pub(super) fn store(&self) -> Arc<dyn LimitStore> {
        self.0.clone()
    }

    /// Shows whether Redis is asked, and how often it was not there.
    pub(super) fn register(&self, metrics: &Metrics) {
        let guarded = Arc::clone(&self.0);
        metrics.register_gauge(
            "tollgate_limits_breaker_open",
            "Whether decisions do without the shared store: 1 while it is away",
            move || f64::from(u8::from(guarded.stats().state != BreakerState::Closed)),
        );
        let counters: [(_, _, Read); 5] = [
            (
                "tollgate_limits_breaker_opened",
                "Times the shared store was found to be away",
                |stats| stats.opened,
            ),
            (
                "tollgate_limits_breaker_probes",
                "Decisions that tried whether the shared store is back",
                |stats| stats.probes,
            ),
            (
                "tollgate_limits_breaker_refused",
                "Decisions that did without the shared store at once, because it was away",
                |stats| stats.refused,
            ),
            (
                "tollgate_limits_breaker_failures",
                "Decisions that the shared store did not take, or not in time",
                |stats| stats.unavailable,
            ),
            (
                "tollgate_limits_breaker_errors",
                "Decisions that failed though the shared store answered",
                |stats| stats.failed,
            ),
        ];
        for (name, help, read) in counters {
            let guarded = Arc::clone(&self.0);
            let read = move || read(guarded.stats()) as f64;
            metrics.register_counter(name, help, read);
        }
    }
}

/// What is wrong with the first policy that cannot be counted in a Redis, if there is one.
pub(super) fn uncountable(policies: &PolicySet) -> Option<String> {
    policies.rules().iter().find_map(|rule| {
        let error = RedisStore::takes(&rule.limiter()?).err()?;
        Some(format!("policy {} of {}: {error}", rule.name, rule.domain))
    })
}

//! Limits that instances share in a Redis.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clock::SystemClock;
use tollgate_config::Limits;
use tollgate_limit::policy::PolicySet;
use tollgate_limit::store::{
    BreakerOptions, BreakerState, BreakerStats, Guarded, Instances, LeaseOptions, LeaseStats,
    Leased, LimitStore, RedisOptions, RedisStore,
};
use tollgate_server::metrics::{Counter, Metrics};

/// A Redis behind a circuit breaker, with what is leased from it, and who shares it.
pub(super) struct Shared {
    guarded: Arc<Guarded<RedisStore>>,
    leased: Arc<Leased<Arc<Guarded<RedisStore>>>>,
    instances: Arc<Instances>,
}

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
        let name = getrandom::u64().context("the system gives no randomness")?;
        let instances = Instances::new(format!("{name:016x}"));
        // Without Redis, it is announced later.
        let _ = instances.announce(&store).await;
        let guarded = Guarded::new(store, BreakerOptions::default(), Arc::clone(&clock) as _);
        let guarded = Arc::new(guarded);
        let leased = Leased::new(Arc::clone(&guarded), LeaseOptions::default(), clock);
        Ok(Self {
            guarded,
            leased: Arc::new(leased),
            instances: Arc::new(instances),
        })
    }

    pub(super) fn store(&self) -> Arc<dyn LimitStore> {
        self.leased.clone()
    }

    /// How many instances share it.
    pub(super) fn instances(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        let instances = Arc::clone(&self.instances);
        Box::new(move || instances.live())
    }

    /// Takes leases and says that this instance is there, until `end`; then gives both up.
    pub(super) fn tend(&self, tasks: &TaskTracker, end: &CancellationToken) {
        let (leased, ended) = (Arc::clone(&self.leased), end.clone());
        tasks.spawn(async move { leased.run(ended.cancelled()).await });
        let (instances, guarded) = (Arc::clone(&self.instances), Arc::clone(&self.guarded));
        let ended = end.clone();
        tasks.spawn(async move { instances.run(guarded.store(), ended.cancelled()).await });
    }

    /// Shows whether Redis is asked, how often it was not there, and what is leased from it.
    pub(super) fn register(&self, metrics: &Metrics) {
        self.register_leases(metrics);
        let instances = self.instances();
        metrics.register_gauge(
            "tollgate_limits_instances",
            "Instances that share the store of limits, as far as this one knows",
            move || instances() as f64,
        );
        let guarded = Arc::clone(&self.guarded);
        metrics.register_gauge(
            "tollgate_limits_breaker_open",
            "Whether decisions do without the shared store: 1 while it is away",
            move || f64::from(u8::from(guarded.stats().state != BreakerState::Closed)),
        );
        let counters: [Counter<BreakerStats>; 5] = [
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
        let guarded = Arc::clone(&self.guarded);
        metrics.register_counters(counters, move || guarded.stats());
    }

    fn register_leases(&self, metrics: &Metrics) {
        let leased = Arc::clone(&self.leased);
        metrics.register_gauge(
            "tollgate_limits_lease_held",
            "Tokens of leases that are at hand",
            move || leased.stats().held as f64,
        );
        let counters: [Counter<LeaseStats>; 7] = [
            (
                "tollgate_limits_lease_taken",
                "Leases taken from the shared store",
                |stats| stats.leases,
            ),
            (
                "tollgate_limits_lease_tokens",
                "Tokens in the leases taken",
                |stats| stats.leased,
            ),
            (
                "tollgate_limits_lease_used",
                "Tokens of leases that requests used",
                |stats| stats.used,
            ),
            (
                "tollgate_limits_lease_returned",
                "Tokens of leases that were given back",
                |stats| stats.returned,
            ),
            (
                "tollgate_limits_lease_lost",
                "Tokens of leases that ended with their window, or could not be given back",
                |stats| stats.lost,
            ),
            (
                "tollgate_limits_lease_local",
                "Requests with leased limits that were decided without the shared store",
                |stats| stats.local,
            ),
            (
                "tollgate_limits_lease_exact",
                "Requests with leased limits that the shared store decided",
                |stats| stats.exact,
            ),
        ];
        let leased = Arc::clone(&self.leased);
        metrics.register_counters(counters, move || leased.stats());
    }
}

/// What is wrong with the first policy that cannot be counted in a Redis, if there is one.
pub(super) fn uncountable(policies: &PolicySet) -> Option<String> {
    policies.rules().iter().find_map(|rule| {
        let error = RedisStore::takes(&rule.limiter()?).err()?;
        Some(format!("policy {} of {}: {error}", rule.name, rule.domain))
    })
}

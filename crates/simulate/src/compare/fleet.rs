//! Servers that share a store, whose clocks differ, while the store fails.
//!
//! Each server is a service as in production, with a store in memory of its own for when the shared one fails. The shared
//! store stands for a Redis: it decides on its own clock, so those of the servers matter only while it is
//! away. A server finds out at once that it is away; in production, a deadline passes first, until a breaker opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand_chacha::rand_core::Rng as _;
use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_limit::policy::{Descriptor, OnStoreFailure, PolicySet};
use tollgate_limit::service::{CheckRequest, LimitService};
use tollgate_limit::store::{Charge, LimitStore, MemoryStore, Refund, StoreError};
use tollgate_limit::{Limiter, Shaped};

use super::passed::Passed;
use super::{Arrival, CompareError, Options, Outcome, clock, store};
use crate::at_once::at_once;
use crate::traffic::{Scale, generator, uniform};

/// How many servers, how far apart their clocks are, and when the store is away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet {
    /// 1 to 1,000.
    pub servers: u64,
    /// The clocks of servers are wrong by up to so much, one way or the other.
    pub skew: Duration,
    /// When the store is away, in windows from the start.
    pub outage: [f64; 2],
}

/// A store that is away now and then, and counts how often it is asked.
struct Shared {
    store: MemoryStore,
    is_away: AtomicBool,
    commands: AtomicU64,
}

#[async_trait]
impl LimitStore for Shared {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        // One call of a script a request, whether or not it is answered.
        self.commands.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("an outage".to_owned()));
        }
        self.store.decide(charges).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.store.refund(refunds).await
    }
}

/// A clock that is wrong by so much.
struct Skewed {
    of: Arc<ManualClock>,
    by_ms: i64,
}

impl Clock for Skewed {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(self.of.now().as_millis() + self.by_ms)
    }

    fn monotonic(&self) -> Duration {
        self.of.monotonic()
    }
}

const MODES: [(&str, OnStoreFailure); 3] = [
    ("open", OnStoreFailure::Open),
    ("closed", OnStoreFailure::Closed),
    ("local", OnStoreFailure::Local),
];

impl Fleet {
    /// What came of it for each of the modes.
    pub(super) fn run(
        &self,
        limiter: &Limiter,
        options: &Options,
        scale: Scale,
        arrivals: &[Arrival],
    ) -> Result<Vec<Outcome>, CompareError> {
        if !(1..=1_000).contains(&self.servers) || self.outage[0] > self.outage[1] {
            return Err(CompareError::Fleet);
        }
        let policies = Arc::new(policies(limiter)?);
        let run = |(name, mode)| Outcome {
            on_store_failure: Some(name),
            ..self.run_mode(limiter, options, scale, arrivals, &policies, mode)
        };
        Ok(MODES.map(run).into())
    }

    fn run_mode(
        &self,
        limiter: &Limiter,
        options: &Options,
        scale: Scale,
        arrivals: &[Arrival],
        policies: &Arc<PolicySet>,
        mode: OnStoreFailure,
    ) -> Outcome {
        let clock = clock();
        let shared = Arc::new(Shared {
            store: store(Arc::clone(&clock) as _),
            is_away: AtomicBool::new(false),
            commands: AtomicU64::new(0),
        });
        let mut random = generator("servers", options.seed, 0);
        let count = self.servers;
        let servers = (0..count).map(|_| {
            let skew = self.skew.as_millis() as f64 * (2.0 * uniform(&mut random) - 1.0);
            let own = store(Arc::new(Skewed {
                of: Arc::clone(&clock),
                by_ms: skew as i64,
            }));
            let own = Arc::new(own);
            LimitService::new(Arc::clone(policies), Arc::clone(&shared) as _, own)
                .with_on_store_failure(mode)
                .with_instances(move || count)
        });
        let servers: Vec<LimitService> = servers.collect();
        let mut passed = Passed::new(scale);
        let mut now = 0;
        for arrival in arrivals {
            let by = Duration::from_nanos(arrival.at - now);
            now = arrival.at;
            clock.advance(by);
            let windows = now as f64 / scale.window as f64;
            let is_away = (self.outage[0]..self.outage[1]).contains(&windows);
            shared.is_away.store(is_away, Ordering::Relaxed);
            // Below the number of servers.
            let server = &servers[(random.next_u64() % count) as usize];
            let request = CheckRequest {
                domain: "fleet".to_owned(),
                descriptors: vec![Descriptor::of([("key", &*arrival.key.to_string())])],
                hits: 1,
            };
            let answer = at_once(server.check(&request));
            let delay = answer
                .ok()
                .and_then(|answer| answer.allowed.then_some(answer.delay));
            passed.note(*arrival, delay);
        }
        Outcome {
            redis_commands: shared.commands.load(Ordering::Relaxed),
            ..passed.outcome(limiter)
        }
    }
}

/// A policy that says what the limiter does.
fn policies(limiter: &Limiter) -> Result<PolicySet, CompareError> {
    let quota = limiter.quota();
    let burst = limiter
        .bucket()
        .map(|bucket| format!(", burst: {}", bucket.capacity()));
    let yaml = format!(
        "domain: fleet\ndescriptors:\n  - key: key\n    rate_limit: {{window: {}ms, requests_per_unit: {}, \
         algorithm: {}{}}}\n",
        quota.window().as_millis(),
        quota.limit(),
        limiter.kind().name(),
        burst.unwrap_or_default(),
    );
    PolicySet::parse("fleet", &yaml).map_err(|_| CompareError::Fleet)
}

//! Instances that share a store in memory, by clocks that are set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::store::{
    Charge, LeaseOptions, Leased, LimitKey, LimitStore, MemoryOptions, MemoryStore, Refund,
    StoreError,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota, Shaped};

/// 2026-01-01T00:00:00Z.
const START: UnixMillis = UnixMillis::from_millis(1_767_225_600_000);

/// A store in memory that can be told to fail, and counts how often it was asked.
pub struct Shared {
    memory: MemoryStore,
    away: AtomicBool,
    silent: AtomicBool,
    asked: AtomicU64,
}

impl Shared {
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// From now on it never answers.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match self.away.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => answer.await,
        }
    }
}

#[async_trait]
impl LimitStore for Shared {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.answer(self.memory.decide(charges)).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.answer(self.memory.refund(refunds)).await
    }
}

pub struct Instance {
    pub leased: Leased<Arc<Shared>>,
    clock: Arc<ManualClock>,
}

impl Instance {
    /// Whether all of it passes.
    pub fn passes(&self, charges: &[Charge]) -> bool {
        let answers = now(self.leased.decide(charges)).unwrap();
        charges
            .iter()
            .zip(&answers)
            .all(|(charge, answer)| !charge.binds || answer.decision.allowed())
    }

    /// What the background does, at once.
    pub fn refill(&self) {
        now(self.leased.refill());
    }

    pub fn tend(&self) {
        now(self.leased.tend());
    }
}

pub struct Bench {
    pub store: Arc<Shared>,
    pub instances: Vec<Instance>,
    clock: Arc<ManualClock>,
    /// Since the epoch, from which windows count.
    pub time: Duration,
}

impl Bench {
    pub fn new(instances: usize) -> Self {
        Self::with(instances, LeaseOptions::default())
    }

    pub fn with(instances: usize, options: LeaseOptions) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(Shared {
            memory: MemoryStore::new(MemoryOptions::with_seed(7), clock.clone()),
            away: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        });
        let instances = (0..instances as u64).map(|number| {
            // Each has a time of its own, 10 s apart and more.
            let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
            clock.advance(Duration::from_millis(10_300) * number as u32);
            Instance {
                leased: Leased::new(Arc::clone(&store), options, clock.clone()),
                clock,
            }
        });
        Self {
            instances: instances.collect(),
            store,
            clock,
            time: Duration::from_millis(START.as_millis().unsigned_abs()),
        }
    }

    pub fn wait(&mut self, time: Duration) {
        self.time += time;
        self.clock.advance(time);
        for instance in &self.instances {
            instance.clock.advance(time);
        }
    }

    /// Tokens that the instances hold.
    pub fn held(&self) -> u64 {
        let stats = self.instances.iter().map(|it| it.leased.stats());
        stats.map(|stats| stats.held).sum()
    }

    pub fn close(&self) {
        for instance in &self.instances {
            now(instance.leased.close());
        }
    }

    /// What the store would still let through.
    pub fn remaining(&self, key: &str, limiter: Limiter) -> u64 {
        let peek = Charge {
            leased: false,
            ..charge(key, limiter, 0)
        };
        now(self.store.decide(&[peek])).unwrap()[0]
            .decision
            .remaining()
    }
}

/// A charge that may be decided on leased tokens.
pub fn charge(key: &str, limiter: Limiter, cost: u64) -> Charge {
    Charge {
        key: LimitKey::new(format!("domain|key={key}|").as_bytes()).unwrap(),
        limiter,
        cost,
        binds: true,
        leased: true,
    }
}

pub fn limiter(kind: AlgorithmKind, limit: u64, window: Duration, burst: Option<u64>) -> Limiter {
    Limiter::new(kind, Quota::new(limit, window).unwrap(), burst).unwrap()
}

/// So many in a year: no test lives to see any of it come back.
pub fn yearly(kind: AlgorithmKind, limit: u64) -> Limiter {
    limiter(kind, limit, Duration::from_secs(365 * 86_400), None)
}

/// All that can be leased.
pub fn kinds() -> impl Iterator<Item = AlgorithmKind> + Clone {
    let all = AlgorithmKind::ALL.into_iter();
    all.filter(|kind| *kind != AlgorithmKind::LeakyQueue)
}

pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing here waits")
}

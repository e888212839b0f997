//! A service on a store that could not be simpler, with a clock that is set by hand.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckAnswer, CheckRequest, Code, LimitService};
use tollgate_limit::store::{Charge, LimitKey, LimitStore, Refund, StoreError};
use tollgate_limit::{Decision, LimiterState, Moment, Shaped};

/// States in a map, stepped one after the other.
#[derive(Default)]
pub struct NaiveStore(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    now: Moment,
    states: HashMap<LimitKey, LimiterState>,
    down: bool,
    asked: u64,
}

impl NaiveStore {
    pub fn wait(&self, time: Duration) {
        let mut inside = self.0.lock().unwrap();
        inside.now = inside.now.plus(time);
    }

    pub fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.0.lock().unwrap().asked
    }
}

#[async_trait]
impl LimitStore for NaiveStore {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        let mut inside = self.0.lock().unwrap();
        inside.asked += 1;
        if inside.down {
            return Err(StoreError::Unavailable("it is down".to_owned()));
        }
        let now = inside.now;
        let mut after = inside.states.clone();
        let mut all = Vec::new();
        for charge in charges {
            let state = after.entry(charge.key.clone()).or_default();
            all.push(charge.limiter.shape(state, now, charge.cost));
        }
        let refused = all
            .iter()
            .zip(charges)
            .any(|(shaped, charge)| charge.binds && !shaped.decision.allowed());
        if !refused {
            inside.states = after;
            return Ok(all);
        }
        let unchanged = all.iter().zip(charges).map(|(shaped, charge)| {
            let mut state = inside.states.get(&charge.key).cloned().unwrap_or_default();
            let kept = charge.limiter.shape(&mut state, now, 0).decision;
            let verdict = shaped.decision.verdict();
            let (left, reset) = (kept.remaining(), kept.reset_after());
            Shaped {
                decision: Decision::new(verdict, kept.limit(), left, reset),
                delay: Duration::ZERO,
                at: now,
            }
        });
        Ok(unchanged.collect())
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        let mut inside = self.0.lock().unwrap();
        let now = inside.now;
        for refund in refunds {
            let state = inside.states.entry(refund.key().clone()).or_default();
            refund.apply(state, now);
        }
        Ok(())
    }
}

/// A service, and what it counts in.
pub struct Bench {
    pub service: LimitService,
    pub store: Arc<NaiveStore>,
    pub fallback: Arc<NaiveStore>,
}

impl Bench {
    pub fn new(yaml: &str) -> Self {
        let (store, fallback) = (Arc::<NaiveStore>::default(), Arc::<NaiveStore>::default());
        let policies = parse(yaml);
        Self {
            service: LimitService::new(policies, store.clone(), fallback.clone()),
            store,
            fallback,
        }
    }

    pub fn check(&self, domain: &str, hits: u64, descriptors: &[Descriptor]) -> CheckAnswer {
        let request = CheckRequest {
            domain: domain.to_owned(),
            descriptors: descriptors.to_vec(),
            hits,
        };
        now(self.service.check(&request)).unwrap()
    }

    /// How many of 1,000 requests of one hit pass at once.
    pub fn passing(&self, domain: &str, descriptor: &Descriptor) -> usize {
        (0..1_000)
            .take_while(|_| {
                self.check(domain, 1, std::slice::from_ref(descriptor))
                    .allowed
            })
            .count()
    }
}

pub fn parse(yaml: &str) -> PolicySet {
    PolicySet::parse("limits.yaml", yaml).unwrap_or_else(|error| panic!("{error}"))
}

pub fn codes(answer: &CheckAnswer) -> Vec<Code> {
    answer.statuses.iter().map(|status| status.code).collect()
}

/// The end of a future that never waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

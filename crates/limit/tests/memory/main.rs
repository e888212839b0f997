//! The store in memory: what it decides, what it forgets, and how it ends when it is full.

// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used)]

mod bounds;
mod concurrency;
mod expiry;
mod model;
mod size;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::store::{
    Charge, LimitKey, LimitStore as _, MemoryOptions, MemoryStore, StoreError,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota, Shaped};

/// 2026-01-01T00:00:00Z.
const START: UnixMillis = UnixMillis::from_millis(1_767_225_600_000);

const ROOMY: MemoryOptions = MemoryOptions {
    max_bytes: 64 << 20,
    max_keys: 100_000,
    shards: 4,
    seed: 7,
};

fn store(options: MemoryOptions) -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    (MemoryStore::new(options, clock.clone()), clock)
}

fn limiter(kind: AlgorithmKind, limit: u64, window: Duration) -> Limiter {
    Limiter::new(kind, Quota::new(limit, window).unwrap(), None).unwrap()
}

fn charge(key: &str, limiter: Limiter, cost: u64) -> Charge {
    Charge {
        key: LimitKey::new(key.as_bytes()).unwrap(),
        limiter,
        cost,
        binds: true,
        leased: false,
    }
}

/// This store never waits for anything.
fn decide(store: &MemoryStore, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
    store.decide(charges).now_or_never().unwrap()
}

#[test]
fn it_decides_at_once() {
    let (store, _) = store(ROOMY);
    let limiter = limiter(AlgorithmKind::Gcra, 3, Duration::from_secs(60));
    let remaining = |shaped: Shaped| shaped.decision.remaining();
    let at_once = store.decide_at_once(b"key", &limiter, 1);
    assert_eq!(at_once.map(remaining), Some(2));
    let later = decide(&store, &[charge("key", limiter, 1)]).unwrap();
    assert_eq!(later.into_iter().map(remaining).collect::<Vec<_>>(), [1]);
}

fn allowed(store: &MemoryStore, key: &str, limiter: &Limiter) -> bool {
    let shaped = store.decide_one(key.as_bytes(), limiter, 1);
    shaped.decision.allowed()
}

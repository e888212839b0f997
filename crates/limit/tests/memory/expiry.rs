//! What is left of a key that has nothing left to remember.

use std::time::Duration;

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::MemoryOptions;

use crate::{ROOMY, allowed, charge, decide, limiter, store};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_refusal_or_a_peek_of_a_new_key_leaves_nothing_behind() {
    let (store, _) = store(ROOMY);
    for kind in AlgorithmKind::ALL {
        let two = limiter(kind, 2, SECOND);
        for number in 0..100 {
            let key = format!("key {number}");
            let _ = store.decide_one(key.as_bytes(), &two, 0);
            let _ = store.decide_one(key.as_bytes(), &two, 3);
            // The first could be charged, if it were not for the second.
            decide(&store, &[charge(&key, two, 1), charge("other", two, 9)]).unwrap();
        }
    }
    assert_eq!(store.stats().keys, 0);
}

#[test]
fn keys_that_come_and_go_need_the_room_of_those_that_are_there() {
    let (store, clock) = store(MemoryOptions { shards: 1, ..ROOMY });
    let mut most = 0;
    for kind in AlgorithmKind::ALL {
        let limit = limiter(kind, 10, SECOND);
        for number in 0..20_000 {
            // A thousand keys a second, each for one to two seconds.
            clock.advance(Duration::from_millis(1));
            assert!(allowed(&store, &format!("{kind:?} {number}"), &limit));
            most = most.max(store.stats().keys);
        }
    }
    let stats = store.stats();
    assert!(most < 5_000, "{most} keys at once");
    assert_eq!(stats.evictions, 0);
    assert_eq!(stats.expired + stats.keys as u64, 7 * 20_000);
}

#[test]
fn decisions_on_known_keys_sweep_the_others_away() {
    let (store, clock) = store(MemoryOptions { shards: 1, ..ROOMY });
    let limit = limiter(AlgorithmKind::SlidingLog, 5, SECOND);
    for number in 0..2_000 {
        assert!(allowed(&store, &format!("key {number}"), &limit));
    }
    let full = store.stats();
    clock.advance(2 * SECOND);
    let day = limiter(AlgorithmKind::Gcra, 10_000_000, 86_400 * SECOND);
    for _ in 0..100_000 {
        assert!(allowed(&store, "known", &day));
    }
    let swept = store.stats();
    assert_eq!((swept.keys, swept.expired), (1, 2_000));
    assert!(swept.bytes < full.bytes / 4, "{swept:?} of {full:?}");
}

#[test]
fn an_idle_store_is_swept_on_demand() {
    let (store, clock) = store(ROOMY);
    let empty = store.stats().bytes;
    let limit = limiter(AlgorithmKind::Gcra, 5, SECOND);
    for number in 0..10_000 {
        assert!(allowed(&store, &format!("key {number}"), &limit));
    }
    store.sweep();
    assert_eq!(store.stats().keys, 10_000);
    clock.advance(SECOND);
    store.sweep();
    let stats = store.stats();
    assert_eq!((stats.keys, stats.expired), (0, 10_000));
    assert_eq!(stats.bytes, empty);
}

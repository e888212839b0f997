//! A full store: memory stays flat, and keys that are held back stay so.

use std::time::Duration;

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::MemoryOptions;

use crate::{ROOMY, allowed, charge, decide, limiter, store};

const HOUR: Duration = Duration::from_secs(3_600);

const SMALL: MemoryOptions = MemoryOptions {
    max_keys: 2_000,
    ..ROOMY
};

#[test]
fn an_endless_stream_of_keys_keeps_to_both_bounds() {
    for kind in AlgorithmKind::ALL {
        for options in [
            SMALL,
            MemoryOptions {
                max_bytes: 150_000,
                ..ROOMY
            },
        ] {
            let (store, clock) = store(options);
            let limit = limiter(kind, 10, HOUR);
            for number in 0..30_000_u64 {
                let _ = store.decide_one(&number.to_le_bytes(), &limit, 1);
                // And some that come again, so that logs become longer.
                let _ = store.decide_one(&(number % 50).to_le_bytes(), &limit, 1);
                clock.advance(Duration::from_millis(1));
                if number % 1_000 == 0 {
                    let stats = store.stats();
                    assert!(stats.keys <= options.max_keys, "{kind:?} {stats:?}");
                    assert!(stats.bytes <= options.max_bytes, "{kind:?} {stats:?}");
                }
            }
            let stats = store.stats();
            assert!(stats.evictions > 20_000, "{kind:?} {stats:?}");
            assert!(stats.keys > 700, "{kind:?} {stats:?}");
        }
    }
}

/// The keys at their limit are under a policy that forgets much sooner than that of the attack.
#[test]
fn a_stream_of_new_keys_frees_no_key_that_is_held_back() {
    for kind in AlgorithmKind::ALL {
        let (store, _) = store(SMALL);
        let (strict, lavish) = (limiter(kind, 5, HOUR / 10), limiter(kind, 100, HOUR));
        let busy: Vec<String> = (0..300).map(|number| format!("busy {number}")).collect();
        for key in &busy {
            assert_eq!((0..9).filter(|_| allowed(&store, key, &strict)).count(), 5);
        }
        for number in 0..100_000 {
            assert!(allowed(&store, &format!("attack {number}"), &lavish));
        }
        let stats = store.stats();
        assert!(stats.evictions >= 98_000, "{stats:?}");
        for key in &busy {
            assert!(!allowed(&store, key, &strict), "{kind:?}: {key} was freed");
        }
    }
}

/// A limit of one makes every key busy at once: nothing can be evicted.
#[test]
fn new_keys_that_find_only_busy_ones_share_one_limit() {
    for kind in AlgorithmKind::ALL {
        let (store, clock) = store(SMALL);
        let (one, ten) = (limiter(kind, 1, HOUR), limiter(kind, 10, HOUR));
        let passed: Vec<String> = (0..10_000)
            .map(|number| format!("key {number}"))
            .filter(|key| allowed(&store, key, &one))
            .collect();
        let stats = store.stats();
        assert_eq!(stats.evictions, 0);
        // One more than those that are remembered: the first of those that share.
        assert_eq!(passed.len(), stats.keys + 1);
        assert!(stats.keys > 1_800 && stats.keys <= 2_000, "{stats:?}");
        assert_eq!(stats.overflowed, 1);
        for key in &passed {
            assert!(!allowed(&store, key, &one));
        }
        // Under another limiter they share another state.
        let shared = (0..1_000).filter(|n| allowed(&store, &format!("other {n}"), &ten));
        assert!(shared.count() >= 10);
        // With time, places become free again, for whoever comes.
        clock.advance(2 * HOUR);
        assert!(allowed(&store, "new", &one));
        assert!(!allowed(&store, "new", &one));
    }
}

#[test]
fn a_request_of_several_keys_shares_too_when_all_are_busy() {
    let (store, _) = store(MemoryOptions {
        max_keys: 64,
        shards: 1,
        ..ROOMY
    });
    let one = limiter(AlgorithmKind::Gcra, 1, HOUR);
    for number in 0..1_000 {
        let _ = store.decide_one(format!("key {number}").as_bytes(), &one, 1);
    }
    let two = limiter(AlgorithmKind::FixedWindow, 2, HOUR);
    let request = |number: usize| {
        let key = |part| format!("{part} {number}");
        let charges = [charge(&key("a"), two, 1), charge(&key("b"), two, 1)];
        let answers = decide(&store, &charges).unwrap();
        answers.iter().all(|answer| answer.decision.allowed())
    };
    let passed = (0..100).filter(|number| request(*number)).count();
    assert_eq!(passed, 1, "two units for all of them");
}

/// One key with a long log may not take more than there is; it refuses more for that, not less.
#[test]
fn a_log_that_does_not_fit_is_made_coarser() {
    let options = MemoryOptions {
        max_bytes: 20_000,
        shards: 1,
        ..ROOMY
    };
    let (store, clock) = store(options);
    let minute = limiter(AlgorithmKind::SlidingLog, 5_000, Duration::from_secs(60));
    let step = Duration::from_millis(5);
    let mut admitted = std::collections::VecDeque::new();
    let mut passed = 0;
    for number in 0..40_000_u64 {
        clock.advance(step);
        admitted.retain(|at| number - at < 12_000);
        if allowed(&store, "key", &minute) {
            admitted.push_back(number);
            passed += 1;
        }
        assert!(admitted.len() <= 5_000);
        if number % 100 == 0 {
            assert!(store.stats().bytes <= options.max_bytes);
        }
    }
    assert!(passed > 10_000, "{passed}");
}

//! Single requests: all or nothing, answers, failures.

use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{Charge, LimitStore as _, Refund, StoreError};

use crate::bench::{Bench, charge, kinds, now, yearly};

/// An instance that holds tokens of `k`, 10,000 a year.
fn busy(kind: AlgorithmKind) -> (Bench, Charge) {
    let bench = Bench::new(1);
    let charge = charge("k", yearly(kind, 10_000), 1);
    for _ in 0..40 {
        assert!(bench.instances[0].passes(std::slice::from_ref(&charge)));
        bench.instances[0].refill();
    }
    assert!(bench.held() >= 20, "{kind:?}: {}", bench.held());
    (bench, charge)
}

#[test]
fn the_first_request_of_a_key_is_decided_by_the_store() {
    let bench = Bench::new(1);
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 1_000), 1)];
    let answer = now(bench.instances[0].leased.decide(&request)).unwrap();
    assert_eq!(answer[0].decision.remaining(), 999);
    assert_eq!(bench.store.asked(), 1);
    assert_eq!(bench.remaining("k", request[0].limiter), 999);
}

#[test]
fn a_busy_key_is_decided_without_the_store_and_tells_what_is_known() {
    for kind in kinds() {
        let (bench, charge) = busy(kind);
        let asked = bench.store.asked();
        let held = bench.held();
        let answer = now(bench.instances[0]
            .leased
            .decide(std::slice::from_ref(&charge)))
        .unwrap();
        assert_eq!(bench.store.asked(), asked, "{kind:?}");
        assert_eq!(bench.held(), held - 1);
        let decision = answer[0].decision;
        assert!(decision.allowed());
        assert_eq!(decision.remaining(), 10_000 - 41, "{kind:?}");
        assert!(decision.reset_after() > Duration::ZERO, "{kind:?}");
        let peek = Charge { cost: 0, ..charge };
        let answer = now(bench.instances[0].leased.decide(&[peek])).unwrap();
        assert_eq!(answer[0].decision.remaining(), 10_000 - 41, "{kind:?}");
        assert_eq!(bench.store.asked(), asked, "{kind:?}");
    }
}

#[test]
fn a_small_limit_is_exact() {
    let bench = Bench::new(1);
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 63), 1)];
    for _ in 0..63 {
        assert!(bench.instances[0].passes(&request));
        bench.instances[0].refill();
    }
    assert_eq!(bench.instances[0].leased.stats().leases, 0);
    assert_eq!(bench.store.asked(), 63);
}

#[test]
fn a_refusal_is_remembered_until_its_time_has_come() {
    let mut bench = Bench::new(2);
    let limiter = crate::bench::limiter(AlgorithmKind::Gcra, 10, Duration::from_secs(1), None);
    let request = [charge("k", limiter, 10)];
    assert!(bench.instances[0].passes(&request));
    let refused = |bench: &Bench| {
        let answer = now(bench.instances[0].leased.decide(&request)).unwrap();
        answer[0].decision.retry_after()
    };
    assert_eq!(refused(&bench), Some(Duration::from_secs(1)));
    let asked = bench.store.asked();
    bench.wait(Duration::from_millis(400));
    assert_eq!(refused(&bench), Some(Duration::from_millis(600)));
    assert_eq!(bench.store.asked(), asked, "nobody was asked");
    // Less than what was refused may pass.
    assert!(bench.instances[0].passes(&[charge("k", limiter, 1)]));
    bench.wait(Duration::from_millis(600));
    assert_eq!(refused(&bench), Some(Duration::from_millis(100)));
    assert!(bench.store.asked() > asked);
}

#[test]
fn a_refusal_is_forgotten_when_nobody_asks_any_more() {
    let mut bench = Bench::new(1);
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 1), 1)];
    assert!(bench.instances[0].passes(&request));
    assert!(!bench.instances[0].passes(&request));
    for (pause, asks) in [(99, 0), (99, 0), (100, 1)] {
        let asked = bench.store.asked();
        bench.wait(Duration::from_millis(pause));
        bench.instances[0].tend();
        assert!(!bench.instances[0].passes(&request));
        assert_eq!(bench.store.asked() - asked, asks, "after {pause} ms");
    }
}

#[test]
fn leases_are_used_up_while_the_store_is_away() {
    let (mut bench, charge) = busy(AlgorithmKind::TokenBucket);
    bench.store.set_away(true);
    let held = bench.held();
    let request = [charge];
    for _ in 0..held {
        assert!(bench.instances[0].passes(&request));
        bench.instances[0].refill();
    }
    let failed = now(bench.instances[0].leased.decide(&request));
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
    bench.store.set_away(false);
    assert!(bench.instances[0].passes(&request), "and it is back");
    bench.wait(Duration::from_millis(60));
    for _ in 0..10 {
        assert!(bench.instances[0].passes(&request));
        bench.instances[0].refill();
    }
    assert!(bench.held() > 0);
}

#[test]
fn who_goes_away_leaves_the_tokens_behind() {
    let (bench, leased) = busy(AlgorithmKind::Gcra);
    let held = bench.held();
    let exact = Charge {
        leased: false,
        ..charge("other", yearly(AlgorithmKind::Gcra, 10), 1)
    };
    bench.store.silence();
    let request = [leased, exact];
    {
        let mut waits = bench.instances[0].leased.decide(&request);
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(bench.held(), held - 1, "taken tentatively");
    }
    assert_eq!(bench.held(), held);
}

#[test]
fn a_request_that_was_decided_here_can_be_given_back() {
    let (bench, charge) = busy(AlgorithmKind::FixedWindow);
    let (leased, limiter) = (&bench.instances[0].leased, charge.limiter);
    let request = [charge];
    let answers = now(leased.decide(&request)).unwrap();
    let left = bench.remaining("k", limiter);
    now(leased.refund(&Refund::of(&request, &answers))).unwrap();
    assert_eq!(bench.remaining("k", limiter), left + 1);
}

#[test]
fn another_limit_begins_anew_and_the_old_tokens_are_given_back() {
    let (bench, old) = busy(AlgorithmKind::FixedWindow);
    let held = bench.held();
    let left = bench.remaining("k", old.limiter);
    let new = charge("k", yearly(AlgorithmKind::FixedWindow, 20_000), 1);
    assert!(bench.instances[0].passes(std::slice::from_ref(&new)));
    bench.instances[0].tend();
    assert_eq!(bench.remaining("k", old.limiter), left + held - 1);
}

proptest! {
    /// Leased, exact and shadow limits on one request.
    #[test]
    fn all_limits_are_charged_or_none(
        steps in prop::collection::vec((0_usize..3, 1_u64..4, 0_u64..3, any::<bool>(), 0_u64..20), 1..400),
        kind in prop::sample::select(kinds().collect::<Vec<_>>()),
        tight in 20_u64..300,
    ) {
        let mut bench = Bench::new(3);
        let limiters = [yearly(kind, 1_000), yearly(kind, tight), yearly(AlgorithmKind::FixedWindow, 400)];
        let mut used = [0; 3];
        for (at, cost, exact, repeat, wait) in steps {
            bench.wait(Duration::from_millis(wait));
            let mut request = vec![
                charge("wide", limiters[0], cost),
                Charge { leased: false, ..charge("tight", limiters[1], exact) },
                Charge { binds: false, ..charge("shadow", limiters[2], 2) },
            ];
            if repeat {
                request.push(charge("wide", limiters[0], 1));
            }
            let instance = &bench.instances[at];
            let answers = now(instance.leased.decide(&request)).unwrap();
            prop_assert_eq!(answers.len(), request.len());
            let passes = |at: usize| answers[at].decision.allowed();
            if passes(0) && passes(1) && (!repeat || passes(3)) {
                used[0] += cost + u64::from(repeat);
                used[1] += exact;
                used[2] += 2 * u64::from(passes(2));
            } else {
                prop_assert_eq!(Refund::of(&request, &answers), []);
            }
            instance.refill();
        }
        bench.close();
        for (at, key) in ["wide", "tight", "shadow"].into_iter().enumerate() {
            let left = bench.remaining(key, limiters[at]);
            let total = used[at] + left;
            let limit = limiters[at].most();
            prop_assert!(total == limit || total + 1 == limit && limiters[at].bucket().is_some(),
                "{}: {} + {} of {}", key, used[at], left, limit);
        }
    }
}

//! The concurrency limit against a list of holders, and against threads of a simulated fleet that
//! crash.

use std::time::Duration;

use proptest::prelude::*;
use tollgate_limit::{
    Adaptive, Aimd, Concurrency, Lease, LimitLaw, LimitRange, Moment, Outcome, Released, Sample,
    Slots, Verdict,
};

const LEASE: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
enum Act {
    Acquire(u64),
    /// Gives back the lease at this position, modulo how many there are.
    Release(usize),
}

fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let act = prop_oneof![
        3 => (0_u64..8).prop_map(Act::Acquire),
        2 => any::<usize>().prop_map(Act::Release),
    ];
    // Milliseconds between; now and then longer than a lease.
    let pause = prop_oneof![Just(0_u64), 0_u64..300, 900_u64..1_100];
    prop::collection::vec((pause, act), 1..150)
}

/// A holder in the model: the lease it was given, and when.
#[derive(Debug)]
struct Holder {
    lease: Lease,
    since: u64,
}

proptest! {
    #[test]
    fn every_grant_and_release_is_that_of_a_list_of_holders(limit in 1_u64..=8, acts in acts()) {
        let concurrency = Concurrency::new(limit, Duration::from_millis(LEASE)).unwrap();
        let mut slots = Slots::default();
        let mut holders: Vec<Holder> = Vec::new();
        let mut ms = 0;
        for (pause, act) in acts {
            ms += pause;
            let now = Moment::from_nanos(ms * 1_000_000);
            let alive = |holder: &&Holder| ms - holder.since < LEASE;
            match act {
                Act::Acquire(cost) => {
                    let used: u64 = holders.iter().filter(alive).map(|h| h.lease.cost()).sum();
                    let ends: Vec<(u64, u64)> = holders.iter().filter(alive)
                        .map(|h| (h.since + LEASE, h.lease.cost())).collect();
                    let acquired = concurrency.acquire(&mut slots, now, cost);
                    let expected = if cost == 0 || used + cost <= limit {
                        Verdict::Allowed
                    } else if cost > limit {
                        Verdict::Never
                    } else {
                        // The first end after which the rest leaves room.
                        let then = ends.iter().map(|(end, _)| *end).find(|end| {
                            let left: u64 = ends.iter()
                                .filter(|(other, _)| other > end).map(|(_, cost)| cost).sum();
                            left + cost <= limit
                        }).unwrap();
                        Verdict::RetryAfter(Duration::from_millis(then - ms))
                    };
                    prop_assert_eq!(acquired.decision.verdict(), expected);
                    let granted = cost > 0 && expected == Verdict::Allowed;
                    prop_assert_eq!(acquired.lease.is_some(), granted);
                    let now_used = used + if granted { cost } else { 0 };
                    prop_assert_eq!(acquired.decision.remaining(), limit - now_used);
                    if let Some(lease) = acquired.lease {
                        holders.push(Holder { lease, since: ms });
                    }
                }
                Act::Release(_) if holders.is_empty() => {}
                Act::Release(which) => {
                    let holder = holders.remove(which % holders.len());
                    let expected = if ms - holder.since < LEASE {
                        Released::Freed
                    } else {
                        Released::Lapsed
                    };
                    prop_assert_eq!(concurrency.release(&mut slots, now, holder.lease), expected);
                }
            }
        }
        // Whatever was forgotten ends by itself.
        let later = Moment::from_nanos((ms + LEASE) * 1_000_000);
        let free = concurrency.acquire(&mut slots, later, limit).decision;
        prop_assert!(free.allowed());
    }

    /// AIMD against its formula in rational arithmetic.
    #[test]
    fn aimd_is_its_formula(
        initial in 1_u64..500,
        samples in prop::collection::vec((0_u64..600, any::<bool>(), 0_u64..10), 1..100)
    ) {
        let law = Aimd::new(LimitRange::new(1, initial, 500).unwrap());
        let mut state = law.initial();
        let mut limit = initial;
        for (in_flight, dropped, seconds) in samples {
            let rtt = Duration::from_secs(seconds);
            law.observe(&mut state, Sample { rtt, in_flight, dropped });
            if dropped || seconds > 5 {
                limit = (limit * 9 / 10).min(limit - 1).max(1);
            } else if in_flight * 2 >= limit {
                limit = (limit + 1).min(500);
            }
            prop_assert_eq!(law.limit(&state), limit);
        }
    }
}

/// A service that drops whatever passes its true capacity: the limit finds it and stays near.
#[test]
fn an_adaptive_limit_finds_the_capacity_of_a_service() {
    const CAPACITY: usize = 40;
    let law = Aimd::new(LimitRange::new(1, 10, 1_000).unwrap());
    let limit = Adaptive::new(law, Duration::from_secs(60)).unwrap();
    let mut key = limit.initial();
    for round in 0..500_u64 {
        let start = Moment::from_nanos(round * 20_000_000);
        // More clients than could ever be served ask at once; each takes 10 ms.
        let leases: Vec<Lease> = (0..1_000)
            .map_while(|_| limit.acquire(&mut key, start, 1).lease)
            .collect();
        let end = start.plus(Duration::from_millis(10));
        for (i, lease) in leases.into_iter().enumerate() {
            let outcome = if i < CAPACITY {
                Outcome::Served
            } else {
                Outcome::Dropped
            };
            assert_eq!(
                limit.release(&mut key, end, lease, outcome),
                Released::Freed
            );
        }
        if round > 50 {
            let found = limit.limit(&key);
            assert!((20..=80).contains(&found), "round {round}: {found}");
        }
    }
}

//! A request is charged to all of its limits or to none, whatever it is.

use std::time::Duration;

use proptest::prelude::*;
use tollgate_limit::policy::Descriptor;
use tollgate_limit::service::Code;

use crate::bench::{Bench, now};

const POLICIES: &str = "
domain: d
descriptors:
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 6}}
  - {key: b, rate_limit: {unit: minute, requests_per_unit: 4, algorithm: gcra, burst: 3}}
  - {key: c, rate_limit: {unit: second, requests_per_unit: 5, algorithm: sliding_log}}
  - {key: s, rate_limit: {unit: minute, requests_per_unit: 2}, shadow_mode: true}
  - {key: n, rate_limit: {unit: minute, requests_per_unit: 0}}
  - {key: u, rate_limit: {unlimited: true}}
  - {key: l, rate_limit: {unit: minute, requests_per_unit: 3, on_store_failure: local}}
  - {key: x, rate_limit: {unit: minute, requests_per_unit: 3, on_store_failure: closed}}
";

/// Descriptors with their hits, the time before, and whether the store is away.
type Ask = (Vec<(&'static str, Option<u64>)>, u64, bool);

fn ask() -> impl Strategy<Value = Ask> {
    let key = prop::sample::select(vec!["a", "b", "c", "s", "n", "u", "l", "x", "?"]);
    let one = (key, prop::option::of(0..4_u64));
    let many = prop::collection::vec(one, 1..5);
    (many, 0..20_000_u64, prop::bool::weighted(0.2))
}

proptest! {
    #[test]
    fn all_or_nothing(asks in prop::collection::vec(ask(), 1..40)) {
        let bench = Bench::new(POLICIES);
        for (parts, millis, down) in asks {
            let time = Duration::from_millis(millis);
            bench.store.wait(time);
            bench.fallback.wait(time);
            bench.store.set_down(down);
            let descriptors: Vec<Descriptor> = parts
                .iter()
                .map(|(key, hits)| Descriptor { hits: *hits, ..Descriptor::of([(*key, "x")]) })
                .collect();
            let before = (left(&bench), left(&bench));
            prop_assert_eq!(&before.0, &before.1);
            bench.store.set_down(down);
            let answer = bench.check("d", 1, &descriptors);
            let after = left(&bench);
            prop_assert_eq!(answer.statuses.len(), parts.len());
            let over = answer.statuses.iter().any(|status| status.code == Code::OverLimit);
            prop_assert_eq!(answer.allowed, !over);
            for key in ["a", "b", "c", "l", "x"] {
                let taken: u64 = parts
                    .iter()
                    .filter(|(part, _)| *part == key)
                    .map(|(_, hits)| hits.unwrap_or(1))
                    .sum();
                let (store, fallback) = (of(&before.0, key), of(&after, key));
                let spent = |at: usize| store[at] - fallback[at];
                let (main, local) = match (answer.allowed, down) {
                    (false, _) => (0, 0),
                    (true, false) => (taken, 0),
                    // Every rule without a word of its own counts here while the store is away.
                    (true, true) => (0, taken),
                };
                prop_assert_eq!((spent(0), spent(1)), (main, local), "{} {:?}", key, parts);
            }
        }
    }
}

type Left = Vec<(&'static str, [u64; 2])>;

fn of(left: &Left, key: &str) -> [u64; 2] {
    left.iter().find(|(name, _)| *name == key).unwrap().1
}

/// What is left of each limit, in the store and in the fallback.
fn left(bench: &Bench) -> Left {
    let peek = |key: &'static str| {
        let descriptor = Descriptor {
            hits: Some(0),
            ..Descriptor::of([(key, "x")])
        };
        let remaining = |down: bool| {
            bench.store.set_down(down);
            bench
                .check("d", 1, std::slice::from_ref(&descriptor))
                .statuses[0]
                .remaining
                .unwrap_or_default()
        };
        (key, [remaining(false), remaining(true)])
    };
    ["a", "b", "c", "l", "x"].map(peek).to_vec()
}

const QUEUE: &str = "
domain: shop
descriptors:
  - {key: queue, rate_limit: {unit: second, requests_per_unit: 2, on_exceed: queue}}
  - {key: total, rate_limit: {unit: day, requests_per_unit: 3}}
";

#[test]
fn who_leaves_a_queue_gives_back_all_of_its_limits() {
    for down in [false, true] {
        let bench = Bench::new(QUEUE);
        bench.store.set_down(down);
        let both = [("queue", "q"), ("total", "t")].map(|entry| Descriptor::of([entry]));
        let first = bench.check("shop", 1, &both);
        assert!(
            first.allowed && first.receipt.is_empty(),
            "it does not wait"
        );
        let second = bench.check("shop", 1, &both);
        assert!(!second.delay.is_zero() && !second.receipt.is_empty());
        assert!(!bench.check("shop", 1, &both).allowed, "the queue is full");
        now(bench.service.refund(second.receipt));
        let third = bench.check("shop", 1, &both);
        assert!(third.allowed);
        assert_eq!(third.delay, second.delay);
        assert_eq!(
            third.statuses[1].remaining,
            Some(1),
            "two of three are charged"
        );
    }
}

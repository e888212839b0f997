//! Random policies and traces: small ones, where collisions and exact boundaries are frequent, and
//! the extremes of every range.

use std::time::Duration;

use proptest::prelude::*;
use tollgate_limit::{
    Algorithm, Bucket, Decision, MAX_LIMIT, MAX_WINDOW, MIN_WINDOW, Moment, Quota,
};

/// One request: nanoseconds since the one before, and its cost.
pub type Step = (u64, u64);

/// A request as it came out.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub at: u64,
    pub cost: u64,
    pub decision: Decision,
}

/// Limits of a few units and windows of about a millisecond that seldom divide evenly.
pub fn small_quota() -> impl Strategy<Value = Quota> {
    (1_u64..=12, 1_000_000_u64..1_000_040)
        .prop_map(|(limit, nanos)| Quota::new(limit, Duration::from_nanos(nanos)).unwrap())
}

/// A small quota with a capacity below, at or above its limit.
pub fn small_bucket() -> impl Strategy<Value = Bucket> {
    (small_quota(), 1_u64..=20).prop_map(|(quota, capacity)| quota.with_burst(capacity).unwrap())
}

/// Steps from none to a few windows, many of them on the boundaries of small quotas.
pub fn small_trace() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        3 => Just(0_u64),
        4 => 0_u64..200_000,
        2 => (1_u64..=12, 0_u64..3).prop_map(|(n, off)| 1_000_000 / n + off),
        2 => 999_998_u64..1_000_045,
        1 => 0_u64..5_000_000,
    ];
    let cost = prop_oneof![6 => Just(1_u64), 3 => 0_u64..6, 1 => 0_u64..25];
    prop::collection::vec((pause, cost), 1..120)
}

/// The ends of the ranges, and anything between.
pub fn extreme_quota() -> impl Strategy<Value = Quota> {
    let limit = prop_oneof![
        Just(1),
        Just(2),
        Just(MAX_LIMIT - 1),
        Just(MAX_LIMIT),
        1..=MAX_LIMIT
    ];
    let (min, max) = (nanos(MIN_WINDOW), nanos(MAX_WINDOW));
    let window = prop_oneof![
        Just(min),
        Just(min + 1),
        Just(max - 1),
        Just(max),
        min..=max
    ];
    (limit, window)
        .prop_map(|(limit, nanos)| Quota::new(limit, Duration::from_nanos(nanos)).unwrap())
}

/// Steps of any length, and costs that are given as a share of 2^32 of the limit, or beyond it.
pub fn extreme_trace() -> impl Strategy<Value = Vec<(u64, Option<u32>)>> {
    let pause = prop_oneof![
        Just(0_u64),
        Just(1),
        0_u64..1_000_000,
        0..=nanos(MAX_WINDOW),
        any::<u64>()
    ];
    let share = prop_oneof![
        Just(Some(0)),
        Just(Some(u32::MAX)),
        any::<u32>().prop_map(Some),
        Just(None)
    ];
    prop::collection::vec((pause, share), 1..40)
}

/// The cost meant by an entry of [`extreme_trace`].
pub fn cost_of(share: Option<u32>, limit: u64) -> u64 {
    match share {
        Some(share) => {
            let cost = u128::from(limit) * u128::from(share) / u128::from(u32::MAX);
            u64::try_from(cost).unwrap()
        }
        None => u64::MAX,
    }
}

/// Runs a trace from `start` through one key.
pub fn run<A: Algorithm>(limit: &A, start: u64, trace: &[Step]) -> Vec<Answered> {
    let mut state = A::State::default();
    let mut at = start;
    trace
        .iter()
        .map(|&(pause, cost)| {
            at += pause;
            let decision = limit.decide(&mut state, Moment::from_nanos(at), cost);
            Answered { at, cost, decision }
        })
        .collect()
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

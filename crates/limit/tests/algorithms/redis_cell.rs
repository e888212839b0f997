//! The table of cases by which redis-cell, the Redis module behind `CL.THROTTLE`, tests its GCRA:
//! the same inputs and the same expectations.

use std::time::Duration;

use tollgate_limit::{
    Algorithm, AtomicGcra, Decision, Gcra, GcraCell, GcraState, LeakyMeter, LeakyMeterState,
    Moment, Quota, TokenBucket, TokenBucketState,
};

/// Milliseconds since the start, quantity; expected: remaining, reset after and retry after in
/// milliseconds (-1: none), limited.
type Case = (u64, u64, u64, i128, i128, bool);

/// One a second, bursts of five.
const CASES: [Case; 15] = [
    // More than the limit never passes.
    (0, 6, 5, 0, -1, true),
    // Until the burst is used up.
    (0, 1, 4, 1_000, -1, false),
    (0, 1, 3, 2_000, -1, false),
    (0, 1, 2, 3_000, -1, false),
    (0, 1, 1, 4_000, -1, false),
    (0, 1, 0, 5_000, -1, false),
    (0, 1, 0, 5_000, 1_000, true),
    // Time brings units back.
    (3_000, 1, 2, 3_000, -1, false),
    (3_100, 1, 1, 3_900, -1, false),
    (4_000, 1, 1, 4_000, -1, false),
    (8_000, 1, 4, 1_000, -1, false),
    (9_500, 1, 4, 1_000, -1, false),
    // Quantity 0 peeks.
    (9_500, 0, 4, 1_000, -1, false),
    // A greater quantity uses more, and does not pass if there is less.
    (9_500, 2, 2, 3_000, -1, false),
    (9_500, 5, 2, 3_000, 3_000, true),
];

fn reproduces_the_table(mut decide: impl FnMut(Moment, u64) -> Decision) {
    let start = Duration::from_secs(1_700_000_000);
    for (number, (ms, quantity, remaining, reset, retry, limited)) in CASES.into_iter().enumerate()
    {
        let now = Moment::after_origin(start + Duration::from_millis(ms));
        let decision = decide(now, quantity);
        let millis = |d: Duration| {
            assert_eq!(d.subsec_nanos() % 1_000_000, 0);
            i128::try_from(d.as_millis()).unwrap()
        };
        let got = (
            decision.limit(),
            decision.remaining(),
            millis(decision.reset_after()),
            decision.retry_after().map_or(-1, millis),
            !decision.allowed(),
        );
        assert_eq!(got, (5, remaining, reset, retry, limited), "case {number}");
    }
}

#[test]
fn gcra_reproduces_the_table() {
    let limit = Gcra::new(Quota::per_second(1).unwrap().with_burst(5).unwrap());
    let mut key = GcraState::default();
    reproduces_the_table(|now, cost| limit.decide(&mut key, now, cost));
}

#[test]
fn the_atomic_cell_reproduces_the_table() {
    let bucket = Quota::per_second(1).unwrap().with_burst(5).unwrap();
    let origin = Moment::after_origin(Duration::from_secs(1_699_999_999));
    let limit = AtomicGcra::new(bucket, origin).unwrap();
    let cell = GcraCell::default();
    reproduces_the_table(|now, cost| limit.decide(&cell, now, cost));
}

#[test]
fn token_bucket_and_meter_reproduce_the_table() {
    let bucket = Quota::per_second(1).unwrap().with_burst(5).unwrap();
    let mut tokens = TokenBucketState::default();
    reproduces_the_table(|now, cost| TokenBucket::new(bucket).decide(&mut tokens, now, cost));
    let mut water = LeakyMeterState::default();
    reproduces_the_table(|now, cost| LeakyMeter::new(bucket).decide(&mut water, now, cost));
}

/// Rates above one a millisecond, where redis-cell's expiry in whole milliseconds forgets the key.
#[test]
fn a_rate_above_a_thousand_a_second_is_kept() {
    let limit = Gcra::new(Quota::per_second(1_000_000).unwrap().with_burst(1).unwrap());
    let mut key = GcraState::default();
    let at = Moment::from_nanos;
    assert!(limit.decide(&mut key, at(1_000_000), 1).allowed());
    let refused = limit.decide(&mut key, at(1_000_300), 1);
    assert_eq!(refused.retry_after(), Some(Duration::from_nanos(700)));
    assert!(limit.decide(&mut key, at(1_001_000), 1).allowed());
}

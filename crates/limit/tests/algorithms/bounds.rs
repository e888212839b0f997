//! The bounds that the docstrings state, over every interval of a trace.

use proptest::prelude::*;
use tollgate_limit::{
    Algorithm, AtomicGcra, FixedWindow, Gcra, GcraCell, LeakyMeter, LeakyQueue, LeakyQueueState,
    Moment, Quota, SlidingCounter, SlidingLog, TokenBucket,
};

use crate::trace::{Answered, Step, nanos, run, small_bucket, small_quota, small_trace};

/// A trace of demand far above any small limit, with long rests in it.
fn greedy_trace() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        6 => Just(0_u64),
        6 => 0_u64..100_000,
        2 => 900_000_u64..1_100_000,
        1 => Just(3_600_000_000_000),
        1 => Just(10_u64.pow(16)),
    ];
    prop::collection::vec((pause, 1_u64..4), 50..200)
}

/// The units admitted in each interval that begins and ends with an admission: `(t, units)`.
fn intervals(answered: &[Answered]) -> Vec<(u64, u64)> {
    let admitted: Vec<&Answered> = answered.iter().filter(|a| a.decision.allowed()).collect();
    let mut all = Vec::new();
    for (i, first) in admitted.iter().enumerate() {
        let mut units = 0;
        for last in &admitted[i..] {
            units += last.cost;
            all.push((last.at - first.at, units));
        }
    }
    all
}

/// At most `burst + limit × t / window` in every interval of length `t`.
fn within_curve(quota: Quota, burst: u64, answered: &[Answered]) -> Result<(), TestCaseError> {
    let window = u128::from(nanos(quota.window()));
    for (t, units) in intervals(answered) {
        let curve = u128::from(burst) * window + u128::from(quota.limit()) * u128::from(t);
        prop_assert!(
            u128::from(units) * window <= curve,
            "{units} units in {t} ns"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn buckets_admit_burst_and_rate_in_any_interval_also_after_a_rest(
        bucket in small_bucket(), trace in greedy_trace()
    ) {
        let (quota, burst) = (bucket.quota(), bucket.capacity());
        within_curve(quota, burst, &run(&TokenBucket::new(bucket), 0, &trace))?;
        within_curve(quota, burst, &run(&Gcra::new(bucket), 0, &trace))?;
        within_curve(quota, burst, &run(&LeakyMeter::new(bucket), 0, &trace))?;
        within_curve(quota, burst, &run(&LeakyQueue::new(bucket), 0, &trace))?;
        let cells = AtomicGcra::new(bucket, Moment::ORIGIN).unwrap();
        let cell = GcraCell::default();
        let mut at = 0;
        let answered: Vec<Answered> = trace.iter().map(|&(pause, cost)| {
            at += pause;
            let decision = cells.decide(&cell, Moment::from_nanos(at), cost);
            Answered { at, cost, decision }
        }).collect();
        within_curve(quota, burst, &answered)?;
    }

    #[test]
    fn a_sliding_counter_admits_limit_and_rate_in_any_interval(
        quota in small_quota(), trace in greedy_trace()
    ) {
        within_curve(quota, quota.limit(), &run(&SlidingCounter::new(quota), 0, &trace))?;
    }

    #[test]
    fn a_sliding_log_admits_the_limit_in_any_window(
        quota in small_quota(), trace in greedy_trace()
    ) {
        for (t, units) in intervals(&run(&SlidingLog::new(quota), 0, &trace)) {
            prop_assert!(t >= nanos(quota.window()) || units <= quota.limit());
        }
    }

    #[test]
    fn a_fixed_window_admits_twice_the_limit_at_most(
        quota in small_quota(), trace in greedy_trace()
    ) {
        for (t, units) in intervals(&run(&FixedWindow::new(quota), 0, &trace)) {
            prop_assert!(units <= quota.limit() * (t / nanos(quota.window()) + 2));
        }
    }

    /// Departures of a queue: the rate alone, whatever the arrivals.
    #[test]
    fn a_queue_lets_a_burst_out_at_the_rate(bucket in small_bucket(), trace in small_trace()) {
        let quota = bucket.quota();
        let limit = LeakyQueue::new(bucket);
        let mut key = LeakyQueueState::default();
        let mut at = 0;
        let mut departures: Vec<(u64, u64)> = Vec::new();
        for (pause, cost) in trace {
            at += pause;
            let shaped = limit.shape(&mut key, Moment::from_nanos(at), cost);
            if shaped.decision.allowed() && cost > 0 {
                departures.push((at + nanos(shaped.delay), cost));
            }
        }
        // Between two departures lies the service of the first and of all between them. Each time
        // is rounded up, so the distance may be short by less than a nanosecond.
        for (i, (first, _)) in departures.iter().enumerate() {
            let mut served = 0;
            for pair in departures[i..].windows(2) {
                served += u128::from(pair[0].1) * u128::from(nanos(quota.window()));
                let distance = u128::from(pair[1].0 - first) + 1;
                prop_assert!(distance * u128::from(quota.limit()) > served);
            }
        }
    }
}

/// A cell that has to round a unit up stays below the rate, by less than a thousandth: a unit that
/// were rounded down would be ahead of it after these many.
#[test]
fn an_uneven_cell_keeps_below_the_rate_in_the_long_run() {
    for per_second in [999_983, 40_000_003] {
        let quota = Quota::per_second(per_second).unwrap();
        let limit = AtomicGcra::new(quota.with_burst(10).unwrap(), Moment::ORIGIN).unwrap();
        assert!(!limit.is_exact());
        let cell = GcraCell::default();
        let step = 1_000_000_000 / per_second / 2;
        let mut admitted = 0;
        for decision in 0..200_000 {
            let now = Moment::from_nanos(decision * step);
            admitted += u64::from(limit.decide(&cell, now, 1).allowed());
            let most = 10 + decision * step * per_second / 1_000_000_000;
            assert!(admitted <= most, "{admitted} of at most {most}");
            assert!(admitted + most / 1_000 + 10 >= most, "{admitted} of {most}");
        }
    }
}

/// The seam of the fixed window and the worst case of the sliding counter are reached, not only
/// bounded: a whole limit on the end of a window, then as much as will pass until the end of the
/// next.
#[test]
fn the_worst_cases_are_as_bad_as_stated() {
    let quota = Quota::per_second(100).unwrap();
    let second = 1_000_000_000;
    let burst = |at| (0..100).map(move |_| (at, 1));

    let at_the_seam: Vec<(u64, u64)> = burst(second - 1).chain(burst(second)).collect();
    assert_eq!(worst_window(&FixedWindow::new(quota), &at_the_seam), 200);
    assert_eq!(worst_window(&SlidingCounter::new(quota), &at_the_seam), 100);
    assert_eq!(worst_window(&SlidingLog::new(quota), &at_the_seam), 100);

    let trickle = (0..1_000).map(|ms| (second + ms * 1_000_000, 1));
    let then_trickle: Vec<(u64, u64)> = burst(second - 1).chain(trickle).collect();
    // 99 of the next 100 come in before the window after the burst has passed.
    assert_eq!(
        worst_window(&SlidingCounter::new(quota), &then_trickle),
        199
    );
    assert_eq!(worst_window(&Gcra::new(quota), &then_trickle), 199);
    assert_eq!(worst_window(&SlidingLog::new(quota), &then_trickle), 100);
}

/// The most units admitted in any half-open second.
fn worst_window<A: Algorithm>(limit: &A, requests: &[(u64, u64)]) -> u64 {
    let mut now = 0;
    let trace: Vec<Step> = requests
        .iter()
        .map(|&(at, cost)| {
            let pause = at - now;
            now = at;
            (pause, cost)
        })
        .collect();
    let all = intervals(&run(limit, 0, &trace));
    let within = all.iter().filter(|(t, _)| *t < 1_000_000_000);
    within.map(|(_, units)| *units).max().unwrap_or(0)
}

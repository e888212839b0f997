//! Every decision of every algorithm equals that of its naive model.

use proptest::prelude::*;
use tollgate_limit::{
    Algorithm, AtomicGcra, FixedWindow, Gcra, GcraCell, LeakyMeter, LeakyQueue, LeakyQueueState,
    Moment, SlidingCounter, SlidingLog, TokenBucket,
};

use crate::naive::{History, Server};
use crate::trace::{Step, nanos, run, small_bucket, small_quota, small_trace};

/// Runs the trace and asks the model whether each request fits what was admitted before it.
fn agree<A: Algorithm>(
    limit: &A,
    start: u64,
    trace: &[Step],
    fits: impl Fn(&History, u64, u64) -> bool,
) -> Result<(), TestCaseError> {
    let mut history = History::default();
    for answered in run(limit, start, trace) {
        let (at, cost) = (answered.at, answered.cost);
        let expected = cost == 0 || fits(&history, at, cost);
        prop_assert_eq!(answered.decision.allowed(), expected, "{:?}", answered);
        if expected {
            history.admit(at, cost);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn token_bucket(bucket in small_bucket(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&TokenBucket::new(bucket), start, &trace, |history, at, cost| {
            history.conforms_to_curve(bucket, at, cost)
        })?;
    }

    #[test]
    fn gcra(bucket in small_bucket(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&Gcra::new(bucket), start, &trace, |history, at, cost| {
            history.conforms_to_curve(bucket, at, cost)
        })?;
    }

    #[test]
    fn leaky_meter(bucket in small_bucket(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&LeakyMeter::new(bucket), start, &trace, |history, at, cost| {
            history.conforms_to_curve(bucket, at, cost)
        })?;
    }

    #[test]
    fn fixed_window(quota in small_quota(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&FixedWindow::new(quota), start, &trace, |history, at, cost| {
            history.fits_fixed_window(quota, at, cost)
        })?;
    }

    #[test]
    fn sliding_log(quota in small_quota(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&SlidingLog::new(quota), start, &trace, |history, at, cost| {
            history.fits_sliding_log(quota, at, cost)
        })?;
    }

    #[test]
    fn sliding_counter(quota in small_quota(), start in 0_u64..1 << 60, trace in small_trace()) {
        agree(&SlidingCounter::new(quota), start, &trace, |history, at, cost| {
            history.fits_sliding_counter(quota, at, cost)
        })?;
    }

    #[test]
    fn leaky_queue_decides_and_delays(
        bucket in small_bucket(),
        max_delay in prop::option::of(0_u64..2_000_000),
        start in 0_u64..1 << 60,
        trace in small_trace(),
    ) {
        let quota = bucket.quota();
        let mut limit = LeakyQueue::new(bucket);
        if let Some(max_delay) = max_delay {
            limit = limit.with_max_delay(std::time::Duration::from_nanos(max_delay)).unwrap();
        }
        let mut key = LeakyQueueState::default();
        let mut server = Server::default();
        let mut at = start;
        for (pause, cost) in trace {
            at += pause;
            let shaped = limit.shape(&mut key, Moment::from_nanos(at), cost);
            let begins = server.begins(quota, at).div_ceil(u128::from(quota.limit()));
            let delay = begins - u128::from(at);
            let patient = max_delay.is_none_or(|most| delay <= u128::from(most));
            let expected = cost == 0 || server.has_room(bucket, at, cost) && patient;
            prop_assert_eq!(shaped.decision.allowed(), expected);
            let expected_delay = if expected { delay } else { 0 };
            prop_assert_eq!(shaped.delay.as_nanos(), expected_delay);
            if expected {
                server.serve(quota, at, cost);
            }
        }
    }

    /// Not only the verdicts: all five members agree among the four views of one bucket.
    #[test]
    fn the_buckets_say_the_same(
        bucket in small_bucket(), start in 0_u64..1 << 57, trace in small_trace()
    ) {
        let expected = run(&TokenBucket::new(bucket), start, &trace);
        let gcra = run(&Gcra::new(bucket), start, &trace);
        let meter = run(&LeakyMeter::new(bucket), start, &trace);
        let queue = run(&LeakyQueue::new(bucket), start, &trace);
        let cells = AtomicGcra::new(bucket, Moment::from_nanos(start)).unwrap();
        prop_assert!(cells.is_exact());
        let cell = GcraCell::default();
        for (i, answered) in expected.iter().enumerate() {
            prop_assert_eq!(answered.decision, gcra[i].decision);
            prop_assert_eq!(answered.decision, meter[i].decision);
            prop_assert_eq!(answered.decision, queue[i].decision);
            let at = Moment::from_nanos(answered.at);
            prop_assert_eq!(answered.decision, cells.decide(&cell, at, answered.cost));
        }
    }

    /// A cell that has to round admits nothing that exact arithmetic refuses.
    #[test]
    fn an_uneven_cell_errs_on_the_side_of_refusing(
        limit in 900_000_u64..1_100_000, capacity in 1_u64..50, trace in small_trace()
    ) {
        let quota = tollgate_limit::Quota::per_second(limit).unwrap();
        let bucket = quota.with_burst(capacity).unwrap();
        let cells = AtomicGcra::new(bucket, Moment::ORIGIN).unwrap();
        let cell = GcraCell::default();
        let mut history = History::default();
        let mut at = 0;
        for (pause, cost) in trace {
            at += pause / 100;
            if cells.decide(&cell, Moment::from_nanos(at), cost).allowed() {
                prop_assert!(history.conforms_to_curve(bucket, at, cost));
                history.admit(at, cost);
            }
        }
        // And its whole burst is there again after a rest.
        at += nanos(quota.window()) * 2;
        prop_assert!(cells.decide(&cell, Moment::from_nanos(at), capacity).allowed());
    }
}

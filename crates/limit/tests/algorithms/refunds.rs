//! Units given back: what is admitted without them stays within the limit, and they are not lost.

use proptest::prelude::*;
use tollgate_limit::{
    Algorithm, FixedWindow, Gcra, LeakyMeter, LeakyQueue, LeakyQueueState, Moment, SlidingCounter,
    SlidingLog, TokenBucket,
};

use crate::naive::History;
use crate::trace::{Step, nanos, small_bucket, small_quota, small_trace};

/// Before a step, this much of what some earlier step was charged is given back: which step, counted
/// back from the newest, and how many units.
type Return = Option<(prop::sample::Index, u64)>;

fn returns() -> impl Strategy<Value = Vec<(Step, Return)>> {
    let back = prop::option::of((any::<prop::sample::Index>(), 1_u64..20));
    let backs = prop::collection::vec(back, 120);
    (small_trace(), backs).prop_map(|(trace, backs)| trace.into_iter().zip(backs).collect())
}

/// Runs the trace, and hands each decision to `check` with what was admitted and not given back
/// before it. Returns that at the end.
fn run<A: Algorithm>(
    limit: &A,
    start: u64,
    trace: &[(Step, Return)],
    check: impl Fn(&History, u64, u64, bool) -> Result<(), TestCaseError>,
) -> Result<History, TestCaseError> {
    let mut state = A::State::default();
    let mut net = History::default();
    let mut held: Vec<(u64, u64)> = Vec::new();
    let mut at = start;
    for ((pause, cost), back) in trace {
        at += pause;
        let now = Moment::from_nanos(at);
        if let Some((which, units)) = back
            && !held.is_empty()
        {
            let (since, charged) = held.swap_remove(which.index(held.len()));
            let units = charged.min(*units);
            limit.refund(&mut state, now, units, Moment::from_nanos(since));
            net.refund(since, charged, units);
        }
        let allowed = limit.decide(&mut state, now, *cost).allowed();
        check(&net, at, *cost, allowed)?;
        if allowed && *cost > 0 {
            net.admit(at, *cost);
            held.push((at, *cost));
        }
    }
    Ok(net)
}

/// Windows and logs: every decision is that of the model on what was not given back.
fn agree<A: Algorithm>(
    limit: &A,
    start: u64,
    trace: &[(Step, Return)],
    fits: impl Fn(&History, u64, u64) -> bool,
) -> Result<(), TestCaseError> {
    run(limit, start, trace, |net, at, cost, allowed| {
        prop_assert_eq!(allowed, cost == 0 || fits(net, at, cost));
        Ok(())
    })?;
    Ok(())
}

/// Buckets: what was not given back conforms to the curve, in every interval.
fn conforms<A: Algorithm>(
    limit: &A,
    bucket: tollgate_limit::Bucket,
    start: u64,
    trace: &[(Step, Return)],
) -> Result<(), TestCaseError> {
    let net = run(limit, start, trace, |_, _, _, _| Ok(()))?;
    let mut before = History::default();
    for (at, cost) in net.admitted() {
        if *cost > 0 {
            prop_assert!(before.conforms_to_curve(bucket, *at, *cost));
            before.admit(*at, *cost);
        }
    }
    Ok(())
}

/// What is given back at the moment it was charged leaves the same decisions behind.
fn is_undone<A: Algorithm>(limit: &A, start: u64, trace: &[Step]) -> Result<(), TestCaseError> {
    let (mut plain, mut other) = (A::State::default(), A::State::default());
    let mut at = start;
    for (pause, cost) in trace {
        at += pause;
        let now = Moment::from_nanos(at);
        for units in [1, limit.limit()] {
            if limit.decide(&mut other, now, units).allowed() {
                limit.refund(&mut other, now, units, now);
            }
        }
        let expected = limit.decide(&mut plain, now, *cost);
        prop_assert_eq!(limit.decide(&mut other, now, *cost), expected);
    }
    Ok(())
}

proptest! {
    #[test]
    fn buckets(bucket in small_bucket(), start in 0_u64..1 << 60, trace in returns()) {
        conforms(&TokenBucket::new(bucket), bucket, start, &trace)?;
        conforms(&Gcra::new(bucket), bucket, start, &trace)?;
        conforms(&LeakyMeter::new(bucket), bucket, start, &trace)?;
    }

    #[test]
    fn fixed_window(quota in small_quota(), start in 0_u64..1 << 60, trace in returns()) {
        agree(&FixedWindow::new(quota), start, &trace, |net, at, cost| {
            net.fits_fixed_window(quota, at, cost)
        })?;
    }

    #[test]
    fn sliding_log(quota in small_quota(), start in 0_u64..1 << 60, trace in returns()) {
        agree(&SlidingLog::new(quota), start, &trace, |net, at, cost| {
            net.fits_sliding_log(quota, at, cost)
        })?;
    }

    #[test]
    fn sliding_counter(quota in small_quota(), start in 0_u64..1 << 60, trace in returns()) {
        agree(&SlidingCounter::new(quota), start, &trace, |net, at, cost| {
            net.fits_sliding_counter(quota, at, cost)
        })?;
    }

    #[test]
    fn at_once_everything_is_undone(
        bucket in small_bucket(), start in 0_u64..1 << 60, trace in small_trace()
    ) {
        let quota = bucket.quota();
        is_undone(&TokenBucket::new(bucket), start, &trace)?;
        is_undone(&Gcra::new(bucket), start, &trace)?;
        is_undone(&LeakyMeter::new(bucket), start, &trace)?;
        is_undone(&LeakyQueue::new(bucket), start, &trace)?;
        is_undone(&FixedWindow::new(quota), start, &trace)?;
        is_undone(&SlidingCounter::new(quota), start, &trace)?;
        is_undone(&SlidingLog::new(quota), start, &trace)?;
    }

    /// Requests leave the queue before their turn.
    #[test]
    fn a_queue_is_over_its_bounds_by_no_more_than_what_left(
        bucket in small_bucket(), start in 0_u64..1 << 50, trace in returns()
    ) {
        struct Place { at: u64, leaves: u128, cost: u64, gone: Option<u64> }
        let limit = LeakyQueue::new(bucket);
        let (rate, window) = (u128::from(bucket.quota().limit()), u128::from(nanos(bucket.quota().window())));
        let most_delay = u128::from(bucket.capacity()) * window / rate;
        let mut state = LeakyQueueState::default();
        let mut places: Vec<Place> = Vec::new();
        let mut at = start;
        for ((pause, cost), back) in &trace {
            at += pause;
            let now = Moment::from_nanos(at);
            let waits = |place: &&mut Place| place.leaves > u128::from(at) && place.gone.is_none();
            let mut waiting: Vec<&mut Place> = places.iter_mut().filter(waits).collect();
            if let Some((which, _)) = back && !waiting.is_empty() {
                let index = which.index(waiting.len());
                let place = &mut waiting[index];
                place.gone = Some(at);
                let turn = Moment::from_nanos(u64::try_from(place.leaves).unwrap());
                let room = limit.decide(&mut state, now, 0).remaining();
                limit.refund(&mut state, now, place.cost, turn);
                let after = limit.decide(&mut state, now, 0).remaining();
                // Its place is free, but where another one left before it had it already.
                prop_assert!(after >= room && after <= room + place.cost);
            }
            let shaped = limit.shape(&mut state, now, *cost);
            if shaped.decision.allowed() && *cost > 0 {
                prop_assert!(shaped.delay.as_nanos() <= most_delay);
                let leaves = u128::from(at) + shaped.delay.as_nanos();
                places.push(Place { at, leaves, cost: *cost, gone: None });
            }
        }
        let stayed = || places.iter().filter(|place| place.gone.is_none());
        for first in stayed() {
            for last in stayed() {
                let given_back = |from: u64, to: u64| -> u64 {
                    let left = places.iter().filter(|p| p.gone.is_some_and(|gone| from <= gone && gone <= to));
                    left.map(|place| place.cost).sum()
                };
                if first.at <= last.at {
                    let admitted: u64 = stayed().filter(|p| first.at <= p.at && p.at <= last.at).map(|p| p.cost).sum();
                    let most = u128::from(bucket.capacity() + given_back(first.at, last.at)) * window
                        + rate * u128::from(last.at - first.at);
                    prop_assert!(u128::from(admitted) * window <= most);
                }
                if first.leaves <= last.leaves {
                    let within = || {
                        let leaves = first.leaves..last.leaves;
                        let inside = stayed().filter(move |p| leaves.contains(&p.leaves));
                        inside.chain([last])
                    };
                    let departed: u64 = within().map(|p| p.cost).sum();
                    let came = within().map(|p| p.at);
                    let back = given_back(came.clone().min().unwrap(), came.max().unwrap());
                    // Delays are rounded up to a nanosecond.
                    let one = within().map(|p| p.cost).max().unwrap();
                    let most = u128::from(back + one) * window
                        + rate * (last.leaves - first.leaves + 1);
                    prop_assert!(u128::from(departed) * window <= most);
                }
            }
        }
    }
}

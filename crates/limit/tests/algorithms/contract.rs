//! What every algorithm promises of its decisions, whatever its policy: see `Algorithm` and
//! `Decision`.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use tollgate_limit::{
    Algorithm, AtomicGcra, Decision, FixedWindow, Gcra, GcraCell, LeakyMeter, LeakyQueue, Moment,
    Quota, SlidingCounter, SlidingLog, TokenBucket, Verdict,
};

use crate::trace::{
    Step, cost_of, extreme_quota, extreme_trace, small_bucket, small_quota, small_trace,
};

/// Runs a trace and checks each decision against the promises, by asking copies of the state.
fn keeps_its_promises<A>(limit: &A, start: u64, trace: &[Step]) -> Result<(), TestCaseError>
where
    A: Algorithm,
    A::State: Debug + PartialEq,
{
    let mut state = A::State::default();
    let mut now = Moment::from_nanos(start);
    for &(pause, cost) in trace {
        now = now.plus(Duration::from_nanos(pause));
        let mut before = state.clone();
        let decision = limit.decide(&mut state, now, cost);
        prop_assert_eq!(decision.limit(), limit.limit());
        prop_assert!(decision.remaining() <= decision.limit());
        let peek = decision_of(limit, &state, now, 0);
        prop_assert!(peek.allowed());
        prop_assert_eq!(peek.remaining(), decision.remaining());
        prop_assert_eq!(peek.reset_after(), decision.reset_after());
        match decision.verdict() {
            Verdict::Allowed => prop_assert!(cost <= limit.limit()),
            Verdict::Never => prop_assert!(cost > limit.limit()),
            Verdict::RetryAfter(after) => retries_exactly_then(limit, &state, now, cost, after)?,
        }
        // A request that is refused, or only peeks, changes no later decision.
        if !decision.allowed() || cost == 0 {
            let again = limit.decide(&mut before, now, cost);
            prop_assert_eq!(again, decision_of(limit, &state, now, cost));
        }
        remaining_is_what_passes(limit, &state, now, decision)?;
        is_fresh_after_reset(limit, &state, now, decision)?;
    }
    Ok(())
}

fn decision_of<A: Algorithm>(limit: &A, state: &A::State, now: Moment, cost: u64) -> Decision {
    limit.decide(&mut state.clone(), now, cost)
}

/// Refused until `after`, and not a nanosecond longer.
fn retries_exactly_then<A: Algorithm>(
    limit: &A,
    state: &A::State,
    now: Moment,
    cost: u64,
    after: Duration,
) -> Result<(), TestCaseError> {
    prop_assert!(after > Duration::ZERO);
    let then = now.plus(after);
    if then == Moment::LAST {
        // Time stands still there.
        return Ok(());
    }
    prop_assert!(
        decision_of(limit, state, then, cost).allowed(),
        "refused after {after:?}"
    );
    let just_before = now.plus(after - Duration::from_nanos(1));
    prop_assert!(
        !decision_of(limit, state, just_before, cost).allowed(),
        "allowed before {after:?}"
    );
    Ok(())
}

fn remaining_is_what_passes<A: Algorithm>(
    limit: &A,
    state: &A::State,
    now: Moment,
    decision: Decision,
) -> Result<(), TestCaseError> {
    let most = decision.remaining();
    prop_assert!(decision_of(limit, state, now, most).allowed());
    prop_assert!(!decision_of(limit, state, now, most + 1).allowed());
    Ok(())
}

/// After `reset_after`, a state decides as one never used does.
fn is_fresh_after_reset<A: Algorithm>(
    limit: &A,
    state: &A::State,
    now: Moment,
    decision: Decision,
) -> Result<(), TestCaseError> {
    let then = now.plus(decision.reset_after());
    if then == Moment::LAST {
        return Ok(());
    }
    for cost in [0, 1, limit.limit()] {
        let used = decision_of(limit, state, then, cost);
        let fresh = decision_of(limit, &A::State::default(), then, cost);
        prop_assert_eq!(used, fresh);
    }
    Ok(())
}

fn extremes<A>(limit: &A, trace: &[(u64, Option<u32>)]) -> Result<(), TestCaseError>
where
    A: Algorithm,
    A::State: Debug + PartialEq,
{
    let trace: Vec<Step> = trace
        .iter()
        .map(|&(pause, share)| (pause, cost_of(share, limit.limit())))
        .collect();
    keeps_its_promises(limit, 0, &trace)?;
    keeps_its_promises(limit, Moment::LAST.as_nanos() - 1_000_000, &trace)
}

/// The same promises, for each algorithm, on small policies and at the ends of every range.
macro_rules! promises {
    ($($name:ident: $policy:ident => $limit:expr;)*) => {$(
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn on_small_policies(
                    policy in $policy(), start in 0_u64..1 << 60, trace in small_trace()
                ) {
                    keeps_its_promises(&$limit(policy), start, &trace)?;
                }

                #[test]
                fn at_the_extremes(quota in extreme_quota(), trace in extreme_trace()) {
                    extremes(&$limit(quota.into()), &trace)?;
                }
            }
        }
    )*};
}

promises! {
    token_bucket: small_bucket => |bucket: tollgate_limit::Bucket| TokenBucket::new(bucket);
    gcra: small_bucket => |bucket: tollgate_limit::Bucket| Gcra::new(bucket);
    leaky_meter: small_bucket => |bucket: tollgate_limit::Bucket| LeakyMeter::new(bucket);
    leaky_queue: small_bucket => |bucket: tollgate_limit::Bucket| LeakyQueue::new(bucket);
    impatient_queue: small_bucket => |bucket: tollgate_limit::Bucket| {
        LeakyQueue::new(bucket).with_max_delay(Duration::from_micros(300)).unwrap()
    };
    fixed_window: small_quota => |quota: Quota| FixedWindow::new(quota);
    sliding_log: small_quota => |quota: Quota| SlidingLog::new(quota);
    sliding_counter: small_quota => |quota: Quota| SlidingCounter::new(quota);
}

proptest! {
    /// The cell at the extremes: nothing overflows, and what it allows `Gcra` allows.
    #[test]
    fn an_atomic_cell_at_the_extremes(quota in extreme_quota(), trace in extreme_trace()) {
        if let Ok(cells) = AtomicGcra::new(quota, Moment::ORIGIN) {
            let cell = GcraCell::default();
            let mut now = Moment::ORIGIN;
            for (pause, share) in trace {
                now = now.plus(Duration::from_nanos(pause));
                let cost = cost_of(share, quota.limit());
                let decision = cells.decide(&cell, now, cost);
                prop_assert!(decision.remaining() <= quota.limit());
                prop_assert_eq!(decision.verdict() == Verdict::Never, cost > quota.limit());
                prop_assert!(!cells.decide(&cell, now, decision.remaining() + 1).allowed());
                prop_assert!(cells.decide(&cell, now, decision.remaining()).allowed());
            }
        }
    }

    /// A clock that runs backwards never admits more than one that stands still.
    #[test]
    fn a_clock_that_jumps_back_admits_no_more(
        quota in small_quota(), jumps in prop::collection::vec(0_u64..3_000_000, 1..80)
    ) {
        fn admitted<A: Algorithm>(limit: &A, times: impl Iterator<Item = u64>) -> usize {
            let mut state = A::State::default();
            times
                .filter(|at| limit.decide(&mut state, Moment::from_nanos(*at), 1).allowed())
                .count()
        }
        let mut latest = 0;
        let still: Vec<u64> = jumps.iter().map(|at| { latest = latest.max(*at); latest }).collect();
        let (back, still) = (|| jumps.iter().copied(), || still.iter().copied());
        let bucket = TokenBucket::new(quota);
        prop_assert!(admitted(&bucket, back()) <= admitted(&bucket, still()));
        let meter = LeakyMeter::new(quota);
        prop_assert!(admitted(&meter, back()) <= admitted(&meter, still()));
        let log = SlidingLog::new(quota);
        prop_assert!(admitted(&log, back()) <= admitted(&log, still()));
        let window = FixedWindow::new(quota);
        prop_assert!(admitted(&window, back()) <= admitted(&window, still()));
        let counter = SlidingCounter::new(quota);
        prop_assert!(admitted(&counter, back()) <= admitted(&counter, still()));
    }
}

//! Sixteen threads on one cell: never more than the limit, and not less.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tollgate_limit::{AtomicGcra, GcraCell, Moment, Quota};

const THREADS: u64 = 16;

/// Runs `work` on all threads at once and returns the sum of what they admitted.
fn hammer(work: impl Fn(u64) -> u64 + Sync) -> u64 {
    let gate = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (gate, work) = (&gate, &work);
                scope.spawn(move || {
                    gate.wait();
                    work(thread)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    })
}

#[test]
fn while_time_stands_still_exactly_the_burst_passes() {
    for round in 0..20 {
        let quota = Quota::per_second(7).unwrap().with_burst(10_000).unwrap();
        let limit = AtomicGcra::new(quota, Moment::ORIGIN).unwrap();
        let cell = GcraCell::default();
        let now = Moment::from_nanos(round * 1_000_000_000);
        let admitted = hammer(|_| {
            let allowed = (0..1_500).filter(|_| limit.decide(&cell, now, 1).allowed());
            u64::try_from(allowed.count()).unwrap()
        });
        assert_eq!(admitted, 10_000);
    }
}

/// Every decision moves a common clock on, so threads decide with times out of order, as real
/// threads that read a clock and are then set aside do.
#[test]
fn while_time_runs_the_burst_and_the_rate_pass() {
    let (burst, per_second) = (500, 100_000);
    let quota = Quota::per_second(per_second).unwrap();
    let limit = AtomicGcra::new(quota.with_burst(burst).unwrap(), Moment::ORIGIN).unwrap();
    let cell = GcraCell::default();
    // Less time for each decision than the 10 µs of a unit: demand is twice the rate.
    let (clock, step) = (AtomicU64::new(0), 5_000);
    let admitted = hammer(|_| {
        let allowed = (0..20_000).filter(|_| {
            let now = clock.fetch_add(step, Ordering::Relaxed) + step;
            limit.decide(&cell, Moment::from_nanos(now), 1).allowed()
        });
        u64::try_from(allowed.count()).unwrap()
    });
    let elapsed = clock.into_inner();
    let most = burst + elapsed * per_second / 1_000_000_000;
    assert!(admitted <= most, "{admitted} of at most {most}");
    // The last thread to end may have been refused with old times: a little may be left over.
    assert!(admitted >= most - burst, "{admitted} of {most}");
}

/// Costs of different sizes race for the room that is left: it is never split twice.
#[test]
fn uneven_costs_never_pass_the_burst_together() {
    for _ in 0..50 {
        let quota = Quota::per_minute(1).unwrap().with_burst(1_009).unwrap();
        let limit = AtomicGcra::new(quota, Moment::ORIGIN).unwrap();
        let cell = GcraCell::default();
        let admitted = hammer(|thread| {
            let cost = thread % 5 + 1;
            let allowed = (0..200).filter(|_| limit.decide(&cell, Moment::ORIGIN, cost).allowed());
            cost * u64::try_from(allowed.count()).unwrap()
        });
        let left = limit.decide(&cell, Moment::ORIGIN, 0).remaining();
        assert_eq!(admitted + left, 1_009);
        assert!(left < 5, "a request of cost 5 found no room beside {left}");
    }
}

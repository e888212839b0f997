use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::Clock;
use tollgate_limit::{Adaptive, AdaptiveState, Aimd, Lease, LimitRange, Moment, Outcome as Learnt};

use super::{OverloadError, OverloadOptions};

/// How many are let in at first: growing from here to what a fast store can do takes milliseconds.
const INITIAL: u64 = 256;
/// Every admission ends when its work does; nothing is taken back before.
const LEASE: Duration = Duration::from_secs(366 * 86_400);

/// Lets so many do one kind of work at once that each is done in time: one more for each that was, a tenth less
/// when one was not (AIMD, of [`tollgate_limit`]).
///
/// What began before the limit was last lowered does not lower it again: it waited in the same queue.
pub struct Gate {
    limit: Adaptive<Aimd>,
    latency: Duration,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    shed: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    state: AdaptiveState<u64>,
    in_flight: u64,
    lowered: Moment,
}

/// What a gate does, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateStats {
    /// How many may be let in at once now.
    pub limit: u64,
    /// How many are.
    pub in_flight: u64,
    /// How many were refused since start.
    pub shed: u64,
}

/// A place. Dropping it without [`done`](Self::done) means that the work was given up.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<Gate>,
    lease: Option<Lease>,
}

impl Gate {
    /// A limit that follows how long the work takes.
    ///
    /// # Errors
    /// See [`OverloadError`].
    pub fn adaptive(
        options: OverloadOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OverloadError> {
        let OverloadOptions { min, max, .. } = options;
        let range = LimitRange::new(min, INITIAL.clamp(min, max.max(min)), max)?;
        Self::new(range, options.latency, clock)
    }

    /// A limit that stays as it is.
    ///
    /// # Errors
    /// See [`OverloadError`].
    pub fn fixed(limit: u64, clock: Arc<dyn Clock>) -> Result<Self, OverloadError> {
        Self::new(LimitRange::new(limit, limit, limit)?, Duration::MAX, clock)
    }

    fn new(
        range: LimitRange,
        latency: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OverloadError> {
        let limit = Adaptive::new(Aimd::new(range).with_timeout(latency), LEASE)?;
        let inner = Inner {
            state: limit.initial(),
            in_flight: 0,
            lowered: Moment::ORIGIN,
        };
        Ok(Self {
            limit,
            latency,
            clock,
            inner: Mutex::new(inner),
            shed: AtomicU64::new(0),
        })
    }

    /// A place, if one is free. Otherwise one more is counted as refused.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let now = self.now();
        let mut inner = self.inner.lock();
        let lease = self.limit.acquire(&mut inner.state, now, 1).lease;
        if lease.is_none() {
            drop(inner);
            self.shed.fetch_add(1, Relaxed);
            return None;
        }
        inner.in_flight += 1;
        drop(inner);
        Some(Admitted {
            gate: Arc::clone(self),
            lease,
        })
    }

    /// What it does.
    #[must_use]
    pub fn stats(&self) -> GateStats {
        let inner = self.inner.lock();
        GateStats {
            limit: self.limit.limit(&inner.state),
            in_flight: inner.in_flight,
            shed: self.shed.load(Relaxed),
        }
    }

    fn now(&self) -> Moment {
        Moment::after_origin(self.clock.monotonic())
    }

    fn release(&self, lease: Lease, done: bool) {
        let now = self.now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.in_flight = inner.in_flight.saturating_sub(1);
        let late = now.since(lease.since()) > self.latency;
        let learnt = match (late, done) {
            (true, _) if lease.since() < inner.lowered => Learnt::Ignored,
            (true, _) => {
                inner.lowered = now;
                Learnt::Dropped
            }
            (false, true) => Learnt::Served,
            // Its client left, and it might have been slow or not.
            (false, false) => Learnt::Ignored,
        };
        self.limit.release(&mut inner.state, now, lease, learnt);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.stats()).finish()
    }
}

impl Admitted {
    /// The work is done.
    pub fn done(mut self) {
        if let Some(lease) = self.lease.take() {
            self.gate.release(lease, true);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.gate.release(lease, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_clock::{ManualClock, UnixMillis};

    use super::*;

    fn gate(min: u64, max: u64) -> (Arc<Gate>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        // The moment zero is when the limit was "last lowered".
        clock.advance(Duration::from_secs(1));
        let options = OverloadOptions {
            latency: Duration::from_millis(100),
            min,
            max,
            max_long: 1,
        };
        let gate = Gate::adaptive(options, clock.clone()).unwrap();
        (Arc::new(gate), clock)
    }

    #[test]
    fn what_is_done_in_time_raises_the_limit_and_what_is_late_lowers_it_once() {
        let (gate, clock) = gate(2, 10);
        let mut held: Vec<_> = (0..10).map(|_| gate.admit().unwrap()).collect();
        assert!(gate.admit().is_none());
        assert_eq!(gate.stats().shed, 1);
        clock.advance(Duration::from_millis(101));
        held.pop().unwrap().done();
        assert_eq!(gate.stats().limit, 9);
        // These waited in the same queue.
        held.pop().unwrap().done();
        held.pop().unwrap().done();
        assert_eq!(
            gate.stats(),
            GateStats {
                limit: 9,
                in_flight: 7,
                shed: 1
            }
        );
        held.clear();
        assert_eq!(gate.stats().limit, 9);
        let held: Vec<_> = (0..9).map(|_| gate.admit().unwrap()).collect();
        held.into_iter().for_each(Admitted::done);
        assert_eq!(
            gate.stats(),
            GateStats {
                limit: 10,
                in_flight: 0,
                shed: 1
            }
        );
    }

    #[test]
    fn the_limit_never_falls_below_the_least() {
        let (gate, clock) = gate(2, 10);
        for _ in 0..100 {
            let slow = gate.admit().unwrap();
            clock.advance(Duration::from_secs(1));
            slow.done();
        }
        assert_eq!(gate.stats().limit, 2);
    }

    #[test]
    fn work_that_was_given_up_lowers_the_limit_only_if_it_was_late() {
        let (gate, clock) = gate(1, 10);
        drop(gate.admit());
        assert_eq!(gate.stats().limit, 10);
        let slow = gate.admit();
        clock.advance(Duration::from_secs(1));
        drop(slow);
        assert_eq!(gate.stats().limit, 9);
    }

    #[test]
    fn a_fixed_gate_does_not_learn() {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        let gate = Arc::new(Gate::fixed(1, clock.clone()).unwrap());
        let held = gate.admit();
        assert!(gate.admit().is_none());
        clock.advance(Duration::from_secs(86_400));
        drop(held);
        assert_eq!(
            gate.stats(),
            GateStats {
                limit: 1,
                in_flight: 0,
                shed: 1
            }
        );
        assert!(gate.admit().is_some());
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        let (_, clock) = gate(1, 1);
        let options = OverloadOptions {
            min: 5,
            max: 4,
            ..OverloadOptions::default()
        };
        assert!(matches!(
            Gate::adaptive(options, clock),
            Err(OverloadError::Range(_))
        ));
    }
}

use std::time::Duration;

use crate::concurrency::LeaseTime;
use crate::{Acquired, Lease, Moment, QuotaError, Released, Slots};

/// The greatest concurrency that an adaptive limit may reach: 2^32.
const MAX_CONCURRENCY: u64 = 1 << 32;

/// Why the settings of an adaptive limit were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdaptiveError {
    /// Not `1 <= min <= initial <= max <= 2^32`.
    #[error(
        "adaptive limit: min {min}, initial {initial}, max {max}: \
         give 1 <= min <= initial <= max <= {MAX_CONCURRENCY}"
    )]
    Range {
        /// The least limit.
        min: u64,
        /// The limit to begin with.
        initial: u64,
        /// The greatest limit.
        max: u64,
    },
    /// A share above 1000 ‰.
    #[error("{0} permille is more than the whole: give 0 to 1000")]
    Permille(u16),
    /// The share of the limit that is kept after a drop is not 500 to 999 ‰.
    #[error("backoff: {0} permille is out of range: give 500 to 999")]
    Backoff(u16),
    /// The tolerance of the round-trip time is not 1000 to 10,000 ‰.
    #[error("tolerance: {0} permille is out of range: give 1000 to 10000")]
    Tolerance(u16),
    /// The long window is not 1 to 1,000,000 samples.
    #[error("long_window: {0} samples is out of range: give 1 to 1000000")]
    LongWindow(u32),
}

/// Where an adaptive limit begins, and between what it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitRange {
    min: u64,
    initial: u64,
    max: u64,
}

impl LimitRange {
    /// Begins at `initial`, never below `min`, never above `max`.
    ///
    /// # Errors
    /// [`AdaptiveError::Range`] unless `1 <= min <= initial <= max <= 2^32`.
    pub fn new(min: u64, initial: u64, max: u64) -> Result<Self, AdaptiveError> {
        if 1 <= min && min <= initial && initial <= max && max <= MAX_CONCURRENCY {
            Ok(Self { min, initial, max })
        } else {
            Err(AdaptiveError::Range { min, initial, max })
        }
    }

    /// The least limit.
    #[must_use]
    pub const fn min(self) -> u64 {
        self.min
    }

    /// The limit to begin with.
    #[must_use]
    pub const fn initial(self) -> u64 {
        self.initial
    }

    /// The greatest limit.
    #[must_use]
    pub const fn max(self) -> u64 {
        self.max
    }
}

/// A share in thousandths, 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permille(pub(crate) u16);

impl Permille {
    /// So many thousandths.
    ///
    /// # Errors
    /// [`AdaptiveError::Permille`] above 1000.
    pub const fn new(permille: u16) -> Result<Self, AdaptiveError> {
        if permille <= 1000 {
            Ok(Self(permille))
        } else {
            Err(AdaptiveError::Permille(permille))
        }
    }

    /// The thousandths.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// How an operation under a concurrency limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was served.
    Served,
    /// It was dropped: a time-out, or a refusal for overload.
    Dropped,
    /// It says nothing about the load, such as a request that failed validation.
    Ignored,
}

/// One observation of the protected service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How long the operation took.
    pub rtt: Duration,
    /// The units in flight when it ended, its own included.
    pub in_flight: u64,
    /// Whether it was dropped.
    pub dropped: bool,
}

/// A law by which a concurrency limit follows what is observed.
pub trait LimitLaw {
    /// What the law remembers.
    type State: Clone;

    /// Before the first observation.
    fn initial(&self) -> Self::State;

    /// The limit now, at least 1.
    fn limit(&self, state: &Self::State) -> u64;

    /// Takes one observation in.
    fn observe(&self, state: &mut Self::State, sample: Sample);
}

/// Adaptive concurrency: a [`Concurrency`](crate::Concurrency) limit whose limit follows a law,
/// [`Aimd`](crate::Aimd) or [`Gradient`](crate::Gradient).
///
/// - **Formula**: that of the concurrency limit, with the limit of the law.
/// - **Bound**: at most the law's greatest limit held at any moment. When the limit sinks below
///   what is held, nothing is taken away; nothing new is granted until enough has been given back.
/// - **Memory per key**: as the concurrency limit, and the state of the law.
/// - **Source**: Netflix `concurrency-limits`, "Performance Under Load", 2018.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive<L> {
    law: L,
    lease: LeaseTime,
}

/// The state of one key under an [`Adaptive`] limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptiveState<S> {
    law: S,
    slots: Slots,
}

impl<L: LimitLaw> Adaptive<L> {
    /// A limit that follows `law`, each unit held for at most `lease`.
    ///
    /// # Errors
    /// [`QuotaError::Lease`] outside 1 ms to 366 days.
    pub fn new(law: L, lease: Duration) -> Result<Self, QuotaError> {
        let lease = LeaseTime::new(lease)?;
        Ok(Self { law, lease })
    }

    /// The state of a key never seen.
    pub fn initial(&self) -> AdaptiveState<L::State> {
        AdaptiveState {
            law: self.law.initial(),
            slots: Slots::default(),
        }
    }

    /// The limit now.
    pub fn limit(&self, state: &AdaptiveState<L::State>) -> u64 {
        self.law.limit(&state.law)
    }

    /// Asks for `cost` units at `now`. Cost 0 peeks.
    pub fn acquire(&self, state: &mut AdaptiveState<L::State>, now: Moment, cost: u64) -> Acquired {
        let limit = self.law.limit(&state.law);
        state.slots.acquire(limit, self.lease, now, cost)
    }

    /// Gives a lease back and lets the law learn from how it went. A lease that had ended before
    /// counts as dropped: it took longer than anything should.
    pub fn release(
        &self,
        state: &mut AdaptiveState<L::State>,
        now: Moment,
        lease: Lease,
        outcome: Outcome,
    ) -> Released {
        let (rtt, cost) = (now.since(lease.since()), lease.cost());
        let released = state.slots.release(self.lease, now, &lease);
        let dropped = match (released, outcome) {
            (_, Outcome::Ignored) => return released,
            (Released::Lapsed, _) | (_, Outcome::Dropped) => true,
            (Released::Freed, Outcome::Served) => false,
        };
        let sample = Sample {
            rtt,
            in_flight: state.slots.used().saturating_add(cost),
            dropped,
        };
        self.law.observe(&mut state.law, sample);
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aimd;

    fn limit() -> Adaptive<Aimd> {
        let law = Aimd::new(LimitRange::new(1, 2, 8).unwrap());
        Adaptive::new(law, Duration::from_secs(60)).unwrap()
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn success_under_load_raises_the_limit_and_a_drop_lowers_it() {
        let limit = limit();
        let mut key = limit.initial();
        let a = limit.acquire(&mut key, at(0), 1).lease.unwrap();
        let b = limit.acquire(&mut key, at(0), 1).lease.unwrap();
        assert!(!limit.acquire(&mut key, at(0), 1).decision.allowed());
        limit.release(&mut key, at(5), a, Outcome::Served);
        assert_eq!(limit.limit(&key), 3);
        limit.release(&mut key, at(6), b, Outcome::Dropped);
        assert_eq!(limit.limit(&key), 2);
    }

    #[test]
    fn what_says_nothing_changes_nothing() {
        let limit = limit();
        let mut key = limit.initial();
        let lease = limit.acquire(&mut key, at(0), 2).lease.unwrap();
        let released = limit.release(&mut key, at(5), lease, Outcome::Ignored);
        assert_eq!(released, Released::Freed);
        assert_eq!(limit.limit(&key), 2);
    }

    #[test]
    fn a_lease_given_back_after_its_end_counts_as_a_drop() {
        let limit = limit();
        let mut key = limit.initial();
        let lease = limit.acquire(&mut key, at(0), 2).lease.unwrap();
        let released = limit.release(&mut key, at(60_000), lease, Outcome::Served);
        assert_eq!(released, Released::Lapsed);
        assert_eq!(limit.limit(&key), 1);
    }

    #[test]
    fn a_limit_below_what_is_held_grants_nothing_and_takes_nothing() {
        let law = Aimd::new(LimitRange::new(1, 4, 8).unwrap());
        let limit = Adaptive::new(law, Duration::from_secs(60)).unwrap();
        let mut key = limit.initial();
        let mut leases: Vec<Lease> = (0..4)
            .filter_map(|_| limit.acquire(&mut key, at(0), 1).lease)
            .collect();
        limit.release(&mut key, at(1), leases.remove(0), Outcome::Dropped);
        limit.release(&mut key, at(1), leases.remove(0), Outcome::Dropped);
        assert_eq!(limit.limit(&key), 2);
        assert!(!limit.acquire(&mut key, at(1), 1).decision.allowed());
        limit.release(&mut key, at(2), leases.remove(0), Outcome::Ignored);
        assert!(limit.acquire(&mut key, at(2), 1).decision.allowed());
    }

    #[test]
    fn the_range_is_checked_as_a_whole() {
        assert!(LimitRange::new(1, 1, 1).is_ok());
        for (min, initial, max) in [(0, 1, 2), (2, 1, 3), (1, 4, 3), (1, 1, MAX_CONCURRENCY + 1)] {
            let refused = AdaptiveError::Range { min, initial, max };
            assert_eq!(LimitRange::new(min, initial, max), Err(refused));
        }
        assert_eq!(Permille::new(1001), Err(AdaptiveError::Permille(1001)));
    }
}

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Decision, MAX_LIMIT, MAX_WINDOW, MIN_WINDOW, Moment, QuotaError, Verdict};

/// Concurrency limit: so many units held at the same time. What is not given back is taken back
/// when its lease ends, so that a crashed holder blocks nobody for ever.
///
/// - **Formula**: `used` is the sum of the costs of all leases neither released nor `lease` old;
///   granted if `used + cost <= limit`.
/// - **Bound**: at most `limit` units held at any moment by holders that finish within `lease`. A
///   holder that outlives its lease goes on uncounted: set `lease` above the longest operation.
/// - **Memory per key**: 48 bytes and about 40 for each lease held, of which there are at most
///   `limit`.
/// - **Source**: C. Gray and D. Cheriton, "Leases", SOSP 1989; the "concurrent requests limiter" of
///   Stripe, "Scaling your API with rate limiters", 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    limit: u64,
    lease: LeaseTime,
}

/// How long a lease lives: 1 ms to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseTime(Duration);

impl LeaseTime {
    pub(crate) fn new(lease: Duration) -> Result<Self, QuotaError> {
        if lease < MIN_WINDOW || lease > MAX_WINDOW {
            return Err(QuotaError::Lease(lease));
        }
        Ok(Self(lease))
    }
}

/// The state of one key under a [`Concurrency`]: the leases held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    /// By identity, which grows with time: the first ends first.
    held: BTreeMap<u64, Hold>,
    /// The sum of the costs of all that is held.
    used: u64,
    next: u64,
    newest: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    cost: u64,
    since: Moment,
}

/// The right to go on, to be given back to the key that granted it. It cannot be copied, so it
/// cannot be given back twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lease that is dropped blocks its units until it ends by itself"]
pub struct Lease {
    id: u64,
    hold: Hold,
}

impl Lease {
    /// The units held.
    #[must_use]
    pub const fn cost(&self) -> u64 {
        self.hold.cost
    }

    /// When it was granted.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.hold.since
    }
}

/// The answer to a request for a lease.
#[derive(Debug, PartialEq, Eq)]
pub struct Acquired {
    /// Whether it was granted. `retry_after` is the latest: leases given back early make it
    /// shorter.
    pub decision: Decision,
    /// The lease, if one was granted. A peek, of cost 0, is allowed without one.
    pub lease: Option<Lease>,
}

/// What became of a lease given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Its units are free again.
    Freed,
    /// It had ended before; its units may be another's by now. Nothing was freed.
    Lapsed,
}

impl Concurrency {
    /// At most `limit` units at a time, each for at most `lease`.
    ///
    /// # Errors
    /// [`QuotaError::Limit`] or [`QuotaError::Lease`] outside the range.
    pub fn new(limit: u64, lease: Duration) -> Result<Self, QuotaError> {
        if limit == 0 || limit > MAX_LIMIT {
            return Err(QuotaError::Limit(limit));
        }
        let lease = LeaseTime::new(lease)?;
        Ok(Self { limit, lease })
    }

    /// Asks for `cost` units at `now`. Cost 0 peeks; a cost above the limit is never granted.
    pub fn acquire(&self, slots: &mut Slots, now: Moment, cost: u64) -> Acquired {
        slots.acquire(self.limit, self.lease, now, cost)
    }

    /// Gives a lease back.
    pub fn release(&self, slots: &mut Slots, now: Moment, lease: Lease) -> Released {
        slots.release(self.lease, now, &lease)
    }
}

impl Slots {
    /// The units held at the last decision.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn acquire(
        &mut self,
        limit: u64,
        lease: LeaseTime,
        now: Moment,
        cost: u64,
    ) -> Acquired {
        let now = self.advance(lease, now);
        let (verdict, granted) = if cost == 0 {
            (Verdict::Allowed, None)
        } else if cost > limit {
            (Verdict::Never, None)
        } else if self.used.saturating_add(cost) > limit {
            // Not `cost - room`: after the limit sank, more than the limit may be held.
            let need = self.used.saturating_add(cost) - limit;
            (
                Verdict::RetryAfter(self.freed_after(need, lease, now)),
                None,
            )
        } else {
            (Verdict::Allowed, Some(self.grant(now, cost)))
        };
        let reset_after = match self.held.last_key_value() {
            Some((_, newest)) => lease.0 - now.since(newest.since),
            None => Duration::ZERO,
        };
        let remaining = limit.saturating_sub(self.used);
        Acquired {
            decision: Decision::new(verdict, limit, remaining, reset_after),
            lease: granted,
        }
    }

    pub(crate) fn release(&mut self, time: LeaseTime, now: Moment, lease: &Lease) -> Released {
        self.advance(time, now);
        // A lease of another key may bear the same number, so the rest is compared as well.
        if self.held.get(&lease.id) != Some(&lease.hold) {
            return Released::Lapsed;
        }
        self.held.remove(&lease.id);
        self.used -= lease.hold.cost;
        Released::Freed
    }

    /// Takes back what has ended, and returns the time, which never runs backwards.
    fn advance(&mut self, lease: LeaseTime, now: Moment) -> Moment {
        let now = now.max(self.newest);
        self.newest = now;
        while let Some(oldest) = self.held.first_entry()
            && now.since(oldest.get().since) >= lease.0
        {
            self.used -= oldest.remove().cost;
        }
        now
    }

    fn grant(&mut self, now: Moment, cost: u64) -> Lease {
        let hold = Hold { cost, since: now };
        let id = self.next;
        // At a billion leases a second it comes round after 584 years.
        self.next = self.next.wrapping_add(1);
        self.held.insert(id, hold);
        self.used += cost;
        Lease { id, hold }
    }

    /// How long until the oldest leases that hold `need` units between them have ended.
    fn freed_after(&self, need: u64, lease: LeaseTime, now: Moment) -> Duration {
        let mut freed = 0_u64;
        let last = self.held.values().find(|hold| {
            freed += hold.cost;
            freed >= need
        });
        last.map_or(Duration::ZERO, |hold| lease.0 - now.since(hold.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    fn two_for_a_second() -> Concurrency {
        Concurrency::new(2, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn what_is_given_back_is_free_at_once() {
        let limit = two_for_a_second();
        let mut key = Slots::default();
        let first = limit.acquire(&mut key, at(0), 1).lease.unwrap();
        let _second = limit.acquire(&mut key, at(100), 1).lease.unwrap();
        let refused = limit.acquire(&mut key, at(200), 1);
        assert_eq!(refused.lease, None);
        assert_eq!(
            refused.decision.retry_after(),
            Some(Duration::from_millis(800))
        );
        assert_eq!(refused.decision.reset_after(), Duration::from_millis(900));
        assert_eq!(limit.release(&mut key, at(300), first), Released::Freed);
        assert!(limit.acquire(&mut key, at(300), 1).decision.allowed());
    }

    #[test]
    fn a_lease_that_ended_frees_nothing_of_its_successor() {
        let limit = two_for_a_second();
        let mut key = Slots::default();
        let crashed = limit.acquire(&mut key, at(0), 2).lease.unwrap();
        assert!(!limit.acquire(&mut key, at(999), 1).decision.allowed());
        let successor = limit.acquire(&mut key, at(1_000), 2).lease.unwrap();
        assert_eq!(
            limit.release(&mut key, at(1_001), crashed),
            Released::Lapsed
        );
        assert_eq!(key.used(), 2);
        assert_eq!(
            limit.release(&mut key, at(1_002), successor),
            Released::Freed
        );
        assert_eq!(key.used(), 0);
    }

    #[test]
    fn a_lease_of_another_key_frees_nothing() {
        let limit = two_for_a_second();
        let (mut one, mut other) = (Slots::default(), Slots::default());
        let _held = limit.acquire(&mut one, at(0), 1).lease.unwrap();
        let foreign = limit.acquire(&mut other, at(0), 2).lease.unwrap();
        assert_eq!(limit.release(&mut one, at(0), foreign), Released::Lapsed);
        assert_eq!(one.used(), 1);
    }

    #[test]
    fn a_peek_holds_nothing_and_too_much_is_never_granted() {
        let limit = two_for_a_second();
        let mut key = Slots::default();
        let peek = limit.acquire(&mut key, at(0), 0);
        assert!(peek.decision.allowed());
        assert_eq!(peek.lease, None);
        assert_eq!(peek.decision.remaining(), 2);
        let never = limit.acquire(&mut key, at(0), 3);
        assert_eq!(never.decision.verdict(), Verdict::Never);
    }

    #[test]
    fn a_key_takes_48_bytes_and_24_a_lease_before_the_tree_around_it() {
        assert_eq!(size_of::<Slots>(), 48);
        assert_eq!(size_of::<(u64, Hold)>(), 24);
    }

    #[test]
    fn the_ranges_are_checked() {
        let second = Duration::from_secs(1);
        assert_eq!(Concurrency::new(0, second), Err(QuotaError::Limit(0)));
        let zero = Duration::ZERO;
        assert_eq!(Concurrency::new(1, zero), Err(QuotaError::Lease(zero)));
    }
}

use std::hash::{Hash, Hasher};
use std::time::Duration;

/// What to do with a request, and what to tell the client about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes, and its cost has been charged.
    Allowed,
    /// It does not pass now; the same request passes after this time, if nothing else does before.
    /// Nothing has been charged.
    RetryAfter(Duration),
    /// It can never pass: it costs more than the limit. Nothing has been charged.
    Never,
}

/// The answer of a limiter to one request.
///
/// Whatever the protocol, the answer is made from these five: `allowed`, `limit`, `remaining`,
/// `reset_after` and `retry_after`. They are exact to the nanosecond; a protocol that speaks in
/// seconds rounds up.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Decision {
    verdict: Verdict,
    limit: u64,
    /// What remains, in parts of which `unit` are one: dividing takes as long as deciding does, and
    /// is left to who asks.
    room: u64,
    unit: u64,
    /// In nanoseconds.
    reset_after: u64,
}

impl Decision {
    /// A decision of these parts. Times above 584 years are cut to that.
    pub const fn new(verdict: Verdict, limit: u64, remaining: u64, reset_after: Duration) -> Self {
        let nanos = reset_after.as_nanos();
        Self {
            verdict,
            limit,
            room: remaining,
            unit: 1,
            reset_after: if nanos > u64::MAX as u128 {
                u64::MAX
            } else {
                nanos as u64
            },
        }
    }

    /// One with room for `room` parts, of which `unit` are one, and with nanoseconds.
    #[inline]
    pub(crate) const fn in_parts(
        verdict: Verdict,
        limit: u64,
        room: u64,
        unit: u64,
        reset_after: u64,
    ) -> Self {
        Self {
            verdict,
            limit,
            room,
            unit,
            reset_after,
        }
    }

    /// As [`in_parts`](Self::in_parts), of more parts than fit 64 bits.
    #[inline]
    pub(crate) fn in_wide_parts(
        verdict: Verdict,
        limit: u64,
        room: u128,
        unit: u64,
        reset_after: u64,
    ) -> Self {
        match u64::try_from(room) {
            Ok(room) => Self::in_parts(verdict, limit, room, unit, reset_after),
            Err(_) => {
                // The quotient is at most the limit: it fits.
                let units = u64::try_from(room / u128::from(unit)).unwrap_or(u64::MAX);
                Self::in_parts(verdict, limit, units, 1, reset_after)
            }
        }
    }

    /// Allowed, or refused until when.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the request passes. A request of cost 0 always does: it only peeks.
    #[must_use]
    pub const fn allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed)
    }

    /// Whether a request of this cost was charged: one of cost 0 never is.
    #[inline]
    pub(crate) const fn charges(&self, cost: u64) -> bool {
        cost > 0 && self.allowed()
    }

    /// The most that can pass at once: the limit of the quota, or the capacity of the bucket.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The greatest cost that would pass at this moment, after this request.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.room / self.unit
    }

    /// The limit, what is used of it, and one unit, in parts.
    #[inline]
    pub(crate) fn usage(&self) -> (u128, u128, u128) {
        let unit = u128::from(self.unit);
        let limit = u128::from(self.limit) * unit;
        (limit, limit.saturating_sub(u128::from(self.room)), unit)
    }

    /// The same in 64 bits, if twice as much and a unit fit them.
    #[inline]
    pub(crate) fn narrow_usage(&self) -> Option<(u64, u64, u64)> {
        let limit = self.limit.checked_mul(self.unit)?;
        let fits = limit < 1 << 62 && self.unit < 1 << 61;
        fits.then(|| (limit, limit.saturating_sub(self.room), self.unit))
    }

    /// How long until the key is as if it had never been used, if nothing else passes before. A
    /// store may drop the key's state then.
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_after)
    }

    /// The same in nanoseconds.
    pub(crate) const fn reset_nanos(&self) -> u64 {
        self.reset_after
    }

    /// What it says, whatever it was made of.
    const fn said(&self) -> (Verdict, u64, u64, u64) {
        let (limit, remaining) = (self.limit, self.remaining());
        (self.verdict, limit, remaining, self.reset_after)
    }

    /// How long until this request would pass: `None` if it passed, and if it never can.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::RetryAfter(after) => Some(after),
            Verdict::Allowed | Verdict::Never => None,
        }
    }
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        self.said() == other.said()
    }
}

impl Eq for Decision {}

impl Hash for Decision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.said().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_whole_units_however_it_was_found() {
        let second = Duration::from_secs(1);
        let whole = Decision::new(Verdict::Allowed, 5, 3, second);
        let nanos = 1_000_000_000;
        let parts = Decision::in_wide_parts(Verdict::Allowed, 5, 39, 10, nanos);
        assert_eq!((parts.remaining(), parts), (3, whole));
        let wide = Decision::in_wide_parts(Verdict::Allowed, 5, 3 << 63 | 1, 1 << 63, nanos);
        assert_eq!((wide.remaining(), wide), (3, whole));
        assert_eq!(wide.reset_after(), second);
        let long = Decision::new(Verdict::Allowed, 5, 3, Duration::MAX);
        assert_eq!(long.reset_after(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn only_a_refusal_that_ends_tells_when() {
        let second = Duration::from_secs(1);
        let of = |verdict| Decision::new(verdict, 5, 0, second);
        assert_eq!(of(Verdict::Allowed).retry_after(), None);
        assert_eq!(of(Verdict::Never).retry_after(), None);
        assert_eq!(of(Verdict::RetryAfter(second)).retry_after(), Some(second));
        assert!(!of(Verdict::Never).allowed());
    }
}

use std::time::Duration;

/// A moment: whole nanoseconds since an origin that the caller chose once and keeps.
///
/// The algorithms never read a clock. Give them a monotonic one; a clock that runs backwards is
/// treated as one that stands still, which can only refuse more, never admit more. The windows of
/// [`FixedWindow`](crate::FixedWindow) and [`SlidingCounter`](crate::SlidingCounter) are aligned to
/// the origin: count from the Unix epoch to have them begin on the full minute or day (UTC).
///
/// The range is 0 to 2^63 - 1 ns (292 years), so that a moment plus the longest refill
/// ([`MAX_REFILL`](crate::MAX_REFILL)) always fits 64 bits. Later times read as the last moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The origin.
    pub const ORIGIN: Self = Self(0);
    /// The last moment, 292 years after the origin.
    pub const LAST: Self = Self(u64::MAX >> 1);

    /// `nanos` nanoseconds after the origin, at most [`Moment::LAST`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        if nanos > Self::LAST.0 {
            Self::LAST
        } else {
            Self(nanos)
        }
    }

    /// `since_origin` after the origin, at most [`Moment::LAST`].
    #[must_use]
    pub fn after_origin(since_origin: Duration) -> Self {
        Self::from_nanos(nanos(since_origin))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment plus `by`, at most [`Moment::LAST`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_nanos(self.0.saturating_add(nanos(by)))
    }

    /// How much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The latest multiple of `window` (in nanoseconds, not zero) that is not after this moment.
    pub(crate) const fn aligned(self, window: u64) -> Self {
        debug_assert!(window > 0);
        Self(self.0 - self.0 % window)
    }
}

/// Whole nanoseconds of a duration, stopping at `u64::MAX` (584 years).
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration of so many nanoseconds, stopping at `u64::MAX` of them.
pub(crate) fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stops_at_both_ends() {
        assert_eq!(Moment::from_nanos(u64::MAX), Moment::LAST);
        assert_eq!(Moment::LAST.plus(Duration::from_nanos(1)), Moment::LAST);
        assert_eq!(Moment::after_origin(Duration::MAX), Moment::LAST);
        assert_eq!(Moment::ORIGIN.since(Moment::LAST), Duration::ZERO);
    }

    #[test]
    fn windows_are_aligned_to_the_origin() {
        assert_eq!(Moment::from_nanos(59).aligned(20).as_nanos(), 40);
        assert_eq!(Moment::from_nanos(60).aligned(20).as_nanos(), 60);
    }
}

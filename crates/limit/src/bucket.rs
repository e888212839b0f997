//! The arithmetic that token bucket, GCRA and both leaky buckets share.
//!
//! They are one machine seen from four sides: something fills by the cost of each request and
//! drains at the rate of the quota. Its content is a whole number of *parts*, of which one unit is
//! `window` (in nanoseconds) and `limit` drain each nanosecond. So neither filling nor draining
//! ever rounds, and no error can add up.

use crate::moment::duration;
use crate::{Bucket, Decision, Moment, Verdict};

/// The content of a bucket, in parts. At most `capacity × window`, below 2^108.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fill(pub(crate) u128);

/// A content as it is kept between requests: whole units, and parts of the next one.
///
/// Whole units keep their meaning if the policy of a key is changed between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Level {
    units: u64,
    parts: u64,
}

/// A moment between two nanoseconds: the fraction is counted in `limit`-ths of a nanosecond, in
/// each of which one part drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ExactMoment {
    nanos: u64,
    fraction: u64,
}

impl Level {
    /// As two integers, for stores.
    pub(crate) const fn words(self) -> [u64; 2] {
        [self.units, self.parts]
    }

    /// From what [`words`](Self::words) gave.
    pub(crate) const fn from_words([units, parts]: [u64; 2]) -> Self {
        Self { units, parts }
    }
}

impl ExactMoment {
    /// As two integers, for stores.
    pub(crate) const fn words(self) -> [u64; 2] {
        [self.nanos, self.fraction]
    }

    /// From what [`words`](Self::words) gave.
    pub(crate) const fn from_words([nanos, fraction]: [u64; 2]) -> Self {
        Self { nanos, fraction }
    }
}

impl Bucket {
    /// Parts in a unit.
    pub(crate) fn unit(self) -> u128 {
        u128::from(self.quota().window_nanos())
    }

    /// Parts that drain in a nanosecond.
    pub(crate) fn drain(self) -> u128 {
        u128::from(self.quota().limit())
    }

    /// The content, `elapsed` nanoseconds after it was `level`.
    pub(crate) fn drained(self, level: Level, elapsed: u64) -> Fill {
        let parts = u128::from(level.parts).min(self.unit() - 1);
        let before = u128::from(level.units) * self.unit() + parts;
        Fill(before.saturating_sub(u128::from(elapsed) * self.drain()))
    }

    /// The content as it is kept.
    pub(crate) fn level(self, fill: Fill) -> Level {
        // The quotient is at most the capacity: it fits.
        let (units, parts) = divide(fill.0, self.quota().window_nanos());
        Level {
            units: u64::try_from(units).unwrap_or(u64::MAX),
            parts,
        }
    }

    /// The content at `now` of a bucket that will be empty at `empty`.
    #[inline]
    pub(crate) fn until_empty(self, empty: ExactMoment, now: Moment) -> Fill {
        match empty.nanos.checked_sub(now.as_nanos()) {
            Some(nanos) => {
                let fraction = u128::from(empty.fraction).min(self.drain() - 1);
                Fill(u128::from(nanos) * self.drain() + fraction)
            }
            None => Fill(0),
        }
    }

    /// Nanoseconds, rounded up, from `now` until a bucket is empty that will be at `empty`.
    #[inline]
    pub(crate) fn empty_after(empty: ExactMoment, now: Moment) -> u64 {
        match empty.nanos.checked_sub(now.as_nanos()) {
            Some(nanos) => nanos.saturating_add(u64::from(empty.fraction > 0)),
            None => 0,
        }
    }

    /// When a bucket that holds `fill` at `now` will be empty.
    #[inline]
    pub(crate) fn empty_at(self, now: Moment, fill: Fill) -> ExactMoment {
        // At most the longest refill after the last moment: it fits.
        let (nanos, fraction) = divide(fill.0, self.quota().limit());
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        ExactMoment {
            nanos: now.as_nanos().saturating_add(nanos),
            fraction,
        }
    }

    /// A content to the brim.
    #[inline]
    pub(crate) fn full(self) -> Fill {
        Fill(u128::from(self.capacity()) * self.unit())
    }

    /// Whole nanoseconds, rounded up, in which so many parts drain.
    pub(crate) fn drain_time(self, parts: u128) -> u128 {
        let (whole, rest) = divide(parts, self.quota().limit());
        whole + u128::from(rest > 0)
    }

    /// The content at `now` without those of `cost` units, filled in at `since`, that cannot have
    /// drained by then.
    ///
    /// Whatever came and went meanwhile, a bucket that had nothing else in it would still hold so
    /// much of them; so the content never falls below what it would be if they had never come.
    pub(crate) fn refunded(self, fill: Fill, now: Moment, cost: u64, since: Moment) -> Fill {
        let filled = u128::from(cost.min(self.capacity())) * self.unit();
        let elapsed = now.as_nanos().saturating_sub(since.as_nanos());
        let left = filled.saturating_sub(u128::from(elapsed) * self.drain());
        Fill(fill.0.saturating_sub(left))
    }

    /// Decides a request that finds the bucket holding `fill`. The content afterwards is returned
    /// beside the decision, and equals `fill` unless something was charged.
    #[inline]
    pub(crate) fn offer(self, fill: Fill, cost: u64) -> (Decision, Fill) {
        let (verdict, after) = self.admit(fill, cost);
        let nanos = u64::try_from(self.drain_time(after.0)).unwrap_or(u64::MAX);
        (self.decision(verdict, after, nanos), after)
    }

    /// What to tell of a bucket that now holds `fill` and is empty after so many nanoseconds.
    #[inline]
    pub(crate) fn decision(self, verdict: Verdict, fill: Fill, reset_after: u64) -> Decision {
        let room = self.full().0.saturating_sub(fill.0);
        let unit = self.quota().window_nanos();
        Decision::in_wide_parts(verdict, self.capacity(), room, unit, reset_after)
    }

    /// As [`offer`](Self::offer), with no more than the verdict.
    #[inline]
    pub(crate) fn admit(self, fill: Fill, cost: u64) -> (Verdict, Fill) {
        let Fill(brim) = self.full();
        let filled = u128::from(cost) * self.unit() + fill.0;
        if cost == 0 {
            (Verdict::Allowed, fill)
        } else if cost > self.capacity() {
            (Verdict::Never, fill)
        } else if filled <= brim {
            (Verdict::Allowed, Fill(filled))
        } else {
            let wait = duration(self.drain_time(filled - brim));
            (Verdict::RetryAfter(wait), fill)
        }
    }
}

/// Quotient and remainder. Most contents fit 64 bits, where dividing is many times faster.
#[inline]
fn divide(parts: u128, by: u64) -> (u128, u64) {
    if let Ok(parts) = u64::try_from(parts) {
        (u128::from(parts / by), parts % by)
    } else {
        let wide = u128::from(by);
        // A remainder is below the divisor, so it fits.
        (parts / wide, u64::try_from(parts % wide).unwrap_or(by))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{MAX_LIMIT, MAX_WINDOW, Quota};

    #[test]
    fn what_is_kept_is_what_was_filled() {
        let bucket = Bucket::from(Quota::new(3, Duration::from_secs(1)).unwrap());
        for parts in [0, 1, 999_999_999, 1_000_000_000, 2_999_999_999] {
            let fill = Fill(parts);
            assert_eq!(bucket.drained(bucket.level(fill), 0), fill);
        }
        // A third of a second drains one of three units, without a remainder.
        let full = bucket.level(Fill(3_000_000_000));
        assert_eq!(bucket.drained(full, 333_333_333), Fill(2_000_000_001));
        assert_eq!(bucket.drained(full, 1_000_000_000), Fill(0));
        let now = Moment::from_nanos(7);
        let empty = bucket.empty_at(now, Fill(1_000_000_000));
        assert_eq!(bucket.until_empty(empty, now), Fill(1_000_000_000));
        let later = Moment::from_nanos(333_333_340);
        assert_eq!(bucket.until_empty(empty, later), Fill(1));
    }

    #[test]
    fn the_greatest_values_fit() {
        let bucket = Bucket::from(Quota::new(MAX_LIMIT, MAX_WINDOW).unwrap());
        let (decision, fill) = bucket.offer(Fill(0), MAX_LIMIT);
        assert!(decision.allowed());
        assert_eq!(decision.reset_after(), MAX_WINDOW);
        assert_eq!(bucket.drained(bucket.level(fill), u64::MAX), Fill(0));
        let (decision, same) = bucket.offer(fill, u64::MAX);
        assert_eq!(decision.verdict(), Verdict::Never);
        assert_eq!(same, fill);
    }

    #[test]
    fn a_level_kept_under_another_policy_is_read_without_a_panic() {
        let before = Bucket::from(Quota::new(MAX_LIMIT, MAX_WINDOW).unwrap());
        let level = before.level(Fill(u128::from(MAX_LIMIT) * before.unit() - 1));
        let after = Bucket::from(Quota::new(1, Duration::from_millis(1)).unwrap());
        let (decision, _) = after.offer(after.drained(level, 0), 1);
        assert_eq!(decision.remaining(), 0);
        assert!(!decision.allowed());
    }
}

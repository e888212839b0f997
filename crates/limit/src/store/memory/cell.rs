//! One key in 48 bytes.

use crate::packed::Tag;
use crate::{Decision, Moment};

/// The moments at which cells may be dropped are counted in steps of 65.5 µs, rounded up.
const STEP_BITS: u32 = 16;
const SHARE_BITS: u32 = 8;
const TAG_BITS: u32 = 8;
const LAST_STEP: u64 = u64::MAX >> (SHARE_BITS + TAG_BITS);

/// The hash that stands for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyHash(u128);

impl KeyHash {
    /// Of these 128 bits. An empty cell holds zeros, so no key has that hash.
    pub(super) const fn new(bits: u128) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// The low half chooses the shard by its low bits, and the second home by its high ones.
    pub(super) const fn low(self) -> u64 {
        self.0 as u64
    }

    /// The high half chooses the first home by its high bits, mark and place by its low ones.
    pub(super) const fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Seven bits by which most other keys are told apart without looking at their cells. Never 0.
    pub(super) const fn mark(self) -> u8 {
        self.high() as u8 | 0x80
    }

    /// The place in a group that the key likes best, 0 to 15.
    pub(super) const fn slot(self) -> usize {
        (self.high() >> 7) as usize & 15
    }
}

/// How much of its limit a key had used at its last charge, in powers of two; all of it once it was
/// refused since. Finer would take a division, which every decision would have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(u8);

impl Share {
    /// Of a key that was refused.
    pub(super) const ALL: Self = Self(u8::MAX);

    /// The least of those that are [busy](Self::is_busy).
    const BUSY: u8 = 128;

    /// What is missing from the limit after this decision.
    #[inline]
    pub(super) fn of(decision: &Decision) -> Self {
        // The same of 64 bits, which most are, and of 128.
        macro_rules! share {
            ($usage:expr) => {{
                let (limit, used, unit) = $usage;
                // A unit that has begun is used, so half of them is a little less.
                let odd = decision.limit() & 1 == 1;
                let begun = if odd { unit } else { 2 * unit };
                if 2 * used + begun > limit {
                    Self(Self::BUSY)
                } else {
                    // 10 to 64: a limit has at most 54 bits. No use counts as one unit.
                    Self((64 + limit.leading_zeros() - used.max(unit).leading_zeros()) as u8)
                }
            }};
        }
        match decision.narrow_usage() {
            Some(narrow) => share!(narrow),
            None => share!(decision.usage()),
        }
    }

    /// Half the limit or more: such a key is not evicted.
    pub(super) const fn is_busy(self) -> bool {
        self.0 >= Self::BUSY
    }
}

/// When a key may be dropped, how busy it is, and what its words mean.
///
/// The moment is in the high bits, then the share, then the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta(pub(super) u64);

impl Meta {
    /// With nanoseconds until it is forgotten.
    #[inline]
    pub(super) fn new(now: Moment, reset_after: u64, share: Share, tag: Tag) -> Self {
        let end = now.as_nanos().saturating_add(reset_after);
        // Whole steps, and one, so that a step reached is the end passed.
        let step = ((end >> STEP_BITS) + 1).min(LAST_STEP);
        Self(step << (SHARE_BITS + TAG_BITS) | u64::from(share.0) << TAG_BITS | tag as u64)
    }

    /// `None` for numbers that no version has used.
    pub(super) const fn tag(self) -> Option<Tag> {
        Tag::from_number(self.0 as u8)
    }

    pub(super) const fn share(self) -> Share {
        Share((self.0 >> TAG_BITS) as u8)
    }

    pub(super) const fn with_share(self, share: Share) -> Self {
        Self(self.0 & !(0xff << TAG_BITS) | (share.0 as u64) << TAG_BITS)
    }

    /// Whether a key never seen is worth the same by now.
    pub(super) const fn has_expired(self, now: Moment) -> bool {
        now.as_nanos() >> STEP_BITS >= self.step()
    }

    /// The least of these goes first: the share of use, then what is forgotten soonest.
    pub(super) const fn rank(self) -> (Share, u64) {
        (self.share(), self.step())
    }

    const fn step(self) -> u64 {
        self.0 >> (SHARE_BITS + TAG_BITS)
    }
}

/// What is kept of one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) hash: KeyHash,
    pub(super) meta: Meta,
    /// The state; of a log, its place among the logs.
    pub(super) words: [u64; 3],
}

impl Cell {
    pub(super) const EMPTY: Self = Self {
        hash: KeyHash(0),
        meta: Meta(0),
        words: [0; 3],
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Verdict;

    fn used(limit: u64, remaining: u64) -> Share {
        let decision = Decision::new(Verdict::Allowed, limit, remaining, Duration::ZERO);
        let share = Share::of(&decision);
        // The same in parts, of which some of the next unit are left as well.
        for (unit, more) in [(10, 0), (10, 9), (1 << 54, 1 << 53), (1 << 60, 1 << 59)] {
            let room = u128::from(remaining) * u128::from(unit) + more;
            let parts = Decision::in_wide_parts(Verdict::Allowed, limit, room, unit, 0);
            assert_eq!(Share::of(&parts).is_busy(), share.is_busy());
        }
        share
    }

    #[test]
    fn a_cell_takes_48_bytes() {
        assert_eq!(size_of::<Cell>(), 48);
    }

    #[test]
    fn nothing_expires_before_its_end_and_all_within_a_step_after() {
        for (now, reset) in [
            (0, 0),
            (1, 65_535),
            (65_536, 0),
            (1 << 62, 1 << 40),
            (77, 1),
        ] {
            let at = Moment::from_nanos(now);
            let meta = Meta::new(at, reset, Share::ALL, Tag::Gcra);
            let end = now + reset;
            if end > 0 {
                assert!(!meta.has_expired(Moment::from_nanos(end - 1)));
            }
            assert!(meta.has_expired(Moment::from_nanos(end + (1 << STEP_BITS))));
        }
        let endless = Meta::new(Moment::LAST, u64::MAX, Share::ALL, Tag::Gcra);
        assert!(!endless.has_expired(Moment::LAST));
    }

    #[test]
    fn parts_do_not_touch_each_other() {
        let at = Moment::from_nanos(123_456_789_000);
        let meta = Meta::new(at, 0, used(10, 7), Tag::FixedWindow);
        assert_eq!(meta.tag(), Some(Tag::FixedWindow));
        assert!(!meta.share().is_busy());
        let busy = meta.with_share(Share::ALL);
        assert_eq!(busy.tag(), meta.tag());
        assert_eq!(busy.step(), meta.step());
        assert!(busy.share().is_busy());
        assert!(meta.rank() < busy.rank());
    }

    #[test]
    fn half_of_the_limit_is_busy() {
        assert!(used(2, 1).is_busy());
        assert!(used(1, 0).is_busy());
        assert!(!used(100, 51).is_busy());
        assert!(used(crate::MAX_LIMIT, 0).is_busy());
        let shares = [0, 2, 5, 10, 20, 40, 50].map(|units| used(100, 100 - units));
        assert!(shares.is_sorted_by(|a, b| a < b), "{shares:?}");
        assert!(shares[6] < Share::ALL);
        let least = used(crate::MAX_LIMIT, crate::MAX_LIMIT - 1);
        assert!(least < used(2, 2), "{least:?}");
        // More than the limit may be left, or used, after it was changed.
        assert!(!used(1, 9).is_busy());
    }
}

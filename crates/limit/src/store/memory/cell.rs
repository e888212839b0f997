//! One key in 32 bytes, and 16 more that many have no use for.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::packed::Tag;
use crate::{Decision, Moment};

/// The moments at which cells may be dropped are counted in steps of 65.5 µs, rounded up.
const STEP_BITS: u32 = 16;
const SHARE_BITS: u32 = 8;
const TAG_BITS: u32 = 8;
const LAST_STEP: u64 = u64::MAX >> (SHARE_BITS + TAG_BITS);
/// The bit of a meta word that no tag uses, set while somebody changes the cell.
const LOCKED: u64 = 0x80;
/// The bit of a meta word that no tag uses, set where the words behind the first are not all 0.
const WIDE: u64 = 0x40;
/// So often a cell that is taken is looked at before other threads are let run.
const SPINS: u32 = 32;

/// The hash that stands for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyHash(u128);

impl KeyHash {
    /// Of no key: what an empty cell holds.
    pub(super) const NONE: Self = Self(0);

    /// Of these 128 bits.
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
    #[inline(always)]
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
        Tag::from_number(self.narrow().0 as u8)
    }

    /// Without what is said of the words of the cell.
    pub(super) const fn narrow(self) -> Self {
        Self(self.0 & !WIDE)
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

/// A word of a cell, so that the same steps run on a checker's atomics.
pub(super) trait Word: Default {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    /// Replaces `current`, with the order of taking a lock.
    fn take(&self, current: u64, new: u64) -> bool;
    /// Lets others go on, of whom one holds the lock.
    fn wait(tries: u32);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    #[inline]
    fn take(&self, current: u64, new: u64) -> bool {
        self.compare_exchange_weak(current, new, Acquire, Relaxed)
            .is_ok()
    }

    fn wait(tries: u32) {
        // Held for some nanoseconds, unless the thread that holds it was set aside.
        if tries.is_multiple_of(SPINS) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// What is kept of one key, under a lock of its own: a bit of its meta word, so that a decision
/// writes to no other line of memory than that of its cell. All else is written only by who holds it; what is
/// read without it may be torn, and has to be looked at again.
///
/// Two cells lie on one line. What most decisions by [`Gcra`](crate::Gcra) need is here; the rest of the state is
/// [`More`].
#[derive(Debug, Default)]
#[repr(align(32))]
pub(super) struct Base<W = AtomicU64> {
    low: W,
    high: W,
    meta: W,
    word: W,
}

/// The second and the third word of a state, which count only where the meta word says so.
#[derive(Debug, Default)]
pub(super) struct More<W = AtomicU64>([W; 2]);

/// Both parts of a cell.
#[derive(Debug)]
pub(super) struct Cell<'a, W = AtomicU64> {
    pub(super) base: &'a Base<W>,
    pub(super) more: &'a More<W>,
}

impl<W> Clone for Cell<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Cell<'_, W> {}

impl<'a, W: Word> Cell<'a, W> {
    /// Whether it is this key's, as far as can be told without the lock.
    #[inline]
    pub(super) fn seems(self, hash: KeyHash) -> bool {
        if self.base.meta.load(Relaxed) & WIDE != 0 {
            // Both lines are waited for at once, as after locking nothing is read ahead.
            self.more.0[0].load(Relaxed);
        }
        self.base.low.load(Relaxed) == hash.low() && self.base.high.load(Relaxed) == hash.high()
    }

    /// When it may be dropped, and how busy it is, which may change at any time.
    pub(super) fn meta(self) -> Meta {
        Meta(self.base.meta.load(Relaxed) & !LOCKED)
    }

    /// Waits until nobody else holds it.
    #[inline]
    pub(super) fn lock(self) -> Held<'a, W> {
        let mut tries = 0;
        loop {
            let meta = self.base.meta.load(Relaxed);
            if meta & LOCKED == 0 && self.base.meta.take(meta, meta | LOCKED) {
                return Held {
                    cell: self,
                    meta: Meta(meta),
                };
            }
            tries += 1;
            W::wait(tries);
        }
    }

    /// The lock of a cell on which the caller has used [`Held::keep_locked`].
    pub(super) fn held(self) -> Held<'a, W> {
        Held {
            cell: self,
            meta: self.meta(),
        }
    }

    /// Takes the place of what `from` holds, which is empty from then on: who waits for it finds
    /// another key there, or none. Nobody may have a use for this one yet.
    pub(super) fn move_from(self, from: Cell<'_, W>) {
        let mut from = from.lock();
        let mut to = self.lock();
        to.fill(from.hash(), from.meta, from.words());
        drop(to);
        from.clear();
    }
}

/// A cell that nobody else changes.
#[derive(Debug)]
pub(super) struct Held<'a, W: Word = AtomicU64> {
    cell: Cell<'a, W>,
    /// What it will be once it is let go.
    pub(super) meta: Meta,
}

impl<W: Word> Held<'_, W> {
    /// Whose it is; [`KeyHash::NONE`] if it is empty.
    #[inline]
    pub(super) fn hash(&self) -> KeyHash {
        let Base { low, high, .. } = self.cell.base;
        KeyHash(u128::from(high.load(Relaxed)) << 64 | u128::from(low.load(Relaxed)))
    }

    /// The state; of a log, its place among the logs.
    #[inline]
    pub(super) fn words(&self) -> [u64; 3] {
        let [second, third] = match self.meta.0 & WIDE {
            0 => [0; 2],
            _ => [0, 1].map(|at| self.cell.more.0[at].load(Relaxed)),
        };
        [self.cell.base.word.load(Relaxed), second, third]
    }

    /// Replaces the state, and what is told of it.
    #[inline]
    pub(super) fn set(&mut self, meta: Meta, [first, more @ ..]: [u64; 3]) {
        self.meta = meta.narrow();
        self.cell.base.word.store(first, Relaxed);
        // Most states have nothing there, and it lies on another line.
        if more != [0; 2] {
            self.meta.0 |= WIDE;
            for (cell, word) in self.cell.more.0.iter().zip(more) {
                cell.store(word, Relaxed);
            }
        }
    }

    /// Makes it this key's.
    pub(super) fn fill(&mut self, hash: KeyHash, meta: Meta, words: [u64; 3]) {
        self.cell.base.low.store(hash.low(), Relaxed);
        self.cell.base.high.store(hash.high(), Relaxed);
        self.set(meta, words);
    }

    /// Makes it nobody's.
    pub(super) fn clear(&mut self) {
        self.fill(KeyHash::NONE, Meta(0), [0; 3]);
    }

    /// Goes, but does not let others have it: see [`Cell::held`].
    pub(super) fn keep_locked(self) {
        self.cell.base.meta.store(self.meta.0 | LOCKED, Relaxed);
        std::mem::forget(self);
    }
}

impl<W: Word> Drop for Held<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.cell.base.meta.store(self.meta.0, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64 as LoomU64;

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
        assert_eq!((size_of::<Base>(), size_of::<More>()), (32, 16));
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

    impl Word for LoomU64 {
        fn load(&self, order: Ordering) -> u64 {
            self.load(order)
        }

        fn store(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }

        fn take(&self, current: u64, new: u64) -> bool {
            self.compare_exchange(current, new, Acquire, Relaxed)
                .is_ok()
        }

        fn wait(_: u32) {
            loom::thread::yield_now();
        }
    }

    /// A cell by itself.
    #[derive(Default)]
    struct Own {
        base: Base<LoomU64>,
        more: More<LoomU64>,
    }

    impl Own {
        fn cell(&self) -> Cell<'_, LoomU64> {
            let Self { base, more } = self;
            Cell { base, more }
        }
    }

    /// Adds one to the first word of the cell of a key, if it is there.
    fn charge(cell: Cell<'_, LoomU64>, hash: KeyHash) -> u64 {
        if !cell.seems(hash) {
            return 0;
        }
        let mut held = cell.lock();
        if held.hash() != hash {
            return 0;
        }
        let [first, ..] = held.words();
        held.set(held.meta, [first + 1, 0, 0]);
        1
    }

    fn filled(hash: KeyHash) -> Own {
        let own = Own::default();
        own.cell().lock().fill(hash, Meta(1), [0; 3]);
        own
    }

    #[test]
    fn words_are_kept_whichever_of_them_are_zero() {
        let (base, more) = (Base::<AtomicU64>::default(), More::default());
        let cell = Cell {
            base: &base,
            more: &more,
        };
        let meta = Meta::new(Moment::ORIGIN, 7, Share::ALL, Tag::Gcra);
        for words in [[1, 2, 3], [4, 0, 0], [0, 0, 5], [6, 7, 0], [0; 3]] {
            let mut held = cell.lock();
            held.set(meta, words);
            assert_eq!((held.words(), held.meta.narrow()), (words, meta));
            drop(held);
            let held = cell.lock();
            assert_eq!((held.words(), held.meta.tag()), (words, Some(Tag::Gcra)));
        }
    }

    #[test]
    fn in_every_order_all_charges_of_a_cell_count() {
        loom::model(|| {
            let hash = KeyHash::new(7 << 64 | 9);
            let own = Arc::new(filled(hash));
            let other = {
                let own = Arc::clone(&own);
                loom::thread::spawn(move || charge(own.cell(), hash))
            };
            let charged = charge(own.cell(), hash) + other.join().expect("it does not panic");
            assert_eq!((charged, own.cell().lock().words()[0]), (2, 2));
        });
    }

    /// A decision that has found a cell before its key moves finds nothing in it, or moves along.
    #[test]
    fn in_every_order_no_charge_is_lost_while_a_key_moves() {
        loom::model(|| {
            let (hash, next) = (KeyHash::new(7 << 64 | 9), KeyHash::new(8 << 64 | 9));
            let (from, to) = (Arc::new(filled(hash)), Arc::new(Own::default()));
            let other = {
                let (from, to) = (Arc::clone(&from), Arc::clone(&to));
                loom::thread::spawn(move || charge(from.cell(), hash) + charge(to.cell(), hash))
            };
            to.cell().move_from(from.cell());
            // The place is another key's now.
            from.cell().lock().fill(next, Meta(1), [0; 3]);
            let charged = other.join().expect("it does not panic");
            let held = to.cell().lock();
            assert_eq!((held.hash(), held.words()[0]), (hash, charged));
            assert_eq!(from.cell().lock().words()[0], 0);
        });
    }

    /// Several cells at once: nobody sees one charged and the other not.
    #[test]
    fn in_every_order_cells_that_are_kept_locked_change_together() {
        loom::model(|| {
            let hash = KeyHash::new(7 << 64 | 9);
            let cells = Arc::new([filled(hash), filled(hash)]);
            let other = {
                let cells = Arc::clone(&cells);
                loom::thread::spawn(move || {
                    let first = cells[0].cell().lock().words()[0];
                    let second = cells[1].cell().lock().words()[0];
                    (first, second)
                })
            };
            for own in cells.iter() {
                own.cell().lock().keep_locked();
            }
            for own in cells.iter() {
                let mut held = own.cell().held();
                held.set(held.meta, [1, 0, 0]);
            }
            let (first, second) = other.join().expect("it does not panic");
            assert!(first <= second, "{first} {second}");
        });
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

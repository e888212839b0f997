//! The cells of a shard, in groups of sixteen: finding, placing and removing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::cell::{Base, Cell, Held, KeyHash, Meta, More};

/// Cells in a group.
pub(super) const GROUP: usize = 16;
/// Bytes of a group: the cells, and a mark for each.
pub(super) const GROUP_BYTES: usize = size_of::<Cells>() + size_of::<Marks>();
/// The number of keys fits 32 bits.
pub(super) const MOST_GROUPS: usize = u32::MAX as usize / GROUP;
/// A first home is left for the second once it holds so many, if that one holds fewer.
const CROWDED: u32 = 12;

const LOW_BITS: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
const HIGH_BITS: u128 = LOW_BITS << 7;

/// Where a cell is: group times sixteen, and its place in the group.
pub(super) type Place = usize;

/// A table in which every key has two groups to live in, and no other. So a cell can be cleared at
/// any time without a trace, and what has to be looked at for one key is bounded.
///
/// In a group, a key has a favourite place, where it is put if that is vacant and looked for first.
/// The marks of a group are the bytes of one word, compared all at once: bit 7 is set where there
/// is a cell, the others are those of [`KeyHash::mark`].
///
/// Who has the lock of the shard puts keys in and takes them out. Everybody else may at the same time look for the cell
/// of a key and lock that; whether the key has gone meanwhile is seen then. A copy of a table is the same table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    marks: Arc<[Marks]>,
    cells: Arc<[Cells]>,
}

/// Those of a group.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cells {
    bases: [Base; GROUP],
    more: [More; GROUP],
}

/// The low eight marks of a group, and the high ones.
#[derive(Debug, Default)]
struct Marks([AtomicU64; 2]);

impl Marks {
    #[inline]
    fn all(&self) -> u128 {
        let [low, high] = &self.0;
        // So that what was written to a cell before its mark is seen.
        u128::from(high.load(Acquire)) << 64 | u128::from(low.load(Acquire))
    }

    #[inline]
    fn of(&self, slot: usize) -> u8 {
        (self.0[slot / 8].load(Acquire) >> (slot % 8 * 8)) as u8
    }

    /// By one thread at a time.
    fn set(&self, slot: usize, mark: u8) {
        let (half, shift) = (&self.0[slot / 8], slot % 8 * 8);
        let others = half.load(Relaxed) & !(0xff << shift);
        half.store(others | u64::from(mark) << shift, Release);
    }
}

impl Table {
    /// An empty one of at least one group.
    pub(super) fn new(groups: usize) -> Self {
        let groups = groups.clamp(1, MOST_GROUPS);
        Self {
            marks: (0..groups).map(|_| Marks::default()).collect(),
            cells: (0..groups).map(|_| Cells::default()).collect(),
        }
    }

    pub(super) fn groups(&self) -> usize {
        self.marks.len()
    }

    /// The two groups where this key can be; they may be the same one.
    pub(super) fn homes(&self, hash: KeyHash) -> [usize; 2] {
        [
            scale(hash.high(), self.marks.len()),
            scale(hash.low(), self.marks.len()),
        ]
    }

    /// The cell of this key, locked. None if it is not there, or was taken out while it was looked for.
    #[inline]
    pub(super) fn lock(&self, hash: KeyHash) -> Option<Held<'_>> {
        let held = self.cell(self.find(hash)?).lock();
        (held.hash() == hash).then_some(held)
    }

    /// Where this key is.
    #[inline(always)]
    pub(super) fn find(&self, hash: KeyHash) -> Option<Place> {
        // The marks of many groups fit in a near cache, where cells do not: they tell at once whether
        // a key is where it likes it best, as most are, and hardly ever wrongly. So of the cells
        // only its own is waited for.
        let group = scale(hash.high(), self.marks.len());
        let favourite = group * GROUP + hash.slot();
        if self.marks[group].of(hash.slot()) == hash.mark() && self.cell(favourite).seems(hash) {
            return Some(favourite);
        }
        self.find_elsewhere(hash)
    }

    fn find_elsewhere(&self, hash: KeyHash) -> Option<Place> {
        let mark = u128::from(hash.mark()) * LOW_BITS;
        for group in self.homes(hash) {
            let differs = self.marks[group].all() ^ mark;
            // Bytes that are zero, and perhaps some above one that is: the hash decides.
            let mut candidates = differs.wrapping_sub(LOW_BITS) & !differs & HIGH_BITS;
            while candidates != 0 {
                let place = group * GROUP + candidates.trailing_zeros() as usize / 8;
                if self.cell(place).seems(hash) {
                    return Some(place);
                }
                candidates &= candidates - 1;
            }
        }
        None
    }

    /// A place for a new key: in its first home, unless that is crowded and the second less so.
    pub(super) fn vacancy(&self, hash: KeyHash) -> Option<Place> {
        let [first, second] = self.homes(hash);
        let count = |group: usize| (self.marks[group].all() & HIGH_BITS).count_ones();
        let in_first = count(first);
        let group = if in_first >= CROWDED && count(second) < in_first {
            second
        } else {
            first
        };
        let vacant = !self.marks[group].all() & HIGH_BITS;
        if vacant >> (hash.slot() * 8) & 0x80 != 0 {
            return Some(group * GROUP + hash.slot());
        }
        // From the top: it does not matter which, if not the favourite of many.
        let last = (vacant != 0).then(|| 15 - vacant.leading_zeros() as usize / 8);
        Some(group * GROUP + last?)
    }

    /// Puts a new key where there is a [`vacancy`](Self::vacancy).
    pub(super) fn occupy(&self, place: Place, hash: KeyHash, meta: Meta, words: [u64; 3]) {
        debug_assert_eq!(self.marks[place / GROUP].of(place % GROUP), 0);
        self.cell(place).lock().fill(hash, meta, words);
        self.marks[place / GROUP].set(place % GROUP, hash.mark());
    }

    /// Moves what is at a place of another table to a vacancy of this one.
    pub(super) fn occupy_from(&self, place: Place, other: &Self, from: Place, hash: KeyHash) {
        self.cell(place).move_from(other.cell(from));
        self.marks[place / GROUP].set(place % GROUP, hash.mark());
        other.marks[from / GROUP].set(from % GROUP, 0);
    }

    /// Clears a place that is locked.
    pub(super) fn vacate(&self, place: Place, held: &mut Held<'_>) {
        debug_assert_ne!(self.marks[place / GROUP].of(place % GROUP), 0);
        held.clear();
        self.marks[place / GROUP].set(place % GROUP, 0);
    }

    /// The places of a group that hold a key.
    pub(super) fn occupied(&self, group: usize) -> Places {
        Places {
            first: group * GROUP,
            left: self.marks[group].all() & HIGH_BITS,
        }
    }

    /// All places that hold a key.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        (0..self.marks.len()).flat_map(|group| self.occupied(group))
    }

    #[inline]
    pub(super) fn cell(&self, place: Place) -> Cell<'_> {
        let Cells { bases, more } = &self.cells[place / GROUP];
        Cell {
            base: &bases[place % GROUP],
            more: &more[place % GROUP],
        }
    }
}

/// Places of one group; holds no borrow of the table, so that they can be cleared meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Places {
    first: usize,
    left: u128,
}

impl Iterator for Places {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        if self.left == 0 {
            return None;
        }
        let place = self.first + self.left.trailing_zeros() as usize / 8;
        self.left &= self.left - 1;
        Some(place)
    }
}

/// A number below `range`, in proportion to the hash.
#[inline]
const fn scale(hash: u64, range: usize) -> usize {
    ((hash as u128 * range as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn hash(number: u64) -> KeyHash {
        KeyHash::new(xxh3_128(&number.to_le_bytes()))
    }

    fn put(table: &Table, place: Place, number: u64) {
        table.occupy(place, hash(number), Meta(number << 8), [number; 3]);
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_out() {
        let table = Table::new(20);
        let mut inside = HashSet::new();
        for number in 0..5_000 {
            let leaving = number / 2;
            if number % 2 == 1 && inside.remove(&leaving) {
                let mut held = table.lock(hash(leaving)).unwrap();
                assert_eq!(held.words(), [leaving; 3]);
                table.vacate(table.find(hash(leaving)).unwrap(), &mut held);
            }
            if let Some(place) = table.vacancy(hash(number)) {
                put(&table, place, number);
                inside.insert(number);
            }
        }
        assert!(inside.len() > 100);
        for number in 0..5_000 {
            let found = table.lock(hash(number)).map(|held| held.words()[0]);
            assert_eq!(found, inside.contains(&number).then_some(number));
        }
        let word = |place| table.cell(place).lock().words()[0];
        let listed: HashSet<u64> = table.places().map(word).collect();
        assert_eq!(listed, inside);
    }

    #[test]
    fn what_moves_to_another_table_is_not_found_in_the_first() {
        let (old, new) = (Table::new(4), Table::new(6));
        for number in 0..30 {
            put(&old, old.vacancy(hash(number)).unwrap(), number);
        }
        for from in old.places() {
            let hash = old.cell(from).lock().hash();
            new.occupy_from(new.vacancy(hash).unwrap(), &old, from, hash);
        }
        assert_eq!(old.places().count(), 0);
        for number in 0..30 {
            assert!(old.lock(hash(number)).is_none());
            let held = new.lock(hash(number)).unwrap();
            assert_eq!(held.words(), [number; 3]);
            assert_eq!(held.meta.narrow(), Meta(number << 8));
        }
    }

    #[test]
    fn a_table_is_well_filled_before_a_key_finds_no_place() {
        for groups in [32, 600] {
            let table = Table::new(groups);
            let full = (0..).find(|number| match table.vacancy(hash(*number)) {
                Some(place) => {
                    put(&table, place, *number);
                    false
                }
                None => true,
            });
            let filled = 100 * full.unwrap() / (groups * GROUP) as u64;
            assert!(filled >= 75, "{filled} % of {groups} groups");
        }
    }
}

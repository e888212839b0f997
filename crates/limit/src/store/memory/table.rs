//! The cells of a shard, in groups of sixteen: finding, placing and removing.

use super::cell::{Cell, KeyHash};

/// Cells in a group.
pub(super) const GROUP: usize = 16;
/// Bytes of a group: the cells, and a mark for each.
pub(super) const GROUP_BYTES: usize = GROUP * (size_of::<Cell>() + 1);
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
#[derive(Debug)]
pub(super) struct Table {
    marks: Box<[u128]>,
    cells: Box<[Cell]>,
    keys: u32,
    /// What its owner has spent since it last swept a group. Here it takes no room of its own.
    effort: u32,
}

impl Table {
    /// An empty one of at least one group.
    pub(super) fn new(groups: usize) -> Self {
        let groups = groups.clamp(1, MOST_GROUPS);
        Self {
            marks: vec![0; groups].into_boxed_slice(),
            cells: vec![Cell::EMPTY; groups * GROUP].into_boxed_slice(),
            keys: 0,
            effort: 0,
        }
    }

    /// Adds to the effort; answers whether it is up to `enough`, and then begins anew.
    #[inline]
    pub(super) const fn spend(&mut self, effort: u32, enough: u32) -> bool {
        self.effort += effort;
        if self.effort < enough {
            return false;
        }
        self.effort = 0;
        true
    }

    pub(super) const fn groups(&self) -> usize {
        self.marks.len()
    }

    pub(super) const fn keys(&self) -> usize {
        self.keys as usize
    }

    /// The two groups where this key can be; they may be the same one.
    pub(super) fn homes(&self, hash: KeyHash) -> [usize; 2] {
        [
            scale(hash.high(), self.marks.len()),
            scale(hash.low(), self.marks.len()),
        ]
    }

    /// The cell of this key.
    #[inline]
    pub(super) fn find(&self, hash: KeyHash) -> Option<Place> {
        // The marks of many groups fit in a near cache, where cells do not: they tell at once whether
        // a key is where it likes it best, as most are, and hardly ever wrongly. So of the cells
        // only its own is waited for.
        let group = scale(hash.high(), self.marks.len());
        let favourite = group * GROUP + hash.slot();
        let mark = (self.marks[group] >> (hash.slot() * 8)) as u8;
        if mark == hash.mark() && self.cells[favourite].hash == hash {
            return Some(favourite);
        }
        self.find_elsewhere(hash)
    }

    fn find_elsewhere(&self, hash: KeyHash) -> Option<Place> {
        let mark = u128::from(hash.mark()) * LOW_BITS;
        for group in self.homes(hash) {
            let differs = self.marks[group] ^ mark;
            // Bytes that are zero, and perhaps some above one that is: the hash decides.
            let mut candidates = differs.wrapping_sub(LOW_BITS) & !differs & HIGH_BITS;
            while candidates != 0 {
                let place = group * GROUP + candidates.trailing_zeros() as usize / 8;
                if self.cells[place].hash == hash {
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
        let count = |group: usize| (self.marks[group] & HIGH_BITS).count_ones();
        let in_first = count(first);
        let group = if in_first >= CROWDED && count(second) < in_first {
            second
        } else {
            first
        };
        let vacant = !self.marks[group] & HIGH_BITS;
        if vacant >> (hash.slot() * 8) & 0x80 != 0 {
            return Some(group * GROUP + hash.slot());
        }
        // From the top: it does not matter which, if not the favourite of many.
        let last = (vacant != 0).then(|| 15 - vacant.leading_zeros() as usize / 8);
        Some(group * GROUP + last?)
    }

    /// Puts a new key where there is a [`vacancy`](Self::vacancy).
    pub(super) fn occupy(&mut self, place: Place, cell: Cell) {
        let shift = place % GROUP * 8;
        let mark = &mut self.marks[place / GROUP];
        debug_assert_eq!(*mark >> shift & 0xff, 0);
        *mark |= u128::from(cell.hash.mark()) << shift;
        self.cells[place] = cell;
        self.keys += 1;
    }

    /// Clears a place, and answers what was there.
    pub(super) fn vacate(&mut self, place: Place) -> Cell {
        let mark = &mut self.marks[place / GROUP];
        debug_assert_ne!(*mark >> (place % GROUP * 8) & 0x80, 0);
        *mark &= !(0xff << (place % GROUP * 8));
        self.keys -= 1;
        std::mem::replace(&mut self.cells[place], Cell::EMPTY)
    }

    /// The places of a group that hold a key.
    pub(super) fn occupied(&self, group: usize) -> Places {
        Places {
            first: group * GROUP,
            left: self.marks[group] & HIGH_BITS,
        }
    }

    /// All cells that hold a key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Cell> {
        let places = (0..self.marks.len()).flat_map(|group| self.occupied(group));
        places.map(|place| &self.cells[place])
    }

    pub(super) fn cell(&self, place: Place) -> &Cell {
        &self.cells[place]
    }

    pub(super) fn cell_mut(&mut self, place: Place) -> &mut Cell {
        &mut self.cells[place]
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
    use crate::store::memory::cell::Meta;

    fn hash(number: u64) -> KeyHash {
        KeyHash::new(xxh3_128(&number.to_le_bytes()))
    }

    fn cell(number: u64) -> Cell {
        Cell {
            hash: hash(number),
            meta: Meta(number),
            words: [number; 3],
        }
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_out() {
        let mut table = Table::new(20);
        let mut inside = HashSet::new();
        for number in 0..5_000 {
            let leaving = number / 2;
            if number % 2 == 1 && inside.remove(&leaving) {
                let place = table.find(hash(leaving)).unwrap();
                assert_eq!(table.vacate(place).words, [leaving; 3]);
            }
            if let Some(place) = table.vacancy(hash(number)) {
                table.occupy(place, cell(number));
                inside.insert(number);
            }
            assert_eq!(table.keys(), inside.len());
        }
        assert!(inside.len() > 100);
        for number in 0..5_000 {
            let found = table
                .find(hash(number))
                .map(|place| table.cell(place).words[0]);
            assert_eq!(found, inside.contains(&number).then_some(number));
        }
        let listed: HashSet<u64> = table.iter().map(|cell| cell.words[0]).collect();
        assert_eq!(listed, inside);
    }

    #[test]
    fn a_table_is_well_filled_before_a_key_finds_no_place() {
        for groups in [32, 600] {
            let mut table = Table::new(groups);
            let full = (0..).find(|number| match table.vacancy(hash(*number)) {
                Some(place) => {
                    table.occupy(place, cell(*number));
                    false
                }
                None => true,
            });
            let filled = 100 * full.unwrap() / (groups * GROUP) as u64;
            assert!(filled >= 75, "{filled} % of {groups} groups");
        }
    }
}

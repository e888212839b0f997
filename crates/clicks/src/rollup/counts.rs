//! Clicks per value of each dimension, and how they are stored.
//!
//! All dimensions of a roll-up are in one value of the store: a row for each of them would be some
//! ten rows for every click of a link that is clicked once a day.

use std::cmp::Ordering;
use std::collections::HashSet;

use smol_str::SmolStr;

use crate::{Dimension, MAX_VALUE_BYTES};

/// The most values of a dimension in one roll-up. Those that come later are added up.
pub(crate) const MAX_VALUES: usize = 1_000;

/// Stored bytes that nothing here wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counts of a roll-up are damaged")]
pub(crate) struct DamagedCounts;

/// The values of one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfDimension {
    dimension: Dimension,
    /// Sorted by the value.
    values: Vec<(SmolStr, u64)>,
    /// Clicks of values that came when there were too many.
    other: u64,
}

/// Clicks per value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Sorted by the dimension.
    dimensions: Vec<OfDimension>,
}

impl Counts {
    /// Adds clicks of values, which are sorted and distinct.
    pub(crate) fn add<'v>(
        &mut self,
        clicks: impl Iterator<Item = (&'v (Dimension, SmolStr), u64)>,
    ) {
        let mut clicks = clicks.peekable();
        while let Some(((dimension, _), _)) = clicks.peek() {
            let dimension = *dimension;
            let same = std::iter::from_fn(|| {
                clicks
                    .next_if(|((its, _), _)| *its == dimension)
                    .map(|((_, value), count)| (value, count))
            });
            self.of(dimension).add(same);
        }
    }

    fn of(&mut self, dimension: Dimension) -> &mut OfDimension {
        let place = self
            .dimensions
            .binary_search_by_key(&dimension, |of| of.dimension);
        let place = place.unwrap_or_else(|place| {
            let empty = OfDimension {
                dimension,
                values: Vec::new(),
                other: 0,
            };
            self.dimensions.insert(place, empty);
            place
        });
        &mut self.dimensions[place]
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedCounts> {
        let mut counts = Self::default();
        for section in sections(bytes) {
            let (dimension, section) = section?;
            let mut values = Vec::new();
            let mut other = 0;
            section.read(|value, clicks| match value {
                Some(value) => values.push((SmolStr::new(value), clicks)),
                None => other = clicks,
            })?;
            counts.dimensions.push(OfDimension {
                dimension,
                values,
                other,
            });
        }
        let sorted = counts
            .dimensions
            .is_sorted_by(|one, next| one.dimension < next.dimension);
        if sorted {
            Ok(counts)
        } else {
            Err(DamagedCounts)
        }
    }

    /// To be stored: for each dimension its number, the length of the rest, the clicks of other
    /// values, and then each value as its length, its text and its clicks.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut section = Vec::new();
        for of in &self.dimensions {
            section.clear();
            write_number(&mut section, of.other);
            for (value, clicks) in &of.values {
                write_number(&mut section, value.len() as u64);
                section.extend_from_slice(value.as_bytes());
                write_number(&mut section, *clicks);
            }
            bytes.push(of.dimension as u8);
            write_number(&mut bytes, section.len() as u64);
            bytes.extend_from_slice(&section);
        }
        bytes
    }
}

impl OfDimension {
    fn add<'v>(&mut self, more: impl Iterator<Item = (&'v SmolStr, u64)>) {
        let old = std::mem::take(&mut self.values);
        let room = MAX_VALUES.saturating_sub(old.len());
        let mut fresh: Vec<(u64, &SmolStr)> = Vec::new();
        let mut old = old.into_iter().peekable();
        let mut merged = Vec::with_capacity(old.len());
        for (value, clicks) in more {
            while let Some(earlier) = old.next_if(|(old, _)| old < value) {
                merged.push(earlier);
            }
            match old.next_if(|(old, _)| old == value) {
                Some((same, before)) => merged.push((same, before.saturating_add(clicks))),
                None => {
                    fresh.push((clicks, value));
                    merged.push((value.clone(), clicks));
                }
            }
        }
        merged.extend(old);
        if fresh.len() > room {
            // Those with the most clicks stay.
            fresh.sort_unstable_by(|one, other| match other.0.cmp(&one.0) {
                Ordering::Equal => one.1.cmp(other.1),
                unequal => unequal,
            });
            let late: HashSet<&SmolStr> = fresh[room..].iter().map(|(_, value)| *value).collect();
            let other = &mut self.other;
            merged.retain(|(value, clicks)| {
                let stays = !late.contains(value);
                if !stays {
                    *other = other.saturating_add(*clicks);
                }
                stays
            });
        }
        self.values = merged;
    }
}

/// The stored values of one dimension.
#[derive(Clone, Copy)]
pub(crate) struct Section<'b>(&'b [u8]);

/// The dimensions in stored counts. Those that nobody reads cost next to nothing.
pub(crate) fn sections(
    mut bytes: &[u8],
) -> impl Iterator<Item = Result<(Dimension, Section<'_>), DamagedCounts>> {
    std::iter::from_fn(move || {
        let (&number, rest) = bytes.split_first()?;
        bytes = rest;
        let section = Dimension::of_number(number)
            .and_then(|dimension| Some((dimension, Section(read_bytes(&mut bytes)?))));
        if section.is_none() {
            bytes = &[];
        }
        Some(section.ok_or(DamagedCounts))
    })
}

impl<'b> Section<'b> {
    /// Tells each value and its clicks; none is for all others together, if there are any.
    pub(crate) fn read(
        self,
        mut tell: impl FnMut(Option<&'b str>, u64),
    ) -> Result<(), DamagedCounts> {
        let mut bytes = self.0;
        let other = read_number(&mut bytes).ok_or(DamagedCounts)?;
        if other > 0 {
            tell(None, other);
        }
        while !bytes.is_empty() {
            let value = read_bytes(&mut bytes)
                .filter(|value| value.len() <= MAX_VALUE_BYTES)
                .and_then(|value| std::str::from_utf8(value).ok());
            let clicks = read_number(&mut bytes);
            let (Some(value), Some(clicks)) = (value, clicks) else {
                return Err(DamagedCounts);
            };
            tell(Some(value), clicks);
        }
        Ok(())
    }
}

/// Seven bits a byte, the lowest first; the last byte is below 128.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn add(counts: &mut Counts, clicks: &BTreeMap<(Dimension, SmolStr), u64>) {
        counts.add(clicks.iter().map(|(value, clicks)| (value, *clicks)));
    }

    fn read(counts: &Counts) -> BTreeMap<(Dimension, Option<SmolStr>), u64> {
        let bytes = counts.to_bytes();
        assert_eq!(Counts::from_bytes(&bytes).unwrap(), *counts);
        let mut all = BTreeMap::new();
        for section in sections(&bytes) {
            let (dimension, section) = section.unwrap();
            section
                .read(|value, clicks| {
                    all.insert((dimension, value.map(SmolStr::new)), clicks);
                })
                .unwrap();
        }
        all
    }

    #[test]
    fn values_beyond_the_bound_are_added_up_and_nothing_is_lost() {
        let mut counts = Counts::default();
        let of = |values: std::ops::Range<usize>, clicks: u64| {
            values
                .map(|value| {
                    (
                        (Dimension::City, SmolStr::from(format!("{value:05}"))),
                        clicks,
                    )
                })
                .collect::<BTreeMap<_, _>>()
        };
        add(&mut counts, &of(0..600, 1));
        let mut more = of(500..1_200, 2);
        more.insert((Dimension::City, "zzz".into()), 99);
        add(&mut counts, &more);
        let all = read(&counts);
        assert_eq!(all.len(), MAX_VALUES + 1);
        assert_eq!(all.values().sum::<u64>(), 600 + 2 * 700 + 99);
        assert_eq!(all[&(Dimension::City, Some("zzz".into()))], 99);
        assert_eq!(all[&(Dimension::City, Some("00550".into()))], 3);
        assert_eq!(all[&(Dimension::City, None)], 2 * 201);
        // A value that is counted apart stays so.
        add(&mut counts, &of(0..1, 5));
        assert_eq!(read(&counts)[&(Dimension::City, Some("00000".into()))], 6);
    }

    proptest! {
        #[test]
        fn adding_is_as_with_a_map(
            batches in prop::collection::vec(
                prop::collection::btree_map(
                    (prop::sample::select(Dimension::ALL.to_vec()), "[a-c\u{e4}]{1,3}"),
                    1_u64..1_000_000_000_000,
                    0..20,
                ),
                0..8,
            )
        ) {
            let mut model = BTreeMap::new();
            let mut counts = Counts::default();
            for batch in batches {
                let batch: BTreeMap<_, _> = batch
                    .into_iter()
                    .map(|((dimension, value), clicks)| ((dimension, SmolStr::from(value)), clicks))
                    .collect();
                for ((dimension, value), clicks) in &batch {
                    *model.entry((*dimension, Some(value.clone()))).or_insert(0) += clicks;
                }
                add(&mut counts, &batch);
            }
            prop_assert_eq!(read(&counts), model);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Counts::from_bytes(&bytes);
        }
    }
}

//! Who is refused most, in bounded memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::policy::{Entry, Rule};

/// How many are followed.
const CAPACITY: usize = 1_000;

/// A descriptor that was refused, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Whose rules.
    pub domain: Arc<str>,
    /// By which of them.
    pub policy: Arc<str>,
    /// What was counted.
    pub entries: Arc<[Entry]>,
    /// How often it was refused, at most.
    pub count: u64,
    /// How much of `count` may be another's: it was refused `count - error` times at least.
    pub error: u64,
}

/// One limit that was over, as an audit sees it.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'a> {
    /// The rule; in shadow mode it refused nothing.
    pub rule: &'a Arc<Rule>,
    /// What was counted.
    pub entries: &'a [Entry],
    /// What was decided.
    pub status: &'a super::Status,
}

/// Is told of every limit that was over. Called on the path of the decision: it must not wait.
pub trait Audit: Send + Sync + 'static {
    /// A limit was over.
    fn denied(&self, denial: &Denial<'_>);
}

/// The descriptors refused most since the start.
#[derive(Debug)]
pub(super) struct TopDenied(Mutex<SpaceSaving<Key>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    domain: Arc<str>,
    policy: Arc<str>,
    entries: Arc<[Entry]>,
}

impl TopDenied {
    pub(super) fn new() -> Self {
        Self(Mutex::new(SpaceSaving::new(CAPACITY)))
    }

    pub(super) fn note(&self, rule: &Rule, entries: &[Entry]) {
        let key = Key {
            domain: Arc::clone(&rule.domain),
            policy: Arc::clone(&rule.name),
            entries: entries.into(),
        };
        self.0.lock().note(key);
    }

    /// The first `most`, the most refused first.
    pub(super) fn top(&self, most: usize) -> Vec<Denied> {
        let sketch = self.0.lock();
        let top = sketch.top(most);
        top.map(|slot| Denied {
            domain: Arc::clone(&slot.key.domain),
            policy: Arc::clone(&slot.key.policy),
            entries: Arc::clone(&slot.key.entries),
            count: slot.count,
            error: slot.error,
        })
        .collect()
    }
}

/// Counts the most frequent of many keys (Space-Saving; Metwally, Agrawal, El Abbadi: Efficient
/// Computation of Frequent and Top-k Elements in Data Streams, 2005). With `m` places and `n`
/// events, every key with more than `n / m` events has a place, and no count is more than `n / m`
/// too high.
#[derive(Debug)]
struct SpaceSaving<K> {
    places: usize,
    slots: Vec<Slot<K>>,
    /// Where a key's slot is.
    places_of: HashMap<K, usize>,
    /// Count and slot, the least first.
    order: BTreeSet<(u64, usize)>,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    count: u64,
    error: u64,
}

impl<K: Clone + Eq + Hash> SpaceSaving<K> {
    fn new(places: usize) -> Self {
        Self {
            places,
            slots: Vec::new(),
            places_of: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    fn note(&mut self, key: K) {
        if let Some(&at) = self.places_of.get(&key) {
            self.raise(at);
        } else if self.slots.len() < self.places {
            let at = self.slots.len();
            self.places_of.insert(key.clone(), at);
            self.slots.push(Slot {
                key,
                count: 1,
                error: 0,
            });
            self.order.insert((1, at));
        } else if let Some(&(least, at)) = self.order.first() {
            // The rarest gives its place, and its count, for which the new one may have come.
            let slot = &mut self.slots[at];
            self.places_of.remove(&slot.key);
            self.places_of.insert(key.clone(), at);
            slot.key = key;
            slot.error = least;
            self.raise(at);
        }
    }

    fn raise(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        self.order.remove(&(slot.count, at));
        slot.count += 1;
        self.order.insert((slot.count, at));
    }

    fn top(&self, most: usize) -> impl Iterator<Item = &Slot<K>> {
        let most_frequent = self.order.iter().rev().take(most);
        most_frequent.map(|(_, at)| &self.slots[*at])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bounds_of_the_paper_hold(
            events in proptest::collection::vec(prop_oneof![0_u8..4, 0_u8..40], 0..600),
            places in 1_usize..20,
        ) {
            let mut sketch = SpaceSaving::new(places);
            let mut exact: HashMap<u8, u64> = HashMap::new();
            for &event in &events {
                sketch.note(event);
                *exact.entry(event).or_default() += 1;
            }
            let share = events.len() as u64 / places as u64;
            let top: Vec<_> = sketch.top(usize::MAX).collect();
            prop_assert!(top.len() <= places);
            prop_assert!(top.is_sorted_by(|a, b| a.count >= b.count));
            for slot in &top {
                let real = exact[&slot.key];
                prop_assert!(slot.count - slot.error <= real && real <= slot.count);
                prop_assert!(slot.error <= share);
            }
            for (key, count) in exact {
                let has_place = top.iter().any(|slot| slot.key == key);
                prop_assert!(has_place || count <= share, "{} of {}", count, share);
            }
        }
    }

    #[test]
    fn places_are_not_more_than_allowed() {
        let mut sketch = SpaceSaving::new(2);
        for key in ["a", "b", "a", "c", "a"] {
            sketch.note(key);
        }
        let top: Vec<_> = sketch.top(9).map(|s| (s.key, s.count, s.error)).collect();
        assert_eq!(top, [("a", 3, 0), ("c", 2, 1)]);
    }
}

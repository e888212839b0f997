//! Which links this instance has lately read for all from a copy of the store that may have been old.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::LinkKey;

/// At least so many are remembered, and at most twice as many.
const REMEMBERED: usize = 32_768;

/// The newest of them, by their hashes: one more that is taken for one of them costs a message.
#[derive(Default)]
pub(super) struct Led {
    hasher: RandomState,
    sets: Mutex<[HashSet<u64, RandomState>; 2]>,
}

impl Led {
    pub(super) fn note(&self, key: &LinkKey) {
        let hash = self.hasher.hash_one(key);
        let [newer, older] = &mut *self.sets.lock();
        if newer.len() >= REMEMBERED {
            std::mem::swap(newer, older);
            newer.clear();
        }
        newer.insert(hash);
    }

    pub(super) fn holds(&self, key: &LinkKey) -> bool {
        let hash = self.hasher.hash_one(key);
        self.sets.lock().iter().any(|set| set.contains(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Domain};

    #[test]
    fn the_newest_are_remembered() {
        let key = |number: usize| LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored(format!("c{number}")),
        };
        let led = Led::default();
        for number in 0..3 * REMEMBERED {
            led.note(&key(number));
        }
        assert!((2 * REMEMBERED..3 * REMEMBERED).all(|number| led.holds(&key(number))));
        assert!(led.sets.lock().iter().map(HashSet::len).sum::<usize>() <= 2 * REMEMBERED);
    }
}

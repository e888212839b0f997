//! Which links were changed lately, and when that was known here.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::LinkKey;

/// Links that are remembered; some 4 MB of them at most. When more change, reads of all links have to see
/// what was changed as early as the forgotten ones.
const REMEMBERED: usize = 65_536;

/// The newest changes, by the hashes of links: two with one hash are read as if both were changed, and no
/// harm is done.
pub(super) struct Recent {
    hasher: RandomState,
    changed: HashMap<u64, Instant, RandomState>,
    order: VecDeque<(u64, Instant)>,
    /// Reads of any link have to see what was there at this moment.
    floor: Instant,
}

impl Recent {
    /// Nobody knows what was changed before `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::default(),
            changed: HashMap::default(),
            order: VecDeque::new(),
            floor: now,
        }
    }

    /// These were changed at some time before `now`.
    pub(super) fn note<'a>(&mut self, keys: impl IntoIterator<Item = &'a LinkKey>, now: Instant) {
        for key in keys {
            let hash = self.hasher.hash_one(key);
            self.changed.insert(hash, now);
            self.order.push_back((hash, now));
        }
        while self.order.len() > REMEMBERED
            && let Some((hash, at)) = self.order.pop_front()
        {
            // It may have been changed again since.
            if self.changed.get(&hash) == Some(&at) {
                self.changed.remove(&hash);
                self.floor = self.floor.max(at);
            }
        }
    }

    /// Any of all links may have been changed before `now`.
    pub(super) fn note_all(&mut self, now: Instant) {
        self.changed.clear();
        self.order.clear();
        self.floor = now;
    }

    /// A read of this link has to see what was there at this moment.
    pub(super) fn seen(&self, key: &LinkKey) -> Instant {
        let changed = self.changed.get(&self.hasher.hash_one(key));
        changed.map_or(self.floor, |at| self.floor.max(*at))
    }

    /// The same for whoever reads no link in particular.
    pub(super) const fn floor(&self) -> Instant {
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Code, Domain};

    fn key(number: usize) -> LinkKey {
        LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored(format!("c{number}")),
        }
    }

    #[test]
    fn a_changed_link_has_to_be_seen_as_it_was_left() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut recent = Recent::new(begin);
        recent.note([&key(1), &key(2)], at(5));
        recent.note([&key(1)], at(9));
        assert_eq!(recent.seen(&key(1)), at(9));
        assert_eq!(recent.seen(&key(2)), at(5));
        assert_eq!(recent.seen(&key(3)), begin);
        recent.note_all(at(20));
        assert_eq!(recent.seen(&key(1)), at(20));
        assert_eq!(recent.seen(&key(3)), at(20));
    }

    #[test]
    fn what_is_forgotten_raises_what_all_have_to_see() {
        let begin = Instant::now();
        let at = |ms: usize| begin + Duration::from_millis(ms as u64);
        let mut recent = Recent::new(begin);
        for number in 0..REMEMBERED + 10 {
            recent.note([&key(number)], at(number));
            recent.note([&key(0)], at(number));
        }
        assert!(recent.order.len() <= REMEMBERED && recent.changed.len() <= REMEMBERED);
        assert_eq!(recent.seen(&key(0)), at(REMEMBERED + 9));
        let forgotten = recent.floor();
        assert!(forgotten > begin);
        for number in 0..REMEMBERED + 10 {
            assert!(recent.seen(&key(number)) >= at(number));
        }
    }
}

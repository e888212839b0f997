//! The states that do not fit a cell.

use crate::SlidingLogState;

/// What a log takes that has few entries.
const SMALL_LOG: usize = size_of::<SlidingLogState>() + 4 * 16;

/// Logs by number; a number is used again once its log is gone.
#[derive(Debug, Default)]
pub(super) struct Logs {
    places: Vec<Place>,
    /// The number that is used next, if there is one that was used before.
    free: Option<u64>,
    bytes: usize,
}

#[derive(Debug)]
enum Place {
    Log(Box<SlidingLogState>),
    Lent,
    /// And the next free number.
    Free(Option<u64>),
}

impl Logs {
    /// Keeps a log and answers its number.
    pub(super) fn insert(&mut self, log: Box<SlidingLogState>) -> u64 {
        self.bytes += log.bytes();
        if let Some(number) = self.free
            && let Some(place) = self.places.get_mut(index(number))
            && let Place::Free(next) = place
        {
            self.free = *next;
            *place = Place::Log(log);
            return number;
        }
        if self.places.len() == self.places.capacity() {
            self.places.reserve_exact(self.more_places());
        }
        self.places.push(Place::Log(log));
        self.places.len() as u64 - 1
    }

    /// Lends the log out; the number stays its own until [`Logs::free`].
    pub(super) fn take(&mut self, number: u64) -> Option<Box<SlidingLogState>> {
        let place = self.places.get_mut(index(number))?;
        match std::mem::replace(place, Place::Lent) {
            Place::Log(log) => {
                self.bytes -= log.bytes();
                Some(log)
            }
            other => {
                *place = other;
                None
            }
        }
    }

    /// Takes back what was lent out, or another one in its place.
    pub(super) fn put(&mut self, number: u64, log: Box<SlidingLogState>) {
        drop(self.take(number));
        if let Some(place @ Place::Lent) = self.places.get_mut(index(number)) {
            self.bytes += log.bytes();
            *place = Place::Log(log);
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&SlidingLogState> {
        match self.places.get(index(number))? {
            Place::Log(log) => Some(log),
            Place::Lent | Place::Free(_) => None,
        }
    }

    /// Drops a log and its number.
    pub(super) fn free(&mut self, number: u64) {
        drop(self.take(number));
        if let Some(place @ Place::Lent) = self.places.get_mut(index(number)) {
            *place = Place::Free(self.free.replace(number));
        }
    }

    /// What the logs and the list of them take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes + self.places.capacity() * size_of::<Place>()
    }

    /// What one more log takes at first.
    pub(super) fn bytes_of_one_more(&self) -> usize {
        let full = self.free.is_none() && self.places.len() == self.places.capacity();
        let more = if full { self.more_places() } else { 0 };
        SMALL_LOG + more * size_of::<Place>()
    }

    fn more_places(&self) -> usize {
        (self.places.len() / 8).max(8)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_bytes_are_counted() {
        let mut logs = Logs::default();
        let log = |at| Box::new(SlidingLogState::from_entries([[at, 1]]).unwrap());
        let expected = logs.bytes_of_one_more();
        let (first, second) = (logs.insert(log(1)), logs.insert(log(2)));
        assert!(logs.bytes() <= 2 * expected);
        assert_ne!(first, second);
        let full = logs.bytes();
        let lent = logs.take(first).unwrap();
        assert!(logs.get(first).is_none());
        assert!(logs.bytes() < full);
        logs.put(first, lent);
        assert_eq!(logs.bytes(), full);
        logs.put(first, log(4));
        assert_eq!(logs.bytes(), full);
        for _ in 0..2 {
            logs.free(second);
            logs.free(first);
            logs.free(first);
            assert_eq!(logs.insert(log(3)), first);
            assert_eq!(logs.insert(log(5)), second);
            assert_eq!(logs.bytes(), full);
        }
        assert_eq!(logs.get(first), Some(&*log(3)));
    }
}

//! How far the counting is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::UnixMillis;

use crate::{EnrichedClick, Position};

/// What [`Counts`](super::Counts) has done since it started, and what it has in hand.
#[derive(Debug, Default)]
pub struct Progress {
    clicks: AtomicU64,
    batches: AtomicU64,
    adjusted: AtomicU64,
    source_failures: AtomicU64,
    store_failures: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// Where each batch ends that is read and not counted, and when the oldest click of it was captured.
#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<(Position, UnixMillis)>,
    /// Those that were given up and are to be read again.
    given_up: VecDeque<(Position, UnixMillis)>,
}

impl Progress {
    /// Clicks counted.
    #[must_use]
    pub fn clicks(&self) -> u64 {
        self.clicks.load(Relaxed)
    }

    /// Commits that counted them.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Clicks whose time could not be, and was put to that of counting.
    #[must_use]
    pub fn adjusted(&self) -> u64 {
        self.adjusted.load(Relaxed)
    }

    /// Times the source failed.
    #[must_use]
    pub fn source_failures(&self) -> u64 {
        self.source_failures.load(Relaxed)
    }

    /// Times the store failed.
    #[must_use]
    pub fn store_failures(&self) -> u64 {
        self.store_failures.load(Relaxed)
    }

    /// The lag: how old the oldest click is that waits to be counted. Zero if none does.
    #[must_use]
    pub fn lag(&self, now: UnixMillis) -> Duration {
        let waiting = self.waiting.lock();
        let oldest = waiting.given_up.front().or(waiting.batches.front());
        oldest.map_or(Duration::ZERO, |(_, oldest)| now.since(*oldest))
    }

    /// A batch was read up to here, whose oldest click is this one.
    pub(crate) fn read(&self, to: Position, oldest: Option<UnixMillis>) {
        // Without clicks there is only a position to note, which nobody waits for.
        let oldest = oldest.unwrap_or(UnixMillis::from_millis(i64::MAX));
        let mut waiting = self.waiting.lock();
        waiting.given_up.clear();
        waiting.batches.push_back((to, oldest));
    }

    /// The first batch that was read is counted.
    pub(crate) fn done(&self) {
        self.waiting.lock().batches.pop_front();
    }

    /// What was read and is not counted up to here is read again. Until then it still waits.
    pub(crate) fn begin(&self, counted: Position) {
        let waiting = &mut *self.waiting.lock();
        waiting.given_up.extend(waiting.batches.drain(..));
        waiting.given_up.retain(|(to, _)| *to > counted);
    }

    /// These are counted, in one commit.
    pub(crate) fn counted(&self, clicks: &[Arc<EnrichedClick>]) {
        let adjusted = clicks.iter().filter(|click| click.adjusted).count();
        self.clicks.fetch_add(clicks.len() as u64, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.adjusted.fetch_add(adjusted as u64, Relaxed);
    }

    pub(crate) fn source_failed(&self) {
        self.source_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn store_failed(&self) {
        self.store_failures.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_still_waits_unless_it_was_counted() {
        let progress = Progress::default();
        let at = |seconds: i64| UnixMillis::from_millis(1_000 * seconds);
        let to = |offset| Position { segment: 1, offset };
        let lag = || progress.lag(at(100)).as_secs();
        progress.read(to(10), Some(at(40)));
        progress.read(to(20), Some(at(60)));
        assert_eq!(lag(), 60);
        progress.begin(to(0));
        assert_eq!(lag(), 60, "neither was counted");
        progress.begin(to(10));
        assert_eq!(lag(), 40, "the first was counted, but nobody was told");
        progress.read(to(20), Some(at(60)));
        assert_eq!(lag(), 40);
        progress.begin(to(20));
        assert_eq!(lag(), 0);
        progress.read(to(30), Some(at(90)));
        progress.done();
        assert_eq!(lag(), 0);
    }
}

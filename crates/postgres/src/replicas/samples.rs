//! Where the primary was at which moments, and what follows for a standby that has come as far.
//!
//! What was committed before a moment ends in the write-ahead log before the place where the primary was
//! when it was asked at that moment or later. So a standby that has replayed up to that place shows it, and
//! the clocks of the two machines do not matter: all moments are this process's own.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Samples that are kept: four minutes of them, at four a second, when each is another place.
const KEPT: usize = 1_024;

/// Which write-ahead log: places of different ones cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct History {
    /// The cluster, by the number it got when it was made.
    pub(super) system: i64,
    /// It changes with each promotion.
    pub(super) timeline: i32,
}

/// A place where the primary was, and the first and the last moment at which it was asked and was there.
#[derive(Debug, Clone, Copy)]
struct Sample {
    place: u64,
    first: Instant,
    last: Instant,
}

/// How far a standby is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// It shows all that was committed before this moment; `None` if nobody knows.
    pub(super) as_of: Option<Instant>,
    /// The first moment of which that is known to be not so.
    pub(super) behind_since: Option<Instant>,
    /// Bytes of the log that it has not replayed.
    pub(super) behind_bytes: u64,
}

impl Progress {
    /// How long it has been behind.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let behind = self.behind_since.map(|since| now - since);
        behind.unwrap_or_default()
    }
}

/// The newest samples of one primary.
#[derive(Debug, Default)]
pub(super) struct Samples {
    history: Option<History>,
    kept: VecDeque<Sample>,
}

impl Samples {
    /// The primary was asked at `asked`, and was at `place` when it answered.
    pub(super) fn add(&mut self, history: History, asked: Instant, place: u64) {
        if self.history != Some(history) {
            // Another primary, whose log may lack what the old one had.
            self.kept.clear();
            self.history = Some(history);
        }
        // A crash takes back what was not on disk, and no standby has it.
        while self.kept.back().is_some_and(|newest| newest.place > place) {
            self.kept.pop_back();
        }
        match self.kept.back_mut() {
            Some(newest) if newest.place == place => newest.last = newest.last.max(asked),
            _ => self.kept.push_back(Sample {
                place,
                first: asked,
                last: asked,
            }),
        }
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Whether the primary was never asked.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How far a standby is that has replayed up to `place` of a log. Nothing is known of one that follows
    /// another primary.
    pub(super) fn progress(&self, history: History, place: u64) -> Option<Progress> {
        if self.history != Some(history) {
            return None;
        }
        let newest = self.kept.back()?.place;
        let reached = self.kept.partition_point(|sample| sample.place <= place);
        Some(Progress {
            as_of: reached.checked_sub(1).map(|at| self.kept[at].last),
            behind_since: self.kept.get(reached).map(|sample| sample.first),
            behind_bytes: newest.saturating_sub(place),
        })
    }
}

/// Where the last record ends, of a server whose next one begins at `next`: a page begins with a header, which
/// is of the next record.
pub(super) fn end_of_last(next: u64, page: u64) -> u64 {
    /// Of a page, and of the first page of a file.
    const HEADERS: [u64; 2] = [24, 40];
    match next.checked_rem(page) {
        Some(beyond) if HEADERS.contains(&beyond) => next - beyond,
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: History = History {
        system: 7,
        timeline: 1,
    };

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    #[test]
    fn a_standby_shows_what_was_there_when_the_primary_was_no_further() {
        let begin = Instant::now();
        let mut samples = Samples::default();
        for (ms, place) in [(0, 100), (10, 100), (20, 150), (30, 200)] {
            samples.add(ONE, at(begin, ms), place);
        }
        let progress = |place| samples.progress(ONE, place).unwrap();
        assert_eq!(progress(99).as_of, None);
        assert_eq!(progress(99).behind_since, Some(begin));
        // The place did not change between 0 and 10.
        assert_eq!(progress(120).as_of, Some(at(begin, 10)));
        assert_eq!(progress(120).behind_since, Some(at(begin, 20)));
        assert_eq!(progress(120).behind_bytes, 80);
        assert_eq!(progress(120).lag(at(begin, 50)), Duration::from_millis(30));
        let caught_up = Progress {
            as_of: Some(at(begin, 30)),
            behind_since: None,
            behind_bytes: 0,
        };
        assert_eq!(progress(200), caught_up);
        assert_eq!(progress(900), caught_up);
        assert_eq!(caught_up.lag(at(begin, 9_000)), Duration::ZERO);
    }

    #[test]
    fn places_of_another_log_say_nothing() {
        let begin = Instant::now();
        let mut samples = Samples::default();
        assert_eq!(samples.progress(ONE, 500), None);
        samples.add(ONE, begin, 100);
        let promoted = History { timeline: 2, ..ONE };
        assert_eq!(samples.progress(promoted, 500), None);
        // A standby that has replayed more of the old log than the new primary had.
        samples.add(promoted, at(begin, 5), 90);
        assert_eq!(samples.progress(ONE, 500), None);
        let follows = samples.progress(promoted, 95).unwrap();
        assert_eq!(follows.as_of, Some(at(begin, 5)));
    }

    #[test]
    fn what_a_crash_took_back_is_not_waited_for() {
        let begin = Instant::now();
        let mut samples = Samples::default();
        samples.add(ONE, begin, 100);
        samples.add(ONE, at(begin, 10), 300);
        samples.add(ONE, at(begin, 20), 200);
        let progress = samples.progress(ONE, 200).unwrap();
        assert_eq!(progress.as_of, Some(at(begin, 20)));
        assert_eq!(progress.behind_since, None);
    }

    #[test]
    fn no_more_samples_are_kept_than_said() {
        let begin = Instant::now();
        let mut samples = Samples::default();
        for step in 0..5_000 {
            samples.add(ONE, at(begin, step), step);
        }
        assert_eq!(samples.kept.len(), KEPT);
        // One that is further behind than the samples reach is behind at least since the oldest.
        let progress = samples.progress(ONE, 3).unwrap();
        assert_eq!(progress.as_of, None);
        assert_eq!(progress.behind_bytes, 4_996);
    }

    #[test]
    fn the_header_of_a_page_belongs_to_the_next_record() {
        for (next, end) in [(8_192 + 24, 8_192), (40, 0), (8_192, 8_192), (9_000, 9_000)] {
            assert_eq!(end_of_last(next, 8_192), end);
        }
        assert_eq!(end_of_last(24, 0), 24);
    }
}

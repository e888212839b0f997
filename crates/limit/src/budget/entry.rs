//! What one instance knows of the budget of one key.

use std::time::Duration;

use super::{Report, Total};

/// The budget of a key, in the window of the moment. All times are of the monotonic clock.
///
/// When the shared window ends is known only as well as an answer was fast: between `earliest` and
/// `end`. What is admitted between them counts in both windows.
#[derive(Debug)]
pub(super) struct Entry {
    budget: u64,
    window: Duration,
    /// What all instances together reported, as far as this one was told.
    known: u64,
    /// What was admitted here, and nobody was told of.
    unreported: u64,
    /// How much of it is being reported.
    reporting: u64,
    /// For requests that are being decided.
    held: u64,
    /// How much of `unreported` may belong to the next window.
    tail: u64,
    /// The number of the window by the shared clock; none before the first answer.
    number: Option<u64>,
    earliest: Duration,
    end: Duration,
    asked: Duration,
    /// Tells this window of this entry from all others.
    era: u64,
}

/// How things are with a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What is left.
    pub(crate) left: u64,
    /// How long until the window is over.
    pub(crate) ends_after: Duration,
}

impl Entry {
    /// Of a key that was not asked for before. The window ends by the clock on the wall, until the
    /// shared clock is known, which it should be at `told_by`.
    pub(super) fn new(
        window: Duration,
        now: Duration,
        wall: u64,
        told_by: Duration,
        era: u64,
    ) -> Self {
        let length = millis(window);
        let end = now + Duration::from_millis(length - wall % length);
        Self {
            budget: 0,
            window,
            known: 0,
            unreported: 0,
            reporting: 0,
            held: 0,
            tail: 0,
            number: None,
            // A clock that is wrong does not make anybody forget what is reported right after.
            earliest: if end < told_by { now } else { end },
            end,
            asked: now,
            era,
        }
    }

    pub(super) const fn window(&self) -> Duration {
        self.window
    }

    /// Takes over what another one holds for requests.
    pub(super) const fn take_over(&mut self, other: &Self) {
        self.held = other.held;
    }

    /// Goes on to the window of the moment, if the last one is over.
    pub(super) fn roll(&mut self, now: Duration, era: &mut impl FnMut() -> u64) {
        if now < self.end {
            return;
        }
        let window = self.window.as_nanos().max(1);
        let passed = 1 + (now - self.end).as_nanos() / window;
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        let by = self.window.saturating_mul(passed);
        self.end = self.end.saturating_add(by);
        self.earliest = match self.number {
            Some(_) => self.earliest.saturating_add(by),
            None => self.end,
        };
        self.number = self.number.map(|number| number + u64::from(passed));
        self.begin(passed == 1, era());
    }

    /// Begins a window, which is the next one or a later one.
    const fn begin(&mut self, next: bool, era: u64) {
        self.known = 0;
        self.unreported = if next { self.tail } else { 0 };
        self.tail = 0;
        self.reporting = 0;
        self.era = era;
    }

    /// Notes that a request asks for it, by a rule with this budget.
    pub(super) const fn ask(&mut self, budget: u64, now: Duration) {
        self.budget = budget;
        self.asked = now;
    }

    pub(super) const fn standing(&self, now: Duration) -> Standing {
        let used = self.known.saturating_add(self.unreported);
        Standing {
            left: self.budget.saturating_sub(used.saturating_add(self.held)),
            ends_after: self.end.saturating_sub(now),
        }
    }

    /// Keeps so much for a request that is being decided.
    pub(super) const fn hold(&mut self, units: u64) {
        self.held = self.held.saturating_add(units);
    }

    /// The request was refused.
    pub(super) const fn release(&mut self, units: u64) {
        self.held = self.held.saturating_sub(units);
    }

    /// The request was admitted. In which window.
    pub(super) fn spend(&mut self, units: u64, now: Duration) -> u64 {
        self.release(units);
        self.unreported = self.unreported.saturating_add(units);
        if now >= self.earliest {
            self.tail = self.tail.saturating_add(units);
        }
        self.era
    }

    /// Takes back what a request of this window did not use, unless others know of it.
    pub(super) fn give_back(&mut self, units: u64, era: u64) {
        if self.era == era {
            let ours = self.unreported.saturating_sub(self.reporting);
            self.unreported -= units.min(ours);
            self.tail = self.tail.min(self.unreported);
        }
    }

    /// What to tell and to ask, if there is anything: of `key`, that was asked for since `lately`.
    pub(super) fn report(
        &mut self,
        key: &crate::store::LimitKey,
        lately: Duration,
    ) -> Option<Report> {
        // What is used up stays so until the window is over.
        let wanted = self.asked >= lately && self.known < self.budget;
        if self.unreported == 0 && !wanted {
            return None;
        }
        self.reporting = self.unreported;
        Some(Report {
            key: key.clone(),
            window: self.window,
            units: self.unreported,
            number: self.number,
        })
    }

    /// Nobody was told, or nobody answered.
    pub(super) const fn unanswered(&mut self) {
        self.reporting = 0;
    }

    /// What came of a report that was sent and answered at these moments.
    pub(super) fn told(
        &mut self,
        total: &Total,
        sent: Duration,
        received: Duration,
        era: impl FnOnce() -> u64,
    ) {
        let before = self.number.unwrap_or(total.number);
        if total.number > before {
            self.begin(total.number == before + 1, era());
        }
        let counted = if total.counted { self.reporting } else { 0 };
        self.known = if total.number == before {
            // A Redis that lost what it counted does not make this instance forget.
            total.units.max(self.known.saturating_add(counted))
        } else {
            total.units
        };
        self.unreported = self.unreported.saturating_sub(counted);
        self.tail = self.tail.min(self.unreported);
        self.reporting = 0;
        self.number = Some(total.number);
        self.earliest = sent.saturating_add(total.left);
        self.end = received.saturating_add(total.left);
    }

    /// Whether it holds nothing that anybody needs: nothing is used of its window, and nobody asked
    /// since `lately`.
    pub(super) const fn is_worthless(&self, lately: Duration) -> bool {
        let used = self.known > 0 || self.unreported > 0 || self.held > 0;
        !used && self.asked.as_nanos() < lately.as_nanos()
    }
}

/// Windows are whole milliseconds, and not empty.
pub(super) fn millis(window: Duration) -> u64 {
    u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One that begins at 100 seconds, 40 seconds before its minute is over.
    fn entry() -> Entry {
        let mut entry = Entry::new(MINUTE, at(100), 20_000, at(102), 1);
        entry.ask(10, at(100));
        entry
    }

    fn key() -> crate::store::LimitKey {
        crate::store::LimitKey::new(b"d|k=v|").unwrap()
    }

    fn total(number: u64, units: u64, left: u64, counted: bool) -> Total {
        Total {
            number,
            units,
            left: Duration::from_secs(left),
            counted,
        }
    }

    fn left(entry: &Entry, now: u64) -> u64 {
        entry.standing(at(now)).left
    }

    #[test]
    fn what_is_held_spent_and_known_is_taken_from_what_is_left() {
        let mut entry = entry();
        assert_eq!(entry.standing(at(100)).ends_after, 40 * SECOND);
        entry.hold(3);
        entry.hold(2);
        assert_eq!(left(&entry, 100), 5);
        entry.release(2);
        let era = entry.spend(3, at(100));
        assert_eq!(left(&entry, 100), 7);
        let report = entry.report(&key(), at(0)).unwrap();
        assert_eq!((report.units, report.number), (3, None));
        // Spent while the report was under way.
        entry.hold(1);
        entry.spend(1, at(101));
        entry.told(&total(7, 5, 30, true), at(100), at(101), || 2);
        assert_eq!(left(&entry, 101), 4);
        assert_eq!(entry.standing(at(101)).ends_after, 30 * SECOND);
        // One is not reported, and the others are in what others know.
        entry.give_back(3, era);
        assert_eq!(left(&entry, 101), 5);
        assert_eq!(entry.report(&key(), at(0)).map(|it| it.units), Some(0));
    }

    #[test]
    fn a_report_without_an_answer_is_made_again() {
        let mut entry = entry();
        entry.spend(4, at(100));
        entry.report(&key(), at(0)).unwrap();
        entry.give_back(4, 1);
        assert_eq!(left(&entry, 100), 6, "it is under way");
        entry.unanswered();
        assert_eq!(entry.report(&key(), at(200)).unwrap().units, 4);
    }

    #[test]
    fn a_window_that_is_over_is_forgotten_but_for_what_may_be_of_the_next() {
        let mut entry = entry();
        entry.spend(4, at(100));
        entry.report(&key(), at(0)).unwrap();
        // Redis says at some moment from 100 to 103 that 30 seconds are left: it ends from 130 to 133.
        entry.told(&total(7, 9, 30, true), at(100), at(103), || 2);
        entry.spend(1, at(131));
        entry.roll(at(132), &mut || 3);
        assert_eq!(left(&entry, 132), 0);
        entry.roll(at(133), &mut || 3);
        assert_eq!(left(&entry, 133), 9, "the one of 131 counts in both");
        assert_eq!(entry.report(&key(), at(0)).unwrap().number, Some(8));
        entry.unanswered();
        entry.give_back(1, 2);
        assert_eq!(left(&entry, 133), 9, "it was given back to another window");
        entry.roll(at(133 + 150), &mut || 4);
        assert_eq!(left(&entry, 283), 10);
        assert_eq!(entry.report(&key(), at(0)).unwrap().number, Some(10));
        assert_eq!(entry.standing(at(283)).ends_after, 30 * SECOND);
    }

    #[test]
    fn a_report_that_comes_too_late_is_not_counted_in_the_next_window() {
        let mut entry = entry();
        entry.told(&total(7, 2, 30, false), at(100), at(103), || 2);
        entry.spend(3, at(129));
        entry.spend(1, at(131));
        assert_eq!(entry.report(&key(), at(0)).unwrap().units, 4);
        entry.told(&total(8, 5, 59, false), at(131), at(132), || 3);
        // Of the four, the last one may be of the new window.
        assert_eq!(left(&entry, 132), 4);
        assert_eq!(entry.report(&key(), at(0)).unwrap().units, 1);
    }

    #[test]
    fn an_answer_for_a_window_that_is_over_here_changes_nothing_that_was_spent_since() {
        let mut entry = entry();
        entry.told(&total(7, 2, 30, false), at(100), at(100), || 2);
        entry.spend(3, at(129));
        entry.report(&key(), at(0)).unwrap();
        entry.roll(at(130), &mut || 3);
        entry.spend(2, at(130));
        entry.told(&total(8, 6, 59, false), at(129), at(131), || 4);
        assert_eq!(left(&entry, 131), 2);
        assert_eq!(entry.report(&key(), at(0)).unwrap().units, 2);
    }

    #[test]
    fn a_redis_that_lost_its_count_is_not_believed_until_the_window_is_over() {
        let mut entry = entry();
        entry.told(&total(7, 8, 30, false), at(100), at(100), || 2);
        entry.spend(1, at(101));
        entry.report(&key(), at(0)).unwrap();
        entry.told(&total(7, 1, 29, true), at(101), at(101), || 3);
        assert_eq!(left(&entry, 101), 1);
        // Its clock went back as well.
        entry.told(&total(3, 6, 20, false), at(102), at(102), || 4);
        assert_eq!(left(&entry, 102), 4);
    }

    #[test]
    fn before_the_first_answer_nothing_is_lost_by_a_clock_that_is_wrong() {
        // By the wall, the window is over in 500 ms; the first report is due within two seconds.
        let mut entry = Entry::new(MINUTE, at(100), 59_500, at(102), 1);
        entry.ask(10, at(100));
        entry.spend(4, at(100));
        entry.roll(at(101), &mut || 2);
        assert_eq!(left(&entry, 101), 6);
        // Nobody answers: the next window begins anew.
        entry.roll(at(161), &mut || 3);
        assert_eq!(left(&entry, 161), 10);
    }

    #[test]
    fn who_is_used_up_or_not_asked_for_is_not_reported() {
        let mut entry = entry();
        assert!(entry.report(&key(), at(101)).is_none());
        assert!(entry.is_worthless(at(101)) && !entry.is_worthless(at(100)));
        entry.told(&total(7, 10, 30, false), at(100), at(100), || 2);
        assert!(entry.report(&key(), at(100)).is_none());
        assert!(!entry.is_worthless(at(101)));
    }
}

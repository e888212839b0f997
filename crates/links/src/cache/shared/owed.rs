//! What Redis has to be told yet: while it is not, what it says of these links counts for nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use crate::LinkKey;

/// More than these are not remembered.
const MOST: usize = 10_000;
/// What was told so long ago has reached every replica that may take over.
const RECENT: Duration = Duration::from_secs(60);

/// Least time from one time of telling all of it again to the next: a Redis that is merely slow shall not
/// be given more to do by that.
const BETWEEN_SHOCKS: Duration = Duration::from_secs(5);

/// Links that Redis could not be told to forget, and those that it was told of lately. Moments are of the
/// monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<State>);

/// A place in the order of what happens here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

#[derive(Debug)]
struct Debt {
    since: Turn,
    /// When Redis was told for the first time, if it was.
    told: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    owed: HashMap<LinkKey, Debt>,
    last: u64,
    told: VecDeque<(Duration, LinkKey)>,
    /// Something went wrong since: a server that has not heard of the last ones may have taken over.
    shaken: bool,
    /// When what was told was last owed again.
    shock: Option<Duration>,
    /// Until then nothing is believed.
    distrust_until: Duration,
}

impl Owed {
    /// Whether Redis is not to be believed about this link.
    pub(super) fn covers(&self, key: &LinkKey, now: Duration) -> bool {
        let state = self.0.lock();
        now < state.distrust_until || state.owed.contains_key(key)
    }

    /// Redis could not be told. If there are too many, nothing is believed for `lasts`, when all that is in
    /// Redis by now has ended.
    pub(super) fn owe(&self, key: LinkKey, now: Duration, lasts: Duration) {
        let mut state = self.0.lock();
        if state.owed.len() < MOST {
            let since = state.turn();
            state.owed.insert(key, Debt { since, told: None });
        } else {
            state.distrust(now, lasts);
        }
    }

    /// Whether more can be owed without distrusting everything. Where many links are made while Redis is away,
    /// that costs more than what it may still know of their names.
    pub(super) fn has_room(&self) -> bool {
        self.0.lock().owed.len() < MOST / 2
    }

    /// Nothing is believed for so long.
    pub(super) fn distrust(&self, now: Duration, lasts: Duration) {
        self.0.lock().distrust(now, lasts);
    }

    /// Before Redis is told: what is owed later is not settled by that.
    pub(super) fn begin(&self) -> Turn {
        self.0.lock().turn()
    }

    /// Redis was told, by a call that began then.
    pub(super) fn told(&self, key: &LinkKey, begun: Turn, now: Duration) {
        let mut state = self.0.lock();
        let mut told = now;
        if let Some(debt) = state.owed.get(key)
            && debt.since < begun
        {
            // Telling it again does not make it late.
            told = debt.told.unwrap_or(now);
            state.owed.remove(key);
        }
        let since = now.saturating_sub(RECENT);
        while let Some((at, _)) = state.told.front()
            && (*at < since || state.told.len() >= MOST)
        {
            state.told.pop_front();
        }
        state.told.push_back((told, key.clone()));
    }

    /// A server may have been replaced by one that has not heard of what was told lately.
    pub(super) fn shake(&self) {
        self.0.lock().shaken = true;
    }

    /// What to tell now. After a shock that is also what was told lately, which is owed again by that.
    pub(super) fn due(&self, now: Duration) -> Vec<LinkKey> {
        let mut state = self.0.lock();
        let state = &mut *state;
        let calm = |shock: Duration| now.saturating_sub(shock) >= BETWEEN_SHOCKS;
        if state.shaken && state.shock.is_none_or(calm) {
            state.shaken = false;
            state.shock = Some(now);
            let lately = now.saturating_sub(RECENT);
            for (told, key) in std::mem::take(&mut state.told) {
                if told >= lately {
                    let since = state.turn();
                    let told = Some(told);
                    let debt = state.owed.entry(key);
                    // A call that is under way may still reach the server that was replaced.
                    let debt = debt.and_modify(|debt| debt.since = since);
                    debt.or_insert(Debt { since, told });
                }
            }
        }
        // In an order that does not differ from run to run, so that a simulation can be repeated.
        let mut due: Vec<LinkKey> = state.owed.keys().cloned().collect();
        due.sort_unstable();
        due
    }

    /// How many links are owed.
    pub(super) fn count(&self) -> usize {
        self.0.lock().owed.len()
    }
}

impl State {
    fn turn(&mut self) -> Turn {
        self.last += 1;
        Turn(self.last)
    }

    fn distrust(&mut self, now: Duration, lasts: Duration) {
        self.owed.clear();
        self.distrust_until = self.distrust_until.max(now.saturating_add(lasts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Domain};

    const LASTS: Duration = Duration::from_secs(3_600);

    fn key(code: usize) -> LinkKey {
        LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored(format!("c{code}")),
        }
    }

    #[test]
    fn what_is_owed_is_not_believed_until_it_is_told() {
        let (owed, now) = (Owed::default(), RECENT);
        owed.owe(key(1), now, LASTS);
        assert!(owed.covers(&key(1), now) && !owed.covers(&key(2), now));
        assert_eq!(owed.due(now), [key(1)]);
        let begun = owed.begin();
        owed.owe(key(1), now, LASTS);
        owed.told(&key(1), begun, now);
        assert!(owed.covers(&key(1), now), "owed again meanwhile");
        owed.told(&key(1), owed.begin(), now);
        assert!(!owed.covers(&key(1), now) && owed.due(now).is_empty());
    }

    #[test]
    fn what_was_told_lately_is_owed_again_after_a_shock() {
        let owed = Owed::default();
        let now = 2 * RECENT;
        owed.told(
            &key(1),
            owed.begin(),
            now - RECENT - Duration::from_millis(1),
        );
        owed.told(&key(2), owed.begin(), now - RECENT);
        assert!(owed.due(now).is_empty());
        owed.shake();
        assert_eq!(owed.due(now), [key(2)]);
        assert!(owed.covers(&key(2), now));
        // Once for each shock, but for what could not be told.
        owed.told(&key(2), owed.begin(), now);
        assert!(owed.due(now).is_empty());
    }

    #[test]
    fn one_shock_after_the_other_does_not_tell_the_same_for_ever() {
        let owed = Owed::default();
        let tick = Duration::from_millis(250);
        let (mut now, mut times) = (RECENT, 0);
        owed.told(&key(1), owed.begin(), now);
        while now < 4 * RECENT {
            owed.shake();
            for key in owed.due(now) {
                times += 1;
                owed.told(&key, owed.begin(), now);
            }
            now += tick;
        }
        assert_eq!(times, 13, "every five seconds for a minute");
        // One that comes too soon is not lost.
        owed.told(&key(2), owed.begin(), now);
        owed.shake();
        assert!(owed.due(now).is_empty() || owed.due(now) == [key(2)]);
        assert_eq!(owed.due(now + BETWEEN_SHOCKS), [key(2)]);
    }

    #[test]
    fn too_many_make_everything_doubtful_until_it_has_ended() {
        let (owed, now) = (Owed::default(), RECENT);
        for code in 0..=MOST {
            owed.owe(key(code), now, LASTS);
        }
        assert!(owed.covers(&key(MOST + 1), now + LASTS - Duration::from_nanos(1)));
        assert!(!owed.covers(&key(MOST + 1), now + LASTS));
        assert_eq!(owed.count(), 0);
    }

    #[test]
    fn what_was_told_is_bounded() {
        let owed = Owed::default();
        for code in 0..MOST + 10 {
            owed.told(&key(code), owed.begin(), RECENT);
        }
        owed.shake();
        assert_eq!(owed.due(RECENT).len(), MOST);
    }
}

//! What was committed, and what a lookup may bring.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Where a link leads; absent: there is none.
pub(super) type State = Option<String>;

/// All states of all links, in the order of their commits.
#[derive(Default)]
pub(super) struct History(Mutex<HashMap<String, Vec<(Duration, State)>>>);

impl History {
    /// Runs inside of the commit.
    pub(super) fn commit(&self, code: &str, at: Duration, state: State) {
        let mut all = self.0.lock();
        let states = all
            .entry(code.to_owned())
            .or_insert_with(|| vec![(Duration::ZERO, None)]);
        states.push((at, state));
    }

    /// Where it leads now.
    pub(super) fn last(&self, code: &str) -> State {
        let all = self.0.lock();
        all.get(code).and_then(|states| states.last()?.1.clone())
    }

    /// When this became its state, if it did.
    pub(super) fn when(&self, code: &str, state: &State) -> Option<Duration> {
        let all = self.0.lock();
        let mut states = all.get(code)?.iter();
        Some(states.find(|(_, it)| it == state)?.0)
    }

    /// All of it, to be told.
    pub(super) fn of(&self, code: &str) -> Vec<(Duration, State)> {
        self.0.lock().get(code).cloned().unwrap_or_default()
    }

    /// Whether a lookup may bring this, whose server has to know of what was edited or deleted by `known`, and of links that
    /// were made by `made`.
    pub(super) fn allows(
        &self,
        code: &str,
        known: Duration,
        made: Duration,
        state: &State,
    ) -> bool {
        let all = self.0.lock();
        let Some(states) = all.get(code) else {
            return state.is_none();
        };
        let has_to_be_known = |(at, it): &(Duration, State), before: &State| match (before, it) {
            (None, Some(_)) => *at <= made.min(known),
            _ => *at <= known,
        };
        let mut first = 0;
        for at in 1..states.len() {
            if has_to_be_known(&states[at], &states[at - 1].1) {
                first = at;
            }
        }
        states[first..].iter().any(|(_, it)| it == state)
    }
}

use crate::{Decision, Moment};

/// A rate limit: a pure step from the state of a key, the time and a cost to a decision.
///
/// An implementation is the policy; the state belongs to one key. A store keeps the states, makes
/// the step atomic, and may drop a state once [`Decision::reset_after`] has passed since the last
/// charge: it is then worth the same as [`Default`].
///
/// To charge several limits all or none, step copies of their states and keep the copies only if
/// every decision allows.
pub trait Algorithm {
    /// What is kept for one key. The default is a key never seen.
    type State: Default + Clone;

    /// The most that can pass at once, as in [`Decision::limit`].
    fn limit(&self) -> u64;

    /// Decides a request of `cost` units at `now` and, only if it is allowed, charges it to
    /// `state`.
    ///
    /// Cost 0 peeks: always allowed, charges nothing. A cost above the limit is refused with no
    /// time to retry. Never panics, whatever the state, the time and the cost.
    fn decide(&self, state: &mut Self::State, now: Moment, cost: u64) -> Decision;

    /// Takes back `cost` units, or some of them, that were charged at `since` and not used after
    /// all, as far as the state still holds them at `now`.
    ///
    /// What is admitted without what is given back stays within the bound of the algorithm: a
    /// bucket gives back only what cannot have drained since, and would give back less than it
    /// could rather than more; a window or log gives back what is counted at that moment.
    /// `since` has to be the moment of the decision, and no unit may be given back twice. Never
    /// panics, whatever the state, the times and the cost.
    fn refund(&self, state: &mut Self::State, now: Moment, cost: u64, since: Moment);
}

//! What keys share that find no place of their own.

use std::time::Duration;

use crate::{Limiter, LimiterState, Moment, Shaped};

/// More limiters than this are not told apart; far more than anybody has policies.
const MOST: usize = 64;

/// One state for each limiter, for all keys of it that could not be remembered by themselves.
///
/// All of them together pass what one key would: a stream of new keys gains nothing by being more
/// than the store can hold.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    states: Vec<Shared>,
    /// Shards come with times out of order.
    latest: Moment,
    charges: u64,
}

#[derive(Debug)]
struct Shared {
    limiter: Limiter,
    state: LimiterState,
    until: Moment,
}

impl Overflow {
    /// Decides and charges a request of a key without a place.
    pub(super) fn shape(&mut self, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        let mut state = self.load(limiter);
        let shaped = limiter.shape(&mut state, now, cost);
        if shaped.decision.charges(cost) {
            self.store(limiter, state, shaped.decision.reset_after(), now);
        }
        shaped
    }

    /// A copy of what the keys of this limiter share.
    pub(super) fn load(&self, limiter: &Limiter) -> LimiterState {
        let shared = self.states.iter().find(|shared| shared.limiter == *limiter);
        shared.map_or(LimiterState::New, |shared| shared.state.clone())
    }

    /// Keeps what came of it, which is as good as new after `reset_after`.
    pub(super) fn store(
        &mut self,
        limiter: &Limiter,
        state: LimiterState,
        reset_after: Duration,
        now: Moment,
    ) {
        self.charges += 1;
        self.latest = self.latest.max(now);
        let now = self.latest;
        let shared = Shared {
            limiter: *limiter,
            state,
            until: now.plus(reset_after),
        };
        if let Some(place) = self.states.iter_mut().find(|s| s.limiter == *limiter) {
            *place = shared;
            return;
        }
        self.states.retain(|shared| shared.until > now);
        if self.states.len() >= MOST
            && let Some(soonest) = (0..self.states.len()).min_by_key(|at| self.states[*at].until)
        {
            self.states.swap_remove(soonest);
        }
        self.states.push(shared);
    }

    /// How many charges went to a shared state.
    pub(super) const fn charges(&self) -> u64 {
        self.charges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlgorithmKind, Quota};

    fn limiter(limit: u64) -> Limiter {
        let quota = Quota::per_minute(limit).unwrap();
        Limiter::new(AlgorithmKind::Gcra, quota, None).unwrap()
    }

    #[test]
    fn keys_of_one_limiter_share_and_those_of_another_do_not() {
        let mut overflow = Overflow::default();
        let now = Moment::from_nanos(1);
        let passed = (0..9).filter(|_| overflow.shape(&limiter(3), now, 1).decision.allowed());
        assert_eq!(passed.count(), 3);
        assert!(overflow.shape(&limiter(4), now, 1).decision.allowed());
        assert_eq!(overflow.charges(), 4);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let mut overflow = Overflow::default();
        for limit in 1..1_000 {
            let _ = overflow.shape(&limiter(limit), Moment::from_nanos(limit), 1);
            assert!(overflow.states.len() <= MOST);
        }
    }
}

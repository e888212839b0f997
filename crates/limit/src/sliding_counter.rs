use crate::moment::duration;
use crate::{Algorithm, Decision, Moment, Quota, Verdict};

/// Sliding counter: two fixed windows, the older one weighted by how much of it the sliding window
/// still covers.
///
/// - **Formula**: `e` into the current window, `estimate = current + previous × (W - e) / W`;
///   allowed if `estimate + cost <= limit`. The estimate is compared as a fraction, not rounded.
/// - **Bound**: at most `limit + limit × t / W` units in any interval of length `t`, so up to
///   twice the limit in one of length `W`, if a whole limit falls on the very end of a window.
///   The average never passes the rate by more than one limit.
/// - **Accuracy**: the estimate takes the previous window's load as spread evenly. ACCURACY.md, in
///   this crate, has the share of wrong decisions for each kind of traffic.
/// - **Memory per key**: 24 bytes.
/// - **Source**: "How we built rate limiting capable of scaling to millions of domains", Cloudflare
///   2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingCounter {
    quota: Quota,
}

/// The state of one key under a [`SlidingCounter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlidingCounterState {
    start: Moment,
    current: u64,
    previous: u64,
}

impl SlidingCounter {
    /// A sliding counter of this quota.
    #[must_use]
    pub const fn new(quota: Quota) -> Self {
        Self { quota }
    }

    /// Its limit and window.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// The counters as they are seen from the window of `now`.
    fn turned(&self, state: SlidingCounterState, now: Moment) -> SlidingCounterState {
        let window = self.quota.window_nanos();
        let start = now.aligned(window);
        if start <= state.start {
            state
        } else if start.as_nanos() - state.start.as_nanos() <= window {
            SlidingCounterState {
                start,
                current: 0,
                previous: state.current,
            }
        } else {
            SlidingCounterState {
                start,
                ..SlidingCounterState::default()
            }
        }
    }

    /// How far into the window after the one it was counted in, a count weighs `weight` or less:
    /// `W - floor(weight × W / count)`, rounded up, at most `W`.
    fn weight_falls_to(&self, weight: u64, count: u64) -> u128 {
        let window = u128::from(self.quota.window_nanos());
        window - u128::from(weight.min(count)) * window / u128::from(count.max(1))
    }

    /// How far into the current window (`W` and more: into the next ones) `cost` fits again.
    fn fits_at(&self, counted: SlidingCounterState, cost: u64) -> u128 {
        let limit = self.quota.limit();
        let window = u128::from(self.quota.window_nanos());
        match limit.checked_sub(counted.current.saturating_add(cost)) {
            Some(weight) => self.weight_falls_to(weight, counted.previous),
            None => window + self.weight_falls_to(limit - cost, counted.current),
        }
    }
}

impl SlidingCounterState {
    pub(crate) const fn words(self) -> [u64; 3] {
        [self.start.as_nanos(), self.current, self.previous]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            start: Moment::from_nanos(words[0]),
            current: words[1],
            previous: words[2],
        }
    }
}

impl Algorithm for SlidingCounter {
    type State = SlidingCounterState;

    fn limit(&self) -> u64 {
        self.quota.limit()
    }

    fn decide(&self, state: &mut SlidingCounterState, now: Moment, cost: u64) -> Decision {
        let limit = self.quota.limit();
        let window = u128::from(self.quota.window_nanos());
        let now = now.max(state.start);
        let counted = self.turned(*state, now);
        // Below the window, unless the window of the policy was shortened a moment ago.
        let elapsed = u128::from(now.as_nanos() - counted.start.as_nanos()).min(window);
        // In W-ths of a unit, so that the weight of the previous window is not rounded.
        let used = u128::from(counted.current) * window
            + u128::from(counted.previous) * (window - elapsed);
        let room = (u128::from(limit) * window).saturating_sub(used) / window;
        let room = u64::try_from(room).unwrap_or(u64::MAX);

        let (verdict, after) = if cost == 0 {
            (Verdict::Allowed, counted)
        } else if cost > limit {
            (Verdict::Never, counted)
        } else if cost <= room {
            let current = counted.current + cost;
            (Verdict::Allowed, SlidingCounterState { current, ..counted })
        } else {
            let wait = self.fits_at(counted, cost).saturating_sub(elapsed);
            (Verdict::RetryAfter(duration(wait)), counted)
        };
        if after != counted {
            *state = after;
        }
        let remaining = room - (after.current - counted.current);
        let forgotten = match (after.current, after.previous) {
            (0, 0) => elapsed,
            (0, _) => window,
            _ => 2 * window,
        };
        Decision::new(verdict, limit, remaining, duration(forgotten - elapsed))
    }

    fn refund(&self, state: &mut SlidingCounterState, _: Moment, cost: u64, since: Moment) {
        let window = self.quota.window();
        let counted = since.aligned(self.quota.window_nanos());
        if counted == state.start {
            state.current = state.current.saturating_sub(cost);
        } else if counted < state.start && state.start.since(counted) == window {
            state.previous = state.previous.saturating_sub(cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn the_example_of_its_source_is_reproduced() {
        // 42 requests in the minute before, 18 in this one, 15 s into it: 42 × 0.75 + 18 = 49.5.
        let limit = SlidingCounter::new(Quota::per_minute(50).unwrap());
        let mut key = SlidingCounterState::default();
        assert!(limit.decide(&mut key, Moment::ORIGIN, 42).allowed());
        let now = Moment::from_nanos(MINUTE + MINUTE / 4);
        let decision = limit.decide(&mut key, now, 18);
        assert!(decision.allowed());
        assert_eq!(decision.remaining(), 0);
        // Half a unit of 42 a minute is missing.
        let refused = limit.decide(&mut key, now, 1);
        let wait = Duration::from_nanos((MINUTE / 2).div_ceil(42));
        assert_eq!(refused.retry_after(), Some(wait));
        assert_eq!(refused.reset_after(), Duration::from_secs(105));
    }

    #[test]
    fn a_whole_limit_at_the_end_of_a_window_weighs_until_the_end_of_the_next() {
        let limit = SlidingCounter::new(Quota::per_minute(10).unwrap());
        let mut key = SlidingCounterState::default();
        assert!(
            limit
                .decide(&mut key, Moment::from_nanos(MINUTE - 1), 10)
                .allowed()
        );
        let next = Moment::from_nanos(MINUTE);
        let refused = limit.decide(&mut key, next, 1);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(6)));
        let refused = limit.decide(&mut key, next, 10);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(limit.decide(&mut key, next, 11).verdict(), Verdict::Never);
        let idle = Moment::from_nanos(2 * MINUTE);
        assert!(limit.decide(&mut key, idle, 10).allowed());
    }

    #[test]
    fn a_key_takes_24_bytes() {
        assert_eq!(size_of::<SlidingCounterState>(), 24);
    }
}

use crate::moment::duration;
use crate::{Algorithm, Decision, Moment, Quota, Verdict};

/// Fixed window: a counter that starts again at every full window since the origin.
///
/// - **Formula**: `window = now - now mod W`; allowed if `used + cost <= limit` in it.
/// - **Bound**: at most `limit` in a window, but up to `2 × limit` within any time longer than
///   zero that crosses a boundary: `limit` just before it and `limit` just after. In an interval
///   of length `t`, at most `limit × (floor(t / W) + 2)`.
/// - **Memory per key**: 16 bytes.
/// - **Source**: the classic counter of Redis `INCR` with `EXPIRE`; what the Envoy ratelimit
///   service does. [`SlidingCounter`](crate::SlidingCounter) takes 8 bytes more and never passes two
///   limits at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedWindow {
    quota: Quota,
}

/// The state of one key under a [`FixedWindow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixedWindowState {
    start: Moment,
    used: u64,
}

impl FixedWindow {
    /// A fixed window of this quota.
    #[must_use]
    pub const fn new(quota: Quota) -> Self {
        Self { quota }
    }

    /// Its limit and window.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }
}

impl FixedWindowState {
    pub(crate) const fn words(self) -> [u64; 3] {
        [self.start.as_nanos(), self.used, 0]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            start: Moment::from_nanos(words[0]),
            used: words[1],
        }
    }
}

impl Algorithm for FixedWindow {
    type State = FixedWindowState;

    fn limit(&self) -> u64 {
        self.quota.limit()
    }

    /// As the trait says; `reset_after` is the end of the window, for a key never seen as well.
    fn decide(&self, state: &mut FixedWindowState, now: Moment, cost: u64) -> Decision {
        let limit = self.quota.limit();
        let window = self.quota.window_nanos();
        let now = now.max(state.start);
        let start = now.aligned(window);
        let used = if state.start < start { 0 } else { state.used };
        let end = duration(u128::from(start.as_nanos() + window - now.as_nanos()));
        let room = limit.saturating_sub(used);
        let verdict = if cost == 0 {
            Verdict::Allowed
        } else if cost > limit {
            Verdict::Never
        } else if cost > room {
            Verdict::RetryAfter(end)
        } else {
            *state = FixedWindowState {
                start,
                used: used + cost,
            };
            return Decision::new(Verdict::Allowed, limit, room - cost, end);
        };
        Decision::new(verdict, limit, room, end)
    }

    fn refund(&self, state: &mut FixedWindowState, _: Moment, cost: u64, since: Moment) {
        if since.aligned(self.quota.window_nanos()) == state.start {
            state.used = state.used.saturating_sub(cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn twice_the_limit_passes_within_two_nanoseconds_at_the_boundary() {
        let limit = FixedWindow::new(Quota::per_minute(100).unwrap());
        let mut key = FixedWindowState::default();
        let end = Moment::from_nanos(60_000_000_000);
        let before = Moment::from_nanos(59_999_999_999);
        assert!(limit.decide(&mut key, before, 100).allowed());
        let refused = limit.decide(&mut key, before, 1);
        assert_eq!(refused.retry_after(), Some(Duration::from_nanos(1)));
        assert!(limit.decide(&mut key, end, 100).allowed());
        let refused = limit.decide(&mut key, end, 1);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn the_last_window_before_the_end_of_time_does_not_overflow() {
        let limit = FixedWindow::new(Quota::new(1, crate::MAX_WINDOW).unwrap());
        let mut key = FixedWindowState::default();
        assert!(limit.decide(&mut key, Moment::LAST, 1).allowed());
        assert!(!limit.decide(&mut key, Moment::LAST, 1).allowed());
    }

    #[test]
    fn a_clock_that_runs_backwards_stays_in_the_later_window() {
        let limit = FixedWindow::new(Quota::per_second(1).unwrap());
        let mut key = FixedWindowState::default();
        let start = Moment::from_nanos(2_000_000_000);
        assert!(limit.decide(&mut key, start, 1).allowed());
        assert!(!limit.decide(&mut key, Moment::ORIGIN, 1).allowed());
    }

    #[test]
    fn a_key_takes_16_bytes() {
        assert_eq!(size_of::<FixedWindowState>(), 16);
    }
}

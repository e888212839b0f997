use std::collections::VecDeque;
use std::time::Duration;

use crate::{Algorithm, Decision, Moment, Quota, Verdict};

/// Sliding log: remembers every admission of the last window. Exact, and the dearest in memory.
///
/// - **Formula**: `used` is the sum of the costs admitted in `(now - W, now]`; allowed if
///   `used + cost <= limit`.
/// - **Bound**: at most `limit` in every half-open interval of length `W`, wherever it lies.
/// - **Memory per key**: 48 bytes, and 16 to 32 for each moment of a window at which something was
///   admitted: at most `limit` of them, and kept at the most there ever were until the state is
///   dropped. Use it for small limits; where that is too much, take
///   [`SlidingCounter`](crate::SlidingCounter).
/// - **Source**: the sorted-set limiter of the Redis documentation (`ZREMRANGEBYSCORE`, `ZCARD`,
///   `ZADD`), without its fault of logging what it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingLog {
    quota: Quota,
}

/// The state of one key under a [`SlidingLog`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlidingLogState {
    /// Oldest first, at most one entry a moment.
    entries: VecDeque<Entry>,
    /// The sum of the costs of all entries.
    used: u64,
    newest: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Moment,
    cost: u64,
}

impl SlidingLog {
    /// A sliding log of this quota.
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

impl SlidingLogState {
    /// How many entries the log holds: one for each moment with an admission that was still in the
    /// window at the last decision.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that the log takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Halves the log where memory is short: of two neighbours, the older one is taken to have
    /// come as late as the other. That can only refuse more, never admit more.
    pub(crate) fn coarsen(&mut self) {
        let mut halved = VecDeque::with_capacity(self.entries.len().div_ceil(2));
        // From the newest on, so that it keeps its moment in any case.
        let mut later = None::<Entry>;
        for entry in self.entries.iter().rev() {
            match later.take() {
                None => later = Some(*entry),
                Some(newer) => halved.push_front(Entry {
                    at: newer.at,
                    cost: newer.cost + entry.cost,
                }),
            }
        }
        if let Some(oldest) = later {
            halved.push_front(oldest);
        }
        self.entries = halved;
    }

    /// Moment and cost of each entry, the oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = [u64; 2]> + '_ {
        let words = |entry: &Entry| [entry.at.as_nanos(), entry.cost];
        self.entries.iter().map(words)
    }

    /// A log of these moments and costs; `None` if they are not in order or add up to more than a
    /// log can hold.
    pub(crate) fn from_entries(entries: impl IntoIterator<Item = [u64; 2]>) -> Option<Self> {
        let mut log = Self::default();
        for [at, cost] in entries {
            let at = Moment::from_nanos(at);
            if at < log.newest {
                return None;
            }
            log.used = log.used.checked_add(cost)?;
            log.newest = at;
            log.entries.push_back(Entry { at, cost });
        }
        Some(log)
    }

    fn forget(&mut self, now: Moment, window: Duration) {
        while let Some(oldest) = self.entries.front()
            && now.since(oldest.at) >= window
        {
            self.used -= oldest.cost;
            self.entries.pop_front();
        }
    }

    fn remember(&mut self, now: Moment, cost: u64) {
        self.used += cost;
        self.newest = now;
        match self.entries.back_mut() {
            Some(entry) if entry.at == now => entry.cost += cost,
            _ => self.entries.push_back(Entry { at: now, cost }),
        }
    }

    /// Takes out what was admitted at this moment, up to `cost`.
    fn take_out(&mut self, at: Moment, cost: u64) {
        let Ok(index) = self.entries.binary_search_by_key(&at, |entry| entry.at) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(index) {
            let out = cost.min(entry.cost);
            entry.cost -= out;
            self.used -= out;
            if entry.cost == 0 {
                self.entries.remove(index);
            }
        }
        self.newest = self.entries.back().map_or(Moment::ORIGIN, |last| last.at);
    }

    /// How long until the oldest entries that hold `need` units between them have left.
    fn freed_after(&self, need: u64, now: Moment, window: Duration) -> Duration {
        let mut freed = 0_u64;
        let last = self.entries.iter().find(|entry| {
            freed += entry.cost;
            freed >= need
        });
        last.map_or(Duration::ZERO, |entry| window - now.since(entry.at))
    }
}

impl Algorithm for SlidingLog {
    type State = SlidingLogState;

    fn limit(&self) -> u64 {
        self.quota.limit()
    }

    fn decide(&self, state: &mut SlidingLogState, now: Moment, cost: u64) -> Decision {
        let limit = self.quota.limit();
        let window = self.quota.window();
        let now = now.max(state.newest);
        state.forget(now, window);
        let room = limit.saturating_sub(state.used);
        let verdict = if cost == 0 {
            Verdict::Allowed
        } else if cost > limit {
            Verdict::Never
        } else if cost > room {
            // Not `cost - room`: after the limit was lowered, more than the limit may be in use.
            let need = state.used.saturating_add(cost) - limit;
            Verdict::RetryAfter(state.freed_after(need, now, window))
        } else {
            state.remember(now, cost);
            Verdict::Allowed
        };
        let reset_after = match state.entries.back() {
            Some(newest) => window - now.since(newest.at),
            None => Duration::ZERO,
        };
        let remaining = limit.saturating_sub(state.used);
        Decision::new(verdict, limit, remaining, reset_after)
    }

    fn refund(&self, state: &mut SlidingLogState, _: Moment, cost: u64, since: Moment) {
        state.take_out(since, cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_admitted_counts_for_exactly_one_window() {
        let limit = SlidingLog::new(Quota::per_second(3).unwrap());
        let mut key = SlidingLogState::default();
        let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
        assert!(limit.decide(&mut key, at(900), 1).allowed());
        assert!(limit.decide(&mut key, at(1_100), 2).allowed());
        let refused = limit.decide(&mut key, at(1_200), 2);
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(900)));
        assert_eq!(refused.reset_after(), Duration::from_millis(900));
        let refused = limit.decide(&mut key, at(1_200), 1);
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(700)));
        assert!(
            !limit
                .decide(&mut key, Moment::from_nanos(1_899_999_999), 1)
                .allowed()
        );
        assert!(limit.decide(&mut key, at(1_900), 1).allowed());
    }

    #[test]
    fn admissions_of_one_moment_share_an_entry_and_old_ones_leave() {
        let limit = SlidingLog::new(Quota::per_second(1_000).unwrap());
        let mut key = SlidingLogState::default();
        for nanos in [0, 0, 0, 1, 1] {
            assert!(
                limit
                    .decide(&mut key, Moment::from_nanos(nanos), 1)
                    .allowed()
            );
        }
        assert_eq!(key.entries(), 2);
        let decision = limit.decide(&mut key, Moment::from_nanos(1_000_000_001), 0);
        assert_eq!(key.entries(), 0);
        assert_eq!(decision.reset_after(), Duration::ZERO);
    }

    #[test]
    fn a_key_takes_48_bytes_and_16_an_entry() {
        assert_eq!(size_of::<SlidingLogState>(), 48);
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn a_lowered_limit_waits_for_all_that_is_above_it() {
        let before = SlidingLog::new(Quota::per_second(10).unwrap());
        let after = SlidingLog::new(Quota::per_second(2).unwrap());
        let mut key = SlidingLogState::default();
        for ms in 0..10 {
            let now = Moment::from_nanos(ms * 1_000_000);
            assert!(before.decide(&mut key, now, 1).allowed());
        }
        let refused = after.decide(&mut key, Moment::from_nanos(9_000_000), 1);
        // Nine of ten must leave; the ninth came at 8 ms.
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(999)));
    }
}

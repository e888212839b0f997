use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::{Clock, UnixMillis};

/// A clock that stands still until it is told to move. For tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// A clock standing at `now`, with its monotonic side at zero.
    #[must_use]
    pub fn at(now: UnixMillis) -> Self {
        Self {
            wall_ms: AtomicI64::new(now.as_millis()),
            monotonic_ns: AtomicU64::new(0),
        }
    }

    /// Moves both the wall and the monotonic side forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.monotonic_ns.fetch_add(ns, Ordering::SeqCst);
    }

    /// Sets the wall side alone, as a step of NTP or an operator would: it may run backwards.
    pub fn set_wall(&self, now: UnixMillis) {
        self.wall_ms.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_moves_both_sides_and_set_wall_only_one() {
        let clock = ManualClock::at(UnixMillis::from_millis(1_000));
        clock.advance(Duration::from_millis(250));
        assert_eq!(clock.now().as_millis(), 1_250);
        clock.set_wall(UnixMillis::from_millis(10));
        assert_eq!(clock.now().as_millis(), 10);
        assert_eq!(clock.monotonic(), Duration::from_millis(250));
    }
}

use std::time::Duration;

use crate::{Clock, SystemClock, UnixMillis};

/// The machine's own clocks, the monotonic one read from a counter of the processor: in a third of
/// the time, for those who read it a million times a second.
///
/// Where the processor has no counter that runs evenly, it is [`SystemClock`] that is read. The
/// counter is compared with that once, when the process first makes such a clock, which takes up
/// to 200 milliseconds; it is not corrected later, so it may gain or lose some parts in a million.
/// Readings of different threads may be out of order by some nanoseconds.
#[derive(Debug, Clone)]
pub struct CounterClock {
    counter: quanta::Clock,
    origin: u64,
    wall: SystemClock,
}

impl CounterClock {
    /// A clock whose monotonic origin is the moment of this call.
    #[must_use]
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        Self {
            origin: counter.raw(),
            counter,
            wall: SystemClock::new(),
        }
    }
}

impl Default for CounterClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for CounterClock {
    fn now(&self) -> UnixMillis {
        self.wall.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos())
    }

    fn monotonic_nanos(&self) -> u64 {
        self.counter.delta_as_nanos(self.origin, self.counter.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_as_fast_as_the_system_clock() {
        let (counter, system) = (CounterClock::new(), SystemClock::new());
        let start = system.monotonic();
        // However long the machine takes: the one interval lies within the other.
        let first = counter.monotonic();
        std::thread::sleep(Duration::from_millis(50));
        let slept = counter.monotonic() - first;
        let around = system.monotonic() - start;
        assert!(slept >= Duration::from_millis(49), "{slept:?}");
        assert!(slept <= around + around / 50, "{slept:?} of {around:?}");
    }

    #[test]
    fn it_never_runs_backwards_for_one_thread() {
        let clock = CounterClock::new();
        let mut before = clock.monotonic();
        for _ in 0..100_000 {
            let now = clock.monotonic();
            assert!(now >= before);
            before = now;
        }
    }
}

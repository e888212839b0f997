//! Time as a parameter: every component that needs to know the time is given a [`Clock`], so that
//! tests decide what time it is and never sleep.

mod counter;
mod manual;
mod unix_millis;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use counter::CounterClock;
pub use manual::ManualClock;
pub use unix_millis::{TimeError, UnixMillis};

/// Where the time comes from.
///
/// Wall time decides what users see (expiry, windows, time stamps) and may jump; monotonic time
/// measures intervals and never runs backwards.
pub trait Clock: Send + Sync + 'static {
    /// The wall time now.
    fn now(&self) -> UnixMillis;

    /// Time since an arbitrary fixed origin; never decreases.
    fn monotonic(&self) -> Duration;

    /// The same in nanoseconds, which fit for 584 years: for those who would only put the parts of a
    /// duration together again.
    fn monotonic_nanos(&self) -> u64 {
        let monotonic = self.monotonic();
        monotonic.as_secs().wrapping_mul(1_000_000_000) + u64::from(monotonic.subsec_nanos())
    }
}

/// The machine's own clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is the moment of this call.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock set before 1970 reads as 1970: nothing of ours is older than that.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

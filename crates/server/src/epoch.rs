//! Moments as numbers, which fit an atomic.

use std::time::{Duration, Instant};

/// No moment.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where nanoseconds are counted from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(pub(crate) Instant);

impl Epoch {
    /// Nanoseconds until `at`; zero if it came before.
    pub(crate) fn nanos(self, at: Instant) -> u64 {
        // `NEVER` nanoseconds are 584 years.
        u64::try_from(at.saturating_duration_since(self.0).as_nanos()).unwrap_or(NEVER - 1)
    }

    /// The moment of so many nanoseconds.
    pub(crate) fn instant(self, nanos: u64) -> Instant {
        self.0 + Duration::from_nanos(nanos)
    }
}

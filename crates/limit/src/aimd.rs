use std::time::Duration;

use crate::{AdaptiveError, LimitLaw, LimitRange, Permille, Sample};

/// Additive increase, multiplicative decrease: one more for each success under load, a share of
/// the limit less for each drop.
///
/// - **Formula**: dropped, or slower than `timeout`: `limit = max(min, limit × backoff)`, rounded
///   down; otherwise, if at least half the limit is in flight: `limit = min(max, limit + 1)`. With
///   less in flight the limit is not what holds the load, so it does not grow.
/// - **Bound**: `min <= limit <= max`. A drop lowers the limit by one at least, unless it is `min`.
/// - **Memory per key**: 8 bytes beside the leases.
/// - **Source**: D.-M. Chiu and R. Jain, 1989; `AIMDLimit` of Netflix `concurrency-limits`, with
///   its defaults: backoff 0.9, time-out 5 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aimd {
    range: LimitRange,
    backoff: Permille,
    timeout: Duration,
}

impl Aimd {
    /// AIMD within `range`, with the defaults of its source.
    #[must_use]
    pub const fn new(range: LimitRange) -> Self {
        Self {
            range,
            backoff: Permille(900),
            timeout: Duration::from_secs(5),
        }
    }

    /// Keeps this share of the limit at a drop.
    ///
    /// # Errors
    /// [`AdaptiveError::Backoff`] outside 500 to 999 ‰.
    pub fn with_backoff(self, backoff: Permille) -> Result<Self, AdaptiveError> {
        if !(500..=999).contains(&backoff.get()) {
            return Err(AdaptiveError::Backoff(backoff.get()));
        }
        Ok(Self { backoff, ..self })
    }

    /// Counts what takes longer than this as dropped.
    #[must_use]
    pub const fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl LimitLaw for Aimd {
    /// The limit.
    type State = u64;

    fn initial(&self) -> u64 {
        self.range.initial()
    }

    fn limit(&self, limit: &u64) -> u64 {
        (*limit).clamp(self.range.min(), self.range.max())
    }

    fn observe(&self, state: &mut u64, sample: Sample) {
        let limit = self.limit(state);
        let next = if sample.dropped || sample.rtt > self.timeout {
            // Below 1000 ‰ and rounded down, so less by one at least.
            limit * u64::from(self.backoff.get()) / 1000
        } else if sample.in_flight.saturating_mul(2) >= limit {
            limit + 1
        } else {
            limit
        };
        *state = self.limit(&next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(in_flight: u64, dropped: bool) -> Sample {
        Sample {
            rtt: Duration::from_millis(10),
            in_flight,
            dropped,
        }
    }

    fn after(law: Aimd, samples: &[Sample]) -> u64 {
        let mut state = law.initial();
        for sample in samples {
            law.observe(&mut state, *sample);
        }
        law.limit(&state)
    }

    #[test]
    fn the_cases_of_its_source_hold() {
        let law = Aimd::new(LimitRange::new(1, 10, 200).unwrap());
        assert_eq!(law.initial(), 10);
        // Grows by one under load, and not without.
        assert_eq!(after(law, &[sample(10, false)]), 11);
        assert_eq!(after(law, &[sample(5, false)]), 11);
        assert_eq!(after(law, &[sample(4, false)]), 10);
        // Shrinks to nine tenths at a drop, and by one at least.
        assert_eq!(after(law, &[sample(1, true)]), 9);
        let slow = Sample {
            rtt: Duration::from_secs(6),
            ..sample(10, false)
        };
        assert_eq!(after(law, &[slow]), 9);
    }

    #[test]
    fn the_limit_stays_in_its_range() {
        let law = Aimd::new(LimitRange::new(2, 5, 7).unwrap());
        assert_eq!(after(law, &[sample(100, false); 9]), 7);
        assert_eq!(after(law, &[sample(100, true); 9]), 2);
        let wide = Aimd::new(LimitRange::new(1, 1 << 32, 1 << 32).unwrap());
        assert_eq!(after(wide, &[sample(u64::MAX, false)]), 1 << 32);
        assert_eq!(after(wide, &[sample(0, true)]), (1 << 32) * 9 / 10);
    }

    #[test]
    fn a_backoff_that_hardly_or_wholly_backs_off_is_refused() {
        let law = Aimd::new(LimitRange::new(1, 10, 200).unwrap());
        for permille in [499, 1000] {
            let refused = law.with_backoff(Permille::new(permille).unwrap());
            assert_eq!(refused, Err(AdaptiveError::Backoff(permille)));
        }
        let half = law.with_backoff(Permille::new(500).unwrap()).unwrap();
        assert_eq!(after(half, &[sample(1, true)]), 5);
        let hardly = law.with_backoff(Permille::new(999).unwrap()).unwrap();
        assert_eq!(after(hardly, &[sample(1, true)]), 9);
    }
}

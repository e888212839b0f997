use crate::bucket::Level;
use crate::{Algorithm, Bucket, Decision, Moment};

/// Leaky bucket as a meter: every request pours its cost in, the bucket leaks at the rate, and a
/// request that would overflow is refused at once. Nothing is delayed.
///
/// - **Formula**: `water = max(0, water - elapsed × limit / window)`; allowed if
///   `water + cost <= capacity`, then `water += cost`.
/// - **Bound**: at most `capacity + limit × t / window` units in any interval of length `t`.
/// - **Memory per key**: 24 bytes.
/// - **Source**: J. S. Turner, "New directions in communications", IEEE Communications Magazine,
///   October 1986; ITU-T I.371 annex A, continuous-state form. The mirror image of
///   [`TokenBucket`](crate::TokenBucket): the water here is the tokens missing there. For the
///   leaky bucket that smooths its output, see [`LeakyQueue`](crate::LeakyQueue).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakyMeter {
    bucket: Bucket,
}

/// The state of one key under a [`LeakyMeter`]; the default is an empty bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeakyMeterState {
    water: Level,
    updated: Moment,
}

impl LeakyMeter {
    /// A meter of this leak rate and capacity; from a bare [`Quota`](crate::Quota), its limit is
    /// the capacity.
    pub fn new(bucket: impl Into<Bucket>) -> Self {
        Self {
            bucket: bucket.into(),
        }
    }

    /// Its rate and depth.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }
}

impl LeakyMeterState {
    pub(crate) const fn words(self) -> [u64; 3] {
        let [units, parts] = self.water.words();
        [units, parts, self.updated.as_nanos()]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            water: Level::from_words([words[0], words[1]]),
            updated: Moment::from_nanos(words[2]),
        }
    }
}

impl Algorithm for LeakyMeter {
    type State = LeakyMeterState;

    fn limit(&self) -> u64 {
        self.bucket.capacity()
    }

    fn decide(&self, state: &mut LeakyMeterState, now: Moment, cost: u64) -> Decision {
        let now = now.max(state.updated);
        let elapsed = now.as_nanos() - state.updated.as_nanos();
        let water = self.bucket.drained(state.water, elapsed);
        let (decision, after) = self.bucket.offer(water, cost);
        if after != water {
            *state = LeakyMeterState {
                water: self.bucket.level(after),
                updated: now,
            };
        }
        decision
    }

    fn refund(&self, state: &mut LeakyMeterState, now: Moment, cost: u64, since: Moment) {
        let now = now.max(state.updated);
        let elapsed = now.as_nanos() - state.updated.as_nanos();
        let water = self.bucket.drained(state.water, elapsed);
        let after = self.bucket.refunded(water, now, cost, since);
        if after != water {
            *state = LeakyMeterState {
                water: self.bucket.level(after),
                updated: now,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Quota;

    #[test]
    fn a_request_that_would_overflow_pours_nothing_in() {
        let limit = LeakyMeter::new(Quota::per_second(4).unwrap());
        let mut key = LeakyMeterState::default();
        assert!(limit.decide(&mut key, Moment::ORIGIN, 3).allowed());
        let refused = limit.decide(&mut key, Moment::ORIGIN, 2);
        assert!(!refused.allowed());
        assert_eq!(refused.remaining(), 1);
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(250)));
        assert!(limit.decide(&mut key, Moment::ORIGIN, 1).allowed());
    }

    #[test]
    fn a_key_takes_24_bytes() {
        assert_eq!(size_of::<LeakyMeterState>(), 24);
    }
}

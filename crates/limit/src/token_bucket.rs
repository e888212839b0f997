use crate::bucket::Level;
use crate::{Algorithm, Bucket, Decision, Moment};

/// Token bucket: tokens drip in at the rate, up to the capacity; a request takes its cost in
/// tokens or is refused.
///
/// - **Formula**: `tokens = min(capacity, tokens + elapsed × limit / window)`; allowed if
///   `cost <= tokens`, then `tokens -= cost`.
/// - **Bound**: at most `capacity + limit × t / window` units in any interval of length `t`, also
///   after a long idle time, and the greatest admission with that property: what it refuses would
///   have broken it.
/// - **Memory per key**: 24 bytes.
/// - **Source**: J. S. Turner, "New directions in communications", IEEE Communications Magazine,
///   October 1986; RFC 2697 section 3. Takes the same decisions as [`Gcra`](crate::Gcra) and
///   [`LeakyMeter`](crate::LeakyMeter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    bucket: Bucket,
}

/// The state of one key under a [`TokenBucket`]; the default is a full bucket.
///
/// It holds the tokens that are *missing*, not those that are there: so a key never seen needs no
/// knowledge of the capacity, and a capacity raised meanwhile takes effect at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenBucketState {
    missing: Level,
    updated: Moment,
}

impl TokenBucket {
    /// A token bucket of this rate and capacity; from a bare [`Quota`](crate::Quota), its limit is
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

impl TokenBucketState {
    pub(crate) const fn words(self) -> [u64; 3] {
        let [units, parts] = self.missing.words();
        [units, parts, self.updated.as_nanos()]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            missing: Level::from_words([words[0], words[1]]),
            updated: Moment::from_nanos(words[2]),
        }
    }
}

impl Algorithm for TokenBucket {
    type State = TokenBucketState;

    fn limit(&self) -> u64 {
        self.bucket.capacity()
    }

    fn decide(&self, state: &mut TokenBucketState, now: Moment, cost: u64) -> Decision {
        let now = now.max(state.updated);
        let elapsed = now.as_nanos() - state.updated.as_nanos();
        let missing = self.bucket.drained(state.missing, elapsed);
        let (decision, after) = self.bucket.offer(missing, cost);
        if after != missing {
            *state = TokenBucketState {
                missing: self.bucket.level(after),
                updated: now,
            };
        }
        decision
    }

    fn refund(&self, state: &mut TokenBucketState, now: Moment, cost: u64, since: Moment) {
        let now = now.max(state.updated);
        let elapsed = now.as_nanos() - state.updated.as_nanos();
        let missing = self.bucket.drained(state.missing, elapsed);
        let after = self.bucket.refunded(missing, now, cost, since);
        if after != missing {
            *state = TokenBucketState {
                missing: self.bucket.level(after),
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
    fn a_full_bucket_passes_at_once_and_then_the_rate_alone() {
        let limit = TokenBucket::new(Quota::per_second(10).unwrap().with_burst(3).unwrap());
        let mut key = TokenBucketState::default();
        let start = Moment::from_nanos(5_000_000_000);
        for remaining in [2, 1, 0] {
            assert_eq!(limit.decide(&mut key, start, 1).remaining(), remaining);
        }
        let refused = limit.decide(&mut key, start, 2);
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(200)));
        assert_eq!(refused.reset_after(), Duration::from_millis(300));
        let later = start.plus(Duration::from_millis(200));
        assert!(limit.decide(&mut key, later, 2).allowed());
    }

    #[test]
    fn thirds_of_a_second_leave_no_remainder_behind() {
        let limit = TokenBucket::new(Quota::per_second(3).unwrap());
        let mut key = TokenBucketState::default();
        assert!(limit.decide(&mut key, Moment::ORIGIN, 3).allowed());
        // Any remainder dropped or added would show within these thousand rounds.
        for second in 1..=1_000 {
            let now = Moment::from_nanos(second * 1_000_000_000);
            let decision = limit.decide(&mut key, now, 3);
            assert!(decision.allowed(), "second {second}");
            assert_eq!(decision.reset_after(), Duration::from_secs(1));
        }
    }

    #[test]
    fn a_clock_that_runs_backwards_refills_nothing() {
        let limit = TokenBucket::new(Quota::per_second(1).unwrap());
        let mut key = TokenBucketState::default();
        let start = Moment::from_nanos(10_000_000_000);
        assert!(limit.decide(&mut key, start, 1).allowed());
        assert!(!limit.decide(&mut key, Moment::ORIGIN, 1).allowed());
        assert!(!limit.decide(&mut key, start, 1).allowed());
    }

    #[test]
    fn a_key_takes_24_bytes() {
        assert_eq!(size_of::<TokenBucketState>(), 24);
    }
}

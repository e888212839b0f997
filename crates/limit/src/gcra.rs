use crate::bucket::ExactMoment;
use crate::{Algorithm, Bucket, Decision, Moment};

/// Generic cell rate algorithm, in its virtual scheduling form: the whole state is one moment.
///
/// - **Formula**: with emission interval `T = window / limit` and theoretical arrival time `TAT`,
///   `TAT' = max(now, TAT) + cost × T`; allowed if `TAT' - now <= capacity × T`, then `TAT = TAT'`.
/// - **Bound**: at most `capacity + limit × t / window` units in any interval of length `t`, also
///   after a long idle time, because `TAT` is never taken from before `now`.
/// - **Memory per key**: 16 bytes; [`AtomicGcra`](crate::AtomicGcra) takes 8.
/// - **Source**: ITU-T I.371 (03/2004) annex A; ATM Forum, Traffic Management 4.1. Takes the same
///   decisions as [`TokenBucket`](crate::TokenBucket).
///
/// `CL.THROTTLE key max_burst count period` is `Quota::new(count, period)` with a burst of
/// `max_burst + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    bucket: Bucket,
}

/// The state of one key under [`Gcra`]: its theoretical arrival time, exact to a fraction of a
/// nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcraState {
    tat: ExactMoment,
}

impl Gcra {
    /// GCRA of this rate and capacity; from a bare [`Quota`](crate::Quota), its limit is the
    /// capacity.
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

impl GcraState {
    pub(crate) const fn words(self) -> [u64; 3] {
        let [nanos, fraction] = self.tat.words();
        [nanos, fraction, 0]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            tat: ExactMoment::from_words([words[0], words[1]]),
        }
    }
}

impl Algorithm for Gcra {
    type State = GcraState;

    fn limit(&self) -> u64 {
        self.bucket.capacity()
    }

    fn decide(&self, state: &mut GcraState, now: Moment, cost: u64) -> Decision {
        let ahead = self.bucket.until_empty(state.tat, now);
        let (decision, after) = self.bucket.offer(ahead, cost);
        if after != ahead {
            state.tat = self.bucket.empty_at(now, after);
        }
        decision
    }

    fn refund(&self, state: &mut GcraState, now: Moment, cost: u64, since: Moment) {
        let ahead = self.bucket.until_empty(state.tat, now);
        let after = self.bucket.refunded(ahead, now, cost, since);
        if after != ahead {
            state.tat = self.bucket.empty_at(now, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    #[test]
    fn a_long_idle_time_saves_up_no_more_than_the_capacity() {
        let limit = Gcra::new(Quota::per_second(10).unwrap());
        for idle in [1_000_000_000, 10_u64.pow(15), u64::MAX] {
            let mut key = GcraState::default();
            assert!(limit.decide(&mut key, Moment::ORIGIN, 10).allowed());
            let now = Moment::from_nanos(idle);
            let passed = (0..50).filter(|_| limit.decide(&mut key, now, 1).allowed());
            assert_eq!(passed.count(), 10, "idle for {idle} ns");
        }
    }

    #[test]
    fn a_key_takes_16_bytes() {
        assert_eq!(size_of::<GcraState>(), 16);
    }
}

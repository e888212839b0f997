use crate::bucket::ExactMoment;
use crate::{Algorithm, Bucket, Decision, Moment, Verdict};

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
    /// Nanoseconds between two units, if that is a whole number; zero otherwise.
    interval: u64,
    /// As many of those as the capacity has units.
    brim: u64,
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
        let bucket = bucket.into();
        let (window, limit) = (bucket.quota().window_nanos(), bucket.quota().limit());
        let interval = (window % limit == 0).then(|| window / limit);
        let whole = interval.and_then(|some| Some((some, some.checked_mul(bucket.capacity())?)));
        let (interval, brim) = whole.unwrap_or_default();
        Self {
            bucket,
            interval,
            brim,
        }
    }

    /// Its rate and depth.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }
}

impl Gcra {
    /// A request that passes and is charged, where units take whole nanoseconds, as with most quotas: without a division.
    #[inline(always)]
    fn admit_whole(&self, state: &mut GcraState, now: Moment, cost: u64) -> Option<Decision> {
        let [tat, fraction] = state.tat.words();
        if self.interval == 0 || fraction != 0 || cost == 0 {
            return None;
        }
        let ahead = tat.saturating_sub(now.as_nanos());
        let filled = cost.checked_mul(self.interval)?.checked_add(ahead)?;
        if filled > self.brim {
            return None;
        }
        state.tat = ExactMoment::from_words([now.as_nanos().saturating_add(filled), 0]);
        Some(Decision::in_parts(
            Verdict::Allowed,
            self.bucket.capacity(),
            self.brim - filled,
            self.interval,
            filled,
        ))
    }

    /// Any request, for any quota.
    #[inline(never)]
    fn decide_any(&self, state: &mut GcraState, now: Moment, cost: u64) -> Decision {
        if let Some(decision) = self.admit_narrow(state, now, cost) {
            return decision;
        }
        let ahead = self.bucket.until_empty(state.tat, now);
        let (verdict, after) = self.bucket.admit(ahead, cost);
        if after != ahead {
            state.tat = self.bucket.empty_at(now, after);
        }
        let reset_after = Bucket::empty_after(state.tat, now);
        self.bucket.decision(verdict, after, reset_after)
    }

    /// The same in 64 bits, for any quota, if all of it fits.
    #[inline]
    fn admit_narrow(&self, state: &mut GcraState, now: Moment, cost: u64) -> Option<Decision> {
        let (unit, drain) = (
            self.bucket.quota().window_nanos(),
            self.bucket.quota().limit(),
        );
        let brim = self.bucket.capacity().checked_mul(unit)?;
        let [tat, fraction] = state.tat.words();
        let ahead = match tat.checked_sub(now.as_nanos()) {
            Some(nanos) => nanos
                .checked_mul(drain)?
                .checked_add(fraction.min(drain - 1))?,
            None => 0,
        };
        let filled = cost.checked_mul(unit)?.checked_add(ahead)?;
        if filled > brim || cost == 0 {
            return None;
        }
        let (nanos, fraction) = (filled / drain, filled % drain);
        state.tat = ExactMoment::from_words([now.as_nanos().saturating_add(nanos), fraction]);
        let reset_after = nanos + u64::from(fraction > 0);
        let (limit, room) = (self.bucket.capacity(), brim - filled);
        Some(Decision::in_parts(
            Verdict::Allowed,
            limit,
            room,
            unit,
            reset_after,
        ))
    }
}

impl GcraState {
    #[inline]
    pub(crate) const fn words(self) -> [u64; 3] {
        let [nanos, fraction] = self.tat.words();
        [nanos, fraction, 0]
    }

    #[inline]
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

    // Most decisions are those of `admit_whole`: inlined, what they say is written once, not copied.
    #[inline(always)]
    fn decide(&self, state: &mut GcraState, now: Moment, cost: u64) -> Decision {
        match self.admit_whole(state, now, cost) {
            Some(decision) => decision,
            None => self.decide_any(state, now, cost),
        }
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{MAX_LIMIT, Quota};

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

    proptest! {
        #[test]
        fn in_64_bits_or_128_it_is_the_same(
            limit in prop_oneof![1_u64..20, 1..=MAX_LIMIT],
            window in prop_oneof![Just(1_000_000_000_u64), 1_000_000_u64..1_000_000_000_000],
            capacity in 1_u64..50,
            words in (prop_oneof![0_u64..3_000_000_000, any::<u64>()], prop_oneof![0_u64..30, any::<u64>()]),
            now in prop_oneof![0_u64..3_000_000_000, any::<u64>()],
            cost in 0_u64..60,
        ) {
            let quota = Quota::new(limit, Duration::from_nanos(window)).unwrap();
            let limit = Gcra::new(quota.with_burst(capacity).unwrap());
            let now = Moment::from_nanos(now);
            let kept = GcraState::from_words([words.0, words.1, 0]);
            let mut narrow = kept;
            if let Some(decision) = limit.admit_narrow(&mut narrow, now, cost) {
                let ahead = limit.bucket.until_empty(kept.tat, now);
                let (offered, after) = limit.bucket.offer(ahead, cost);
                prop_assert_eq!(decision, offered);
                prop_assert_eq!(narrow.tat, limit.bucket.empty_at(now, after));
            } else {
                prop_assert_eq!(narrow, kept);
            }
        }
    }

    #[test]
    fn the_usual_limits_fit_64_bits() {
        let limit = Gcra::new(Quota::per_minute(100_000_000).unwrap());
        let mut key = GcraState::default();
        assert!(
            limit
                .admit_narrow(&mut key, Moment::LAST, 100_000_000)
                .is_some()
        );
        assert!(limit.admit_narrow(&mut key, Moment::LAST, 1).is_none());
    }

    #[test]
    fn a_key_takes_16_bytes() {
        assert_eq!(size_of::<GcraState>(), 16);
    }
}

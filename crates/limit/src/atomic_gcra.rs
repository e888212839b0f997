use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::moment::{duration, nanos};
use crate::{Bucket, Decision, Moment, Verdict};

/// How long after its origin an [`AtomicGcra`] can tell the time: 10 years of 365 days.
const HORIZON: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Fewer ticks than this in a unit, and rounding one up would cost more than a thousandth.
const MIN_TICKS: u64 = 1_000;

/// GCRA on one atomic word a key, without locks: for many threads that share hot keys.
///
/// - **Formula**: that of [`Gcra`](crate::Gcra). `TAT` is counted in ticks since `origin`, as many
///   in a nanosecond as make a unit a whole number of ticks; where that does not fit 64 bits, as
///   many as do fit, and a unit is rounded up.
/// - **Bound**: at most `capacity + limit × t / window` units in any interval of length `t`,
///   however many threads decide at once: all that is known of a key is one word, and it is
///   replaced only if it is still the word the decision was made from. Where
///   [`is_exact`](Self::is_exact), the decisions are those of [`Gcra`](crate::Gcra); otherwise
///   the rate is lower by less than a thousandth and the burst is the same.
/// - **Progress**: lock-free. A thread repeats its step only if another has just completed one.
/// - **Memory per key**: 8 bytes.
/// - **Source**: as [`Gcra`](crate::Gcra); the cell by compare-and-swap is that of the `governor`
///   crate.
///
/// Time ends 10 years after `origin`: from then on the clock stands still and refuses. Take the
/// start of the process for origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtomicGcra {
    capacity: u64,
    origin: Moment,
    ticks_per_nano: u64,
    ticks_per_unit: u64,
    /// `capacity × ticks_per_unit`: how far TAT may lie ahead.
    tolerance: u64,
    exact: bool,
}

/// The state of one key under an [`AtomicGcra`]: its theoretical arrival time.
#[derive(Debug, Default)]
pub struct GcraCell {
    tat: AtomicU64,
}

/// The rate is too high, and too uneven, to be counted in whole ticks of 64 bits within a
/// thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is too high a rate for an atomic cell: \
     give a limit that divides the window in nanoseconds, or keep the key under a lock"
)]
pub struct TooFine(crate::Quota);

/// The word that a decision reads and replaces, so that the same step runs on a checker's atomic.
trait Word {
    fn load(&self) -> u64;
    fn replace(&self, current: u64, new: u64) -> Result<(), u64>;
}

// Relaxed, because the word is all there is: nothing else is published by it, and the order of
// changes to a single atomic is the same for all threads whatever the ordering.
impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange_weak(current, new, Ordering::Relaxed, Ordering::Relaxed)
            .map(|_| ())
    }
}

impl AtomicGcra {
    /// GCRA of this rate and capacity for cells that are used from `origin` on; from a bare
    /// [`Quota`](crate::Quota), its limit is the capacity.
    ///
    /// # Errors
    /// [`TooFine`] for a rate above some 50 million units a second of which a unit is no whole
    /// number of ticks.
    pub fn new(bucket: impl Into<Bucket>, origin: Moment) -> Result<Self, TooFine> {
        let bucket = bucket.into();
        let quota = bucket.quota();
        let (window, limit) = (quota.window_nanos(), quota.limit());
        // Rounded up, a unit is at most doubled, and with it the time to refill.
        let refill = u128::from(bucket.capacity()) * u128::from(window) / u128::from(limit) + 1;
        let most = u128::from(u64::MAX) / (HORIZON.as_nanos() + 2 * refill);
        let even = limit / gcd(window, limit);
        let exact = u128::from(even) <= most;
        let ticks = if exact { u128::from(even) } else { most };
        let per_unit = (u128::from(window) * ticks).div_ceil(u128::from(limit));
        let (Ok(ticks_per_nano), Ok(ticks_per_unit)) =
            (u64::try_from(ticks), u64::try_from(per_unit))
        else {
            return Err(TooFine(quota));
        };
        if !exact && ticks_per_unit < MIN_TICKS {
            return Err(TooFine(quota));
        }
        Ok(Self {
            capacity: bucket.capacity(),
            origin,
            ticks_per_nano,
            ticks_per_unit,
            tolerance: bucket.capacity().saturating_mul(ticks_per_unit),
            exact,
        })
    }

    /// Whether a unit is a whole number of ticks, so that the decisions are exactly those of
    /// [`Gcra`](crate::Gcra).
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Decides a request of `cost` units at `now` and, only if it is allowed, charges it to the
    /// cell. Cost 0 peeks.
    pub fn decide(&self, cell: &GcraCell, now: Moment, cost: u64) -> Decision {
        self.decide_on(&cell.tat, now, cost)
    }

    fn decide_on(&self, word: &impl Word, now: Moment, cost: u64) -> Decision {
        let now = nanos(now.since(self.origin).min(HORIZON)) * self.ticks_per_nano;
        let mut tat = word.load();
        loop {
            let ahead = tat.saturating_sub(now);
            if cost == 0 {
                return self.answer(Verdict::Allowed, ahead);
            }
            if cost > self.capacity {
                return self.answer(Verdict::Never, ahead);
            }
            let filled = ahead.saturating_add(cost * self.ticks_per_unit);
            if filled > self.tolerance {
                let wait = self.time(filled - self.tolerance);
                return self.answer(Verdict::RetryAfter(wait), ahead);
            }
            match word.replace(tat, now + filled) {
                Ok(()) => return self.answer(Verdict::Allowed, filled),
                Err(changed) => tat = changed,
            }
        }
    }

    fn answer(&self, verdict: Verdict, ahead: u64) -> Decision {
        let room = self.tolerance.saturating_sub(ahead) / self.ticks_per_unit;
        Decision::new(verdict, self.capacity, room, self.time(ahead))
    }

    /// So many ticks, rounded up to a nanosecond.
    fn time(&self, ticks: u64) -> Duration {
        duration(u128::from(ticks.div_ceil(self.ticks_per_nano)))
    }
}

/// The greatest common divisor, by Euclid. Neither is zero.
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64 as LoomU64;

    use super::*;
    use crate::{MAX_LIMIT, MAX_WINDOW, Quota};

    impl Word for LoomU64 {
        fn load(&self) -> u64 {
            self.load(Ordering::Relaxed)
        }

        fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
            self.compare_exchange_weak(current, new, Ordering::Relaxed, Ordering::Relaxed)
                .map(|_| ())
        }
    }

    fn limit(capacity: u64) -> AtomicGcra {
        let bucket = Quota::per_second(10).unwrap().with_burst(capacity).unwrap();
        AtomicGcra::new(bucket, Moment::ORIGIN).unwrap()
    }

    /// Runs threads that ask for these costs at these milliseconds, in every order that the memory
    /// model allows, and gives the total admitted of each order to `check`.
    fn in_every_order(
        capacity: u64,
        asks: &'static [(u64, u64)],
        check: impl Fn(u64) + Send + Sync + 'static,
    ) {
        loom::model(move || {
            let word = Arc::new(LoomU64::new(0));
            let ask = move |word: &LoomU64, (ms, cost): (u64, u64)| {
                let now = Moment::from_nanos(ms * 1_000_000);
                let decision = limit(capacity).decide_on(word, now, cost);
                if decision.allowed() { cost } else { 0 }
            };
            let (first, others) = asks.split_first().expect("somebody asks");
            let others: Vec<_> = others
                .iter()
                .map(|&other| {
                    let word = Arc::clone(&word);
                    loom::thread::spawn(move || ask(&word, other))
                })
                .collect();
            let mut admitted = ask(&word, *first);
            for other in others {
                admitted += other.join().expect("no decision panics");
            }
            check(admitted);
        });
    }

    #[test]
    fn in_every_order_three_threads_share_two_units() {
        in_every_order(2, &[(0, 1), (0, 1), (0, 1)], |admitted| {
            assert_eq!(admitted, 2);
        });
    }

    #[test]
    fn in_every_order_uneven_costs_never_pass_the_capacity() {
        in_every_order(3, &[(0, 2), (0, 1), (0, 2)], |admitted| {
            assert_eq!(admitted, 3);
        });
    }

    #[test]
    fn in_every_order_a_late_clock_takes_no_more_than_its_share() {
        // 100 ms bring one unit; the thread whose clock is behind must not add another.
        in_every_order(1, &[(0, 1), (100, 1), (50, 1)], |admitted| {
            assert!((1..=2).contains(&admitted), "{admitted}");
        });
    }

    #[test]
    fn human_rates_are_exact() {
        for (limit, seconds) in [
            (1, 1),
            (3, 1),
            (7, 60),
            (1_000, 1),
            (10_000, 60),
            (600, 86_400),
        ] {
            let quota = Quota::new(limit, Duration::from_secs(seconds)).unwrap();
            let cells = AtomicGcra::new(quota, Moment::ORIGIN).unwrap();
            assert!(cells.is_exact(), "{quota}");
        }
        let uneven = Quota::per_second(999_983).unwrap();
        assert!(!AtomicGcra::new(uneven, Moment::ORIGIN).unwrap().is_exact());
    }

    #[test]
    fn a_rate_that_no_tick_can_count_is_refused() {
        let quota = Quota::new(MAX_LIMIT, Duration::from_millis(1)).unwrap();
        assert_eq!(AtomicGcra::new(quota, Moment::ORIGIN), Err(TooFine(quota)));
        let uneven = |limit| {
            let quota = Quota::per_second(limit).unwrap();
            AtomicGcra::new(quota, Moment::ORIGIN).map(|cells| cells.is_exact())
        };
        assert_eq!(uneven(40_000_003), Ok(false));
        assert!(uneven(100_000_007).is_err());
        assert_eq!(uneven(1_000_000_000), Ok(true));
    }

    #[test]
    fn the_slowest_rates_fit_and_time_stops_at_the_horizon() {
        for capacity in [1, 2, 99] {
            let quota = Quota::new(1, MAX_WINDOW).unwrap();
            let bucket = quota.with_burst(capacity).unwrap();
            let cells = AtomicGcra::new(bucket, Moment::ORIGIN).unwrap();
            let cell = GcraCell::default();
            assert!(cells.decide(&cell, Moment::LAST, capacity).allowed());
            let refused = cells.decide(&cell, Moment::LAST, capacity);
            let refill = MAX_WINDOW * u32::try_from(capacity).unwrap();
            assert_eq!(refused.retry_after(), Some(refill));
        }
    }

    #[test]
    fn a_key_takes_8_bytes() {
        assert_eq!(size_of::<GcraCell>(), 8);
    }
}

//! Charges as the script takes them: whole numbers that a double holds.

use std::collections::HashMap;

use crate::store::{Charge, LimitKey, Refund};
use crate::{Bucket, Limiter, MAX_LIMIT, Quota};

const MICRO: u128 = 1_000;

/// A limit that cannot be counted in Redis without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inexact {
    /// The window has a fraction of a microsecond, in which Redis tells the time.
    #[error("window: {0:?} is not a whole number of microseconds: Redis tells no finer time")]
    Window(std::time::Duration),
}

/// Microseconds, and parts of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    micros: u64,
    part: u64,
}

/// A rate in lowest terms: `cost` units drain in `cost × units / parts` microseconds, so every
/// moment at which a bucket is empty is a whole number of `parts`-ths of a microsecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// At most the limit, 2^53.
    pub(super) parts: u64,
    units: u128,
    /// What limit and window were divided by.
    pub(super) divisor: u64,
}

impl Rate {
    pub(super) fn new(quota: Quota) -> Result<Self, Inexact> {
        let window = micros(quota)?;
        let divisor = gcd(window, quota.limit());
        Ok(Self {
            parts: quota.limit() / divisor,
            units: u128::from(window / divisor),
            divisor,
        })
    }

    /// How long so many units take, at most 100 years for what fits a bucket.
    fn time_of(self, cost: u64) -> Span {
        let product = u128::from(cost) * self.units;
        Span::new(
            product / u128::from(self.parts),
            product % u128::from(self.parts),
        )
    }
}

impl Span {
    fn new(micros: u128, part: u128) -> Self {
        Self {
            micros: u64::try_from(micros).unwrap_or(u64::MAX),
            part: u64::try_from(part).unwrap_or(u64::MAX),
        }
    }
}

/// The window in microseconds, below 2^45.
pub(super) fn micros(quota: Quota) -> Result<u64, Inexact> {
    let nanos = quota.window().as_nanos();
    match u64::try_from(nanos / MICRO) {
        Ok(micros) if nanos.is_multiple_of(MICRO) => Ok(micros),
        _ => Err(Inexact::Window(quota.window())),
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// What is asked of the script.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) keys: Vec<Vec<u8>>,
    /// The numbers of all charges, one after the other.
    pub(super) numbers: Vec<u64>,
    /// Which charge each of them is, and which key it has: those that bind come first, the others
    /// get the room that these leave.
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) charge: usize,
    pub(super) key: usize,
}

impl Order {
    /// Keys are named by `name`.
    pub(super) fn new(
        charges: &[Charge],
        name: impl Fn(&LimitKey) -> Vec<u8>,
    ) -> Result<Self, Inexact> {
        let mut order = Self::default();
        let mut known = HashMap::with_capacity(charges.len());
        for binds in [true, false] {
            for (at, charge) in charges.iter().enumerate() {
                if charge.binds != binds {
                    continue;
                }
                let key = *known.entry(&charge.key).or_insert_with(|| {
                    order.keys.push(name(&charge.key));
                    order.keys.len() - 1
                });
                order.entries.push(Entry { charge: at, key });
                let wanted = match charge.cost {
                    0 => 0,
                    cost if cost <= charge.limiter.most() => 1,
                    _ => 2,
                };
                let head = [wanted, u64::from(charge.binds)];
                order.add(key, head, &charge.limiter, charge.cost)?;
            }
        }
        Ok(order)
    }

    /// As [`new`](Self::new), of units to give back.
    pub(super) fn refunds(
        refunds: &[Refund],
        name: impl Fn(&LimitKey) -> Vec<u8>,
    ) -> Result<Self, Inexact> {
        let mut order = Self::default();
        let mut known = HashMap::with_capacity(refunds.len());
        for refund in refunds {
            let key = *known.entry(&refund.key).or_insert_with(|| {
                order.keys.push(name(&refund.key));
                order.keys.len() - 1
            });
            order.add(key, [3, 0], &refund.limiter, refund.units)?;
            // Not later than it was: a part of a microsecond more would be given back.
            order.numbers.push(refund.since.as_nanos() / 1_000);
        }
        Ok(order)
    }

    fn add(
        &mut self,
        key: usize,
        [wanted, binds]: [u64; 2],
        limiter: &Limiter,
        cost: u64,
    ) -> Result<(), Inexact> {
        // Lua counts from 1.
        let head = [key as u64 + 1, tag(limiter), wanted, binds];
        self.numbers.extend(head);
        let cost = cost.min(MAX_LIMIT);
        match limiter.bucket() {
            Some(bucket) => self.numbers.extend(bucket_numbers(limiter, bucket, cost)?),
            None => {
                let quota = limiter.quota();
                self.numbers.extend([micros(quota)?, quota.limit(), cost]);
            }
        }
        Ok(())
    }
}

fn bucket_numbers(limiter: &Limiter, bucket: Bucket, cost: u64) -> Result<[u64; 7], Inexact> {
    let rate = Rate::new(bucket.quota())?;
    let add = rate.time_of(cost.min(bucket.capacity()));
    let brim = rate.time_of(bucket.capacity());
    let patience = match limiter {
        Limiter::LeakyQueue(queue) => {
            let nanos = queue.max_delay().as_nanos();
            // The part of a microsecond that is left is above it only if it is above this.
            let part = nanos % MICRO * u128::from(rate.parts) / MICRO;
            Span::new(nanos / MICRO, part)
        }
        _ => Span::new(0, 0),
    };
    Ok([
        rate.parts,
        add.micros,
        add.part,
        brim.micros,
        brim.part,
        patience.micros,
        patience.part,
    ])
}

/// How the script knows the algorithm. The numbers are in Redis: they are never used again.
pub(super) const fn tag(limiter: &Limiter) -> u64 {
    match limiter {
        Limiter::Gcra(_) => 1,
        Limiter::TokenBucket(_) => 2,
        Limiter::LeakyMeter(_) => 3,
        Limiter::LeakyQueue(_) => 4,
        Limiter::FixedWindow(_) => 5,
        Limiter::SlidingCounter(_) => 6,
        Limiter::SlidingLog(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AlgorithmKind, MAX_REFILL, MAX_WINDOW, MIN_WINDOW};

    const EXACT: u64 = 1 << 53;

    #[test]
    fn all_numbers_fit_a_double_at_the_ends_of_the_range() {
        let mut greatest = 0;
        for limit in [1, 2, 999_983, MAX_LIMIT - 1, MAX_LIMIT] {
            for window in [
                MIN_WINDOW,
                Duration::from_micros(2_592_000_000_001),
                MAX_WINDOW,
            ] {
                for burst in [1, 7, limit, MAX_LIMIT] {
                    for kind in AlgorithmKind::ALL {
                        let quota = Quota::new(limit, window).unwrap();
                        let Ok(limiter) = Limiter::new(kind, quota, Some(burst)) else {
                            continue;
                        };
                        for cost in [0, 1, burst, limit, u64::MAX] {
                            let key = crate::store::LimitKey::new(b"k").unwrap();
                            let charge = Charge {
                                key,
                                limiter,
                                cost,
                                binds: true,
                            };
                            let order = Order::new(&[charge], |_| b"k".to_vec()).unwrap();
                            greatest = order.numbers.into_iter().fold(greatest, u64::max);
                        }
                    }
                }
            }
        }
        assert_eq!(greatest, EXACT);
        // What the script adds: a moment of the year 2150, a full bucket and one more.
        let moment = Duration::from_secs(180 * 365 * 86_400).as_micros();
        assert!(moment + MAX_REFILL.as_micros() < u128::from(EXACT));
        assert!(2 * MAX_REFILL.as_micros() < u128::from(EXACT));
    }

    #[test]
    fn a_window_between_two_microseconds_is_refused() {
        let window = Duration::from_nanos(1_000_001);
        let quota = Quota::new(1, window).unwrap();
        assert_eq!(micros(quota), Err(Inexact::Window(window)));
        let whole = Quota::new(1, Duration::from_micros(1_001)).unwrap();
        assert_eq!(micros(whole), Ok(1_001));
    }
}

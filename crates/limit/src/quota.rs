use std::fmt;
use std::time::Duration;

use crate::moment::nanos;

/// The greatest limit, capacity and cost: 2^53, the greatest whole number that JSON and Lua carry
/// without loss.
pub const MAX_LIMIT: u64 = 1 << 53;
/// The shortest window: one millisecond.
pub const MIN_WINDOW: Duration = Duration::from_millis(1);
/// The longest window: a leap year of 366 days.
pub const MAX_WINDOW: Duration = Duration::from_secs(366 * 86_400);
/// The longest time an empty bucket may take to refill: 100 years of 365 days.
pub const MAX_REFILL: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Why a quota, or something made from one, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The limit is zero or above [`MAX_LIMIT`].
    #[error("limit: {0} is out of range: give 1 to {MAX_LIMIT}")]
    Limit(u64),
    /// The window is shorter than [`MIN_WINDOW`] or longer than [`MAX_WINDOW`].
    #[error("window: {0:?} is out of range: give 1 millisecond to 366 days")]
    Window(Duration),
    /// The capacity of the bucket is zero or above [`MAX_LIMIT`].
    #[error("burst: {0} is out of range: give 1 to {MAX_LIMIT}")]
    Capacity(u64),
    /// The bucket would take longer than [`MAX_REFILL`] to refill.
    #[error(
        "burst: {capacity} at {quota} takes more than 100 years to refill: \
         give a smaller burst or a higher rate"
    )]
    Refill {
        /// The capacity asked for.
        capacity: u64,
        /// The quota that refills it.
        quota: Quota,
    },
    /// The longest delay of a queue is above [`MAX_REFILL`].
    #[error("max_delay: {0:?} is out of range: give at most 100 years")]
    Delay(Duration),
    /// The life of a lease is shorter than [`MIN_WINDOW`] or longer than [`MAX_WINDOW`].
    #[error("lease: {0:?} is out of range: give 1 millisecond to 366 days")]
    Lease(Duration),
}

/// So many units per window of time: what every rate limit is about.
///
/// Limit 1 to 2^53, window 1 ms to 366 days, checked once here, so that no algorithm can overflow:
/// `limit × window` in nanoseconds is below 2^108 and the arithmetic is done in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u64,
    window: u64,
}

impl Quota {
    /// `limit` units per `window`.
    ///
    /// # Errors
    /// [`QuotaError::Limit`] or [`QuotaError::Window`] outside the range.
    pub fn new(limit: u64, window: Duration) -> Result<Self, QuotaError> {
        if limit == 0 || limit > MAX_LIMIT {
            return Err(QuotaError::Limit(limit));
        }
        if window < MIN_WINDOW || window > MAX_WINDOW {
            return Err(QuotaError::Window(window));
        }
        Ok(Self {
            limit,
            window: nanos(window),
        })
    }

    /// `limit` units per second.
    ///
    /// # Errors
    /// As [`Quota::new`].
    pub fn per_second(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` units per minute.
    ///
    /// # Errors
    /// As [`Quota::new`].
    pub fn per_minute(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_secs(60))
    }

    /// Units per window.
    #[must_use]
    pub const fn limit(self) -> u64 {
        self.limit
    }

    /// The window.
    #[must_use]
    pub const fn window(self) -> Duration {
        Duration::from_nanos(self.window)
    }

    /// The window in nanoseconds: 10^6 to 366 × 86,400 × 10^9, below 2^55.
    pub(crate) const fn window_nanos(self) -> u64 {
        self.window
    }

    /// As many units, 1 to [`MAX_LIMIT`], in the same window.
    pub(crate) const fn with_limit(self, limit: u64) -> Self {
        debug_assert!(limit > 0 && limit <= MAX_LIMIT);
        Self { limit, ..self }
    }

    /// A bucket that refills at this rate and holds `capacity` units.
    ///
    /// # Errors
    /// As [`Bucket::new`].
    pub fn with_burst(self, capacity: u64) -> Result<Bucket, QuotaError> {
        Bucket::new(self, capacity)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {:?}", self.limit, self.window())
    }
}

/// A rate and a depth: what token bucket, GCRA and both leaky buckets are set by.
///
/// The rate is that of the quota; the capacity is the most that passes at once after a rest. From
/// a bare quota, the capacity is its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    quota: Quota,
    capacity: u64,
}

impl Bucket {
    /// A bucket of `capacity` units that refills (or leaks) at the rate of `quota`.
    ///
    /// # Errors
    /// [`QuotaError::Capacity`] outside 1 to 2^53; [`QuotaError::Refill`] if the whole capacity
    /// takes more than [`MAX_REFILL`] at that rate.
    pub fn new(quota: Quota, capacity: u64) -> Result<Self, QuotaError> {
        if capacity == 0 || capacity > MAX_LIMIT {
            return Err(QuotaError::Capacity(capacity));
        }
        let refill = u128::from(capacity) * u128::from(quota.window) / u128::from(quota.limit);
        if refill > MAX_REFILL.as_nanos() {
            return Err(QuotaError::Refill { capacity, quota });
        }
        Ok(Self { quota, capacity })
    }

    /// The rate.
    #[must_use]
    pub const fn quota(self) -> Quota {
        self.quota
    }

    /// The depth: the most units that pass at once.
    #[must_use]
    pub const fn capacity(self) -> u64 {
        self.capacity
    }
}

impl From<Quota> for Bucket {
    /// As deep as the limit of the quota: refills within one window, so never out of range.
    fn from(quota: Quota) -> Self {
        Self {
            quota,
            capacity: quota.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_valid_and_their_neighbours_are_not() {
        for limit in [1, MAX_LIMIT] {
            for window in [MIN_WINDOW, MAX_WINDOW] {
                let quota = Quota::new(limit, window).unwrap();
                assert_eq!((quota.limit(), quota.window()), (limit, window));
            }
        }
        let second = Duration::from_secs(1);
        assert_eq!(Quota::new(0, second), Err(QuotaError::Limit(0)));
        assert_eq!(
            Quota::new(MAX_LIMIT + 1, second),
            Err(QuotaError::Limit(MAX_LIMIT + 1))
        );
        let short = MIN_WINDOW - Duration::from_nanos(1);
        assert_eq!(Quota::new(1, short), Err(QuotaError::Window(short)));
        let long = MAX_WINDOW + Duration::from_nanos(1);
        assert_eq!(Quota::new(1, long), Err(QuotaError::Window(long)));
    }

    #[test]
    fn a_bucket_that_would_take_centuries_to_refill_is_refused() {
        let yearly = Quota::new(1, Duration::from_secs(365 * 86_400)).unwrap();
        assert!(yearly.with_burst(100).is_ok());
        let error = yearly.with_burst(101).unwrap_err();
        assert_eq!(
            error.to_string(),
            "burst: 101 at 1 per 31536000s takes more than 100 years to refill: \
             give a smaller burst or a higher rate"
        );
        assert_eq!(yearly.with_burst(0), Err(QuotaError::Capacity(0)));
        assert_eq!(
            yearly.with_burst(MAX_LIMIT + 1),
            Err(QuotaError::Capacity(MAX_LIMIT + 1))
        );
    }

    #[test]
    fn errors_name_the_field_the_value_and_the_range() {
        let error = Quota::per_minute(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "limit: 0 is out of range: give 1 to 9007199254740992"
        );
    }
}

//! How long decisions took, as a histogram that is cheap to write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of the buckets of [`DecisionTimes`], each of which belongs to its bucket; the last
/// bucket has none. From 10 µs to 100 ms: a store in memory takes less than the first, and no store
/// should take more than the last.
pub const DECISION_TIME_BOUNDS: [Duration; 13] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

const BUCKETS: usize = DECISION_TIME_BOUNDS.len() + 1;

/// How long the decisions of requests took that met a rule, from the question to the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionTimes {
    /// How many there were in each bucket alone, by [`DECISION_TIME_BOUNDS`].
    pub buckets: [u64; BUCKETS],
    /// All of them together.
    pub sum: Duration,
}

impl DecisionTimes {
    /// How many decisions were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What so many hundredths of the decisions took at most: the bound of the bucket in which they
    /// are. None if nothing was timed, or if that bucket has no bound.
    #[must_use]
    pub fn percentile(&self, hundredths: u8) -> Option<Duration> {
        let wanted = (u128::from(self.count()) * u128::from(hundredths)).div_ceil(100);
        let mut below = 0;
        let bucket = self.buckets.iter().position(|count| {
            below += u128::from(*count);
            below > 0 && below >= wanted
        })?;
        DECISION_TIME_BOUNDS.get(bucket).copied()
    }

    /// Adds those of another rule.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.sum += other.sum;
    }
}

/// The same, where it is counted.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let bucket = DECISION_TIME_BOUNDS.iter().position(|bound| took <= *bound);
        self.buckets[bucket.unwrap_or(BUCKETS - 1)].fetch_add(1, Relaxed);
        // Full after 584 years.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Relaxed);
    }

    pub(super) fn read(&self) -> DecisionTimes {
        DecisionTimes {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum: Duration::from_nanos(self.sum_nanos.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histogram = Histogram::default();
        assert!(DECISION_TIME_BOUNDS.is_sorted());
        let micros = [0, 10, 11, 25, 100_000, 100_001, 7_000_000];
        for micros in micros {
            histogram.observe(Duration::from_micros(micros));
        }
        let times = histogram.read();
        assert_eq!(times.buckets[..3], [2, 2, 0]);
        assert_eq!(times.buckets[11..], [0, 1, 2]);
        assert_eq!(times.count(), 7);
        assert_eq!(times.sum, Duration::from_micros(7_200_047));
        let mut twice = times.clone();
        twice.add(&times);
        assert_eq!((twice.count(), twice.sum), (14, 2 * times.sum));
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().percentile(50), None);
        for _ in 0..98 {
            histogram.observe(Duration::from_micros(3));
        }
        histogram.observe(Duration::from_micros(300));
        let at = |hundredths| histogram.read().percentile(hundredths);
        assert_eq!(at(0), Some(Duration::from_micros(10)));
        assert_eq!(at(50), Some(Duration::from_micros(10)));
        assert_eq!(at(98), Some(Duration::from_micros(10)));
        assert_eq!(at(99), Some(Duration::from_micros(500)));
        histogram.observe(Duration::from_secs(1));
        let at = |hundredths| histogram.read().percentile(hundredths);
        assert_eq!((at(99), at(100)), (Some(Duration::from_micros(500)), None));
    }
}

//! Chance for jitter and early refreshes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014) over a shared counter: threads draw without a lock, and the
/// same seed draws the same numbers.
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Above 0 and up to 1, so that it has a logarithm.
    pub(super) fn unit(&self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Any number.
    pub(super) fn bits(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 90 to 100 % of a time.
    pub(super) fn jitter(&self, time: Duration) -> Duration {
        time - time.mul_f64(0.1 * self.unit()).min(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_and_follow_from_the_seed() {
        const DRAWS: usize = 10_000;
        let draw = |seed| {
            let dice = Dice::new(seed);
            (0..DRAWS).map(|_| dice.unit()).collect::<Vec<_>>()
        };
        let numbers = draw(7);
        assert_eq!(numbers, draw(7));
        assert_ne!(numbers, draw(8));
        assert!(numbers.iter().all(|n| *n > 0.0 && *n <= 1.0));
        let below = numbers.iter().filter(|n| **n < 0.25).count();
        assert!((below as f64 / DRAWS as f64 - 0.25).abs() < 0.02, "{below}");
    }

    #[test]
    fn jitter_stays_in_its_tenth_and_uses_all_of_it() {
        let dice = Dice::new(1);
        let ttl = Duration::from_secs(1_000);
        let times: Vec<u64> = (0..1_000).map(|_| dice.jitter(ttl).as_secs()).collect();
        assert!(times.iter().all(|s| (900..=1_000).contains(s)));
        assert!(times.iter().any(|s| *s < 910) && times.iter().any(|s| *s > 990));
        assert_eq!(dice.jitter(Duration::ZERO), Duration::ZERO);
        assert!(dice.jitter(Duration::MAX) <= Duration::MAX);
    }
}

//! How many keys a rule has, and how many of them it never refuses, in bounded memory.
//!
//! Up to a number of keys all of them are counted, and the figures are exact. With more, those are kept whose
//! hash ends with enough zeros: each time there are too many, half of them go. What is kept is chosen
//! by the hash alone, so a key is counted from its first request to its last, or not at all: shares are those of a
//! random sample of half of the bound at least, and the number of keys is that of the sample times 2 for each
//! halving (adaptive sampling; Flajolet: On adaptive sampling, 1990).

use std::collections::HashMap;

use super::KeysReport;

/// The most keys that are kept in all, and at least for each rule.
const MOST: usize = 1 << 21;
const LEAST: usize = 1 << 14;

/// How often a key was refused.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    requests: u32,
    refused: u32,
}

/// The keys of one rule.
#[derive(Debug)]
pub struct Keys {
    kept: Sample<Count>,
}

/// Values by hash of a key, for all keys or a sample of them.
#[derive(Debug)]
pub(super) struct Sample<V> {
    most: usize,
    halvings: u32,
    kept: HashMap<u64, V, foldhash::fast::FixedState>,
}

impl<V> Sample<V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            halvings: 0,
            kept: HashMap::default(),
        }
    }

    /// The value of a key, made if it is new; none if the key is not in the sample.
    pub(super) fn get(&mut self, hash: u64, new: impl FnOnce() -> V) -> Option<&mut V> {
        if hash.trailing_zeros() < self.halvings {
            return None;
        }
        if self.kept.len() >= self.most && !self.kept.contains_key(&hash) {
            while self.kept.len() >= self.most {
                self.halvings += 1;
                let zeros = self.halvings;
                self.kept.retain(|hash, _| hash.trailing_zeros() >= zeros);
            }
            if hash.trailing_zeros() < self.halvings {
                return None;
            }
        }
        Some(self.kept.entry(hash).or_insert_with(new))
    }

    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.kept.values()
    }

    /// How many keys there are, as far as the sample tells.
    pub(super) fn estimate(&self) -> u64 {
        (self.kept.len() as u64) << self.halvings.min(40)
    }

    pub(super) const fn is_exact(&self) -> bool {
        self.halvings == 0
    }
}

impl Keys {
    /// For one of so many rules, which share the memory.
    #[must_use]
    pub fn among(rules: usize) -> Self {
        Self::with_most((MOST / rules.max(1)).max(LEAST))
    }

    /// With so many keys at most.
    #[must_use]
    pub fn with_most(most: usize) -> Self {
        Self {
            kept: Sample::new(most.max(2)),
        }
    }

    /// Counts a request of the key of this hash.
    pub fn note(&mut self, hash: u64, refused: bool) {
        if let Some(count) = self.kept.get(hash, Count::default) {
            count.requests = count.requests.saturating_add(1);
            count.refused = count.refused.saturating_add(u32::from(refused));
        }
    }

    /// What is known of them.
    #[must_use]
    pub fn report(&self) -> KeysReport {
        let sampled = self.kept.values().len();
        let untouched = self
            .kept
            .values()
            .filter(|count| count.refused == 0)
            .count();
        let share = |part: usize| match sampled {
            0 => 1.0,
            _ => part as f64 / sampled as f64,
        };
        let untouched_share = share(untouched);
        let deviation = (untouched_share * (1.0 - untouched_share) / sampled.max(1) as f64).sqrt();
        KeysReport {
            count: self.kept.estimate(),
            exact: self.kept.is_exact(),
            never_refused: untouched_share,
            never_refused_error: if self.kept.is_exact() {
                0.0
            } else {
                2.0 * deviation
            },
            busiest: self
                .kept
                .values()
                .map(|count| u64::from(count.requests))
                .max()
                .unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    /// Every tenth key is refused once.
    fn counted(keys: u64, most: usize) -> KeysReport {
        let mut counted = Keys::with_most(most);
        for round in 0..3 {
            for key in 0..keys {
                let hash = xxh3_64(&key.to_le_bytes());
                counted.note(hash, round == 1 && key % 10 == 0);
            }
        }
        counted.report()
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let report = counted(1_000, 1_000);
        assert_eq!(
            (report.count, report.exact, report.busiest),
            (1_000, true, 3)
        );
        assert!((report.never_refused - 0.9).abs() < 1e-12);
        assert_eq!(report.never_refused_error, 0.0);
    }

    #[test]
    fn many_keys_are_a_sample_within_its_error() {
        let report = counted(200_000, 4_096);
        assert!(!report.exact);
        let error = report.never_refused_error;
        assert!(error > 0.0 && error < 0.02, "{error}");
        // Twice the deviation on either side; the hash is fixed, so this never changes.
        assert!((report.never_refused - 0.9).abs() <= error, "{report:?}");
        assert!(
            (report.count as f64 / 200_000.0 - 1.0).abs() < 0.1,
            "{report:?}"
        );
    }

    #[test]
    fn no_keys_are_untouched() {
        let report = Keys::among(3).report();
        assert_eq!(
            (report.count, report.never_refused, report.busiest),
            (0, 1.0, 0)
        );
    }
}

//! Which limit would leave most keys alone.
//!
//! For each counter, the most that it was asked for in any interval of a unit is found: its peak. A limit that is
//! not below the peak of a key never refuses it, so the limit for a share of the keys is that quantile of their peaks.
//!
//! - A peak is counted in slots of a sixteenth of the unit, over 17 of them: never less than the most in any interval
//!   of the unit, and never more than in any of 17 sixteenths. So limits err on the side of letting through.
//! - What holds in every interval holds for `sliding_log`, `fixed_window` and all buckets whose burst is the
//!   limit. A `sliding_counter` may count more than there was: there, the peak is that of its own estimate.
//! - Keys are counted up to a bound, and sampled beyond it, as in [`keys`](super::keys).

use std::time::Duration;

use tollgate_limit::policy::Rule;
use tollgate_limit::{
    Algorithm as _, AlgorithmKind, MAX_LIMIT, Moment, Quota, SlidingCounter, SlidingCounterState,
};
use xxhash_rust::xxh3::xxh3_64;

use super::Suggestion;
use super::keys::Sample;

/// The most keys that are kept in all, and at least for each rule.
const MOST: usize = 1 << 18;
const LEAST: usize = 1 << 12;
/// A unit has so many slots.
const SLOTS: u64 = 16;
/// An interval of a unit touches at most so many.
const TOUCHED: usize = 17;
/// Units by their name in policies.
const UNITS: [(&str, u64); 4] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
];

/// A share of keys: above 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// This share; none if it is out of range.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then_some(Self(share))
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// What the counters of one rule were asked for.
#[derive(Debug)]
pub(super) struct Demand {
    units: Vec<Unit>,
    keys: Sample<Box<[Peak]>>,
}

#[derive(Debug)]
struct Unit {
    /// As policies name it; none for a window.
    name: Option<&'static str>,
    window: Duration,
    /// What estimates, for a rule by a sliding counter.
    counter: Option<SlidingCounter>,
}

/// The peak of one key in one unit.
#[derive(Debug, Clone)]
enum Peak {
    Slots(Slots),
    Estimate {
        state: SlidingCounterState,
        most: u64,
    },
}

#[derive(Debug, Clone, Default)]
struct Slots {
    /// The number of the newest slot.
    newest: u64,
    counts: [u32; TOUCHED],
    sum: u64,
    most: u64,
}

impl Slots {
    fn note(&mut self, slot: u64, cost: u64) {
        let passed = slot.saturating_sub(self.newest);
        if passed >= TOUCHED as u64 {
            self.counts = [0; TOUCHED];
            self.sum = 0;
        } else {
            for number in self.newest + 1..=self.newest + passed {
                let place = (number % TOUCHED as u64) as usize;
                self.sum -= u64::from(std::mem::take(&mut self.counts[place]));
            }
        }
        self.newest += passed;
        let place = &mut self.counts[(self.newest % TOUCHED as u64) as usize];
        let before = *place;
        *place = place.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
        self.sum += u64::from(*place - before);
        self.most = self.most.max(self.sum);
    }
}

impl Peak {
    fn most(&self) -> u64 {
        match self {
            Self::Slots(slots) => slots.most,
            Self::Estimate { most, .. } => *most,
        }
    }
}

impl Demand {
    /// For a rule that has a limit, one of so many, which share the memory.
    pub(super) fn of(rule: &Rule, rules: usize) -> Option<Self> {
        let limiter = rule.limiter()?;
        let own = limiter.quota().window();
        let counts = limiter.kind() == AlgorithmKind::SlidingCounter;
        let mut windows: Vec<(Option<&str>, Duration)> = UNITS
            .map(|(name, seconds)| (Some(name), Duration::from_secs(seconds)))
            .into();
        if windows.iter().all(|(_, window)| *window != own) {
            windows.push((None, own));
            windows.sort_by_key(|(_, window)| *window);
        }
        let units = windows.into_iter().map(|(name, window)| Unit {
            name,
            window,
            counter: counts
                .then(|| Quota::new(MAX_LIMIT, window).map(SlidingCounter::new).ok())
                .flatten(),
        });
        Some(Self {
            units: units.collect(),
            keys: Sample::new((MOST / rules.max(1)).max(LEAST)),
        })
    }

    /// Counts a request of a key, in nanoseconds since the epoch.
    pub(super) fn note(&mut self, key: &[u8], nanos: u64, cost: u64) {
        let units = &self.units;
        let new = || {
            let new = units.iter().map(|unit| match unit.counter {
                None => Peak::Slots(Slots::default()),
                Some(_) => Peak::Estimate {
                    state: SlidingCounterState::default(),
                    most: 0,
                },
            });
            new.collect()
        };
        let Some(peaks) = self.keys.get(xxh3_64(key), new) else {
            return;
        };
        for (unit, peak) in units.iter().zip(peaks.iter_mut()) {
            match (peak, unit.counter) {
                (Peak::Estimate { state, most }, Some(counter)) => {
                    let decision = counter.decide(state, Moment::from_nanos(nanos), cost);
                    *most = (*most).max(MAX_LIMIT - decision.remaining());
                }
                (Peak::Slots(slots), _) => {
                    // The shortest window is a millisecond.
                    let slot = u64::try_from(unit.window.as_nanos()).unwrap_or(u64::MAX) / SLOTS;
                    slots.note(nanos / slot, cost);
                }
                (Peak::Estimate { .. }, None) => {}
            }
        }
    }

    /// The least limits, one a unit, that leave this share of the keys alone.
    pub(super) fn suggest(&self, share: Share) -> Vec<Suggestion> {
        let keys = self.keys.values().len();
        if keys == 0 {
            return Vec::new();
        }
        // Of 3 keys, a share of 0.5 needs 2.
        let place = ((share.get() * keys as f64).ceil() as usize).clamp(1, keys) - 1;
        let units = self.units.iter().enumerate();
        units
            .map(|(number, unit)| {
                let mut peaks: Vec<u64> = self
                    .keys
                    .values()
                    .map(|peaks| peaks[number].most())
                    .collect();
                peaks.sort_unstable();
                Suggestion {
                    unit: unit.name.map(str::to_owned),
                    window_ms: u64::try_from(unit.window.as_millis()).unwrap_or(u64::MAX),
                    limit: peaks[place],
                    highest: peaks[keys - 1],
                    keys: self.keys.estimate(),
                    exact: self.keys.is_exact(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_limit::policy::PolicySet;

    use super::*;

    const UNIT: u64 = 16_000;

    /// The most in any half-open interval of so much that begins with a request.
    fn most_in(times: &[u64], length: u64) -> u64 {
        let from = |start: u64| {
            times
                .iter()
                .filter(move |t| (start..start + length).contains(*t))
        };
        times
            .iter()
            .map(|t| from(*t).count() as u64)
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn a_peak_is_between_that_of_a_unit_and_of_17_sixteenths(
            steps in prop::collection::vec(prop_oneof![0..400_u64, 0..40_000_u64], 1..120),
        ) {
            let mut slots = Slots::default();
            let mut times = Vec::new();
            let mut now = 0;
            for step in steps {
                now += step;
                times.push(now);
                slots.note(now / (UNIT / SLOTS), 1);
            }
            prop_assert!(slots.most >= most_in(&times, UNIT));
            prop_assert!(slots.most <= most_in(&times, UNIT / SLOTS * TOUCHED as u64));
        }
    }

    #[test]
    fn the_quantile_of_the_peaks_is_proposed() {
        let policies = PolicySet::parse(
            "p",
            "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {window: 90s, requests_per_unit: 1, algorithm: sliding_log}\n",
        )
        .unwrap();
        let mut demand = Demand::of(&policies.rules()[0], 1).unwrap();
        // Key n asks n times at once, and as often again a minute and a half later.
        for key in 1..=10_u64 {
            for nanos in [1_000_000_000_000, 1_095_700_000_000] {
                (0..key).for_each(|_| demand.note(&key.to_le_bytes(), nanos, 2));
            }
        }
        let at = |share: f64| demand.suggest(Share::new(share).unwrap());
        let limits: Vec<(u64, u64)> = at(0.9).iter().map(|s| (s.window_ms, s.limit)).collect();
        assert_eq!(
            limits,
            [
                (1_000, 18),
                (60_000, 18),
                (90_000, 18),
                (3_600_000, 36),
                (86_400_000, 36)
            ]
        );
        assert_eq!(at(0.91)[0].limit, 20);
        assert_eq!(at(0.01)[0].limit, 2);
        assert!(
            at(1.0)
                .iter()
                .all(|s| s.limit == s.highest && s.keys == 10 && s.exact)
        );
        for share in [0.0, -1.0, 1.1, f64::NAN] {
            assert_eq!(Share::new(share), None);
        }
    }
}

//! Algorithms side by side, on the same made traffic.
//!
//! Each decides the same requests in a store in memory of its own, as a server keeps it, on a clock that the
//! traffic sets. What it lets through is compared with an exact log of the last window of what it let through itself.

mod fleet;
mod passed;
mod picture;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota, QuotaError};

pub use self::fleet::Fleet;
use self::passed::Passed;
pub use self::picture::{PictureError, draw};
use crate::traffic::{Place, Scale, Shape, generator, times};

/// Any will do: keys are made, not chosen.
const SEED: u64 = 0x51a1_70b5;
/// How many points the run is divided into, to tell what was let through over time.
pub const POINTS: usize = 120;
/// The most requests of one run.
pub const MOST_REQUESTS: u64 = 20_000_000;
/// A run begins on a full day, and so on the full minute and hour.
const START_MILLIS: i64 = 1_735_689_600_000;
/// Keys of the run that finds how much memory one takes, at most and at least.
const MEASURED_KEYS: [u64; 2] = [128, 1_024];
/// Requests of that run, if there are keys enough.
const MEASURED_REQUESTS: u64 = 1 << 17;

/// What comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Traffic {
    /// At even distances.
    Steady,
    /// Independent requests.
    Poisson,
    /// Twice the load for three quarters of a window, then nothing for as long.
    Bursty,
    /// Two windows' worth about each second boundary of windows.
    Boundary,
    /// Many keys, of which the first asks most, the second half of that, the third a third.
    Zipf,
    /// Independent requests to several servers that share a Redis, which fails for a while.
    Fleet(Fleet),
}

impl Traffic {
    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Poisson => "poisson",
            Self::Bursty => "bursty",
            Self::Boundary => "boundary",
            Self::Zipf => "zipf",
            Self::Fleet(_) => "fleet",
        }
    }

    fn shape(&self, load: f64, key: u64) -> Shape {
        match self {
            Self::Steady => Shape::Even(load),
            Self::Poisson | Self::Fleet(_) => Shape::Steady(load),
            Self::Bursty => Shape::Wave { load, period: 1.5 },
            Self::Boundary => Shape::Packed {
                load,
                place: Place::InTurn,
            },
            Self::Zipf => Shape::Steady(load / (key + 1) as f64),
        }
    }
}

/// What is compared, and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What comes.
    pub traffic: Traffic,
    /// Which algorithms.
    pub algorithms: Vec<AlgorithmKind>,
    /// The limit.
    pub quota: Quota,
    /// The capacity of buckets; the limit, if it is not given.
    pub burst: Option<u64>,
    /// What comes on average to each key, as a multiple of the limit; with [`Traffic::Zipf`], to the first.
    pub load: f64,
    /// For how many windows.
    pub windows: u64,
    /// How many keys there are.
    pub keys: u64,
    /// Other seeds make other traffic.
    pub seed: u64,
}

impl Options {
    /// How many requests are made, about.
    #[must_use]
    pub fn expected_requests(&self) -> f64 {
        let keys = self.keys as f64;
        let per_key = self.load * self.quota.limit() as f64 * self.windows as f64;
        match self.traffic {
            // The sum of 1/n is about the logarithm.
            Traffic::Zipf => per_key * (libm::log(keys.max(1.0)) + 1.0),
            _ => per_key * keys,
        }
    }
}

/// A run that cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// The burst does not go with the limit.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// There would be too many requests, or none.
    #[error(
        "{0:.0} requests are to be made: give a load, windows and keys that make 1 to {MOST_REQUESTS}"
    )]
    Requests(f64),
    /// The traffic has no servers, or the outage is not within the run.
    #[error("a fleet has 1 to 1000 servers, and an outage ends after it begins")]
    Fleet,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What came.
    pub traffic: &'static str,
    /// The limit.
    pub limit: u64,
    /// The window.
    pub window_ms: u64,
    /// The capacity of buckets.
    pub burst: u64,
    /// The mean load, as a multiple of the limit.
    pub load: f64,
    /// How many windows.
    pub windows: u64,
    /// How many keys.
    pub keys: u64,
    /// The seed.
    pub seed: u64,
    /// How many requests.
    pub requests: u64,
    /// When the store did not answer, in windows from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<[f64; 2]>,
    /// How many requests came, in each of [`POINTS`] equal parts of the run.
    pub offered: Vec<u64>,
    /// The algorithms, in the order that was asked for.
    pub outcomes: Vec<Outcome>,
}

/// What one algorithm made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Which algorithm.
    pub algorithm: &'static str,
    /// What it did while the store failed, if that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_store_failure: Option<&'static str>,
    /// How many passed.
    pub admitted: u64,
    /// How many did not.
    pub refused: u64,
    /// How many passed after waiting.
    pub delayed: u64,
    /// The longest wait.
    pub longest_delay_ms: u64,
    /// The most of one key that passed in any interval of a window, wherever it begins.
    pub worst_window: u64,
    /// The most of one key that passed in any interval of a tenth of a window.
    pub worst_tenth: u64,
    /// How many passed that an exact log of what had passed would have refused.
    pub false_allow: u64,
    /// How many were refused that it would have let through.
    pub false_deny: u64,
    /// The bytes that a busy key takes in memory.
    pub bytes_per_key: u64,
    /// Commands to a Redis, if the states are kept there.
    pub redis_commands: u64,
    /// How many passed, in each of [`POINTS`] equal parts of the run.
    pub passed: Vec<u64>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    /// Nanoseconds since the start.
    at: u64,
    key: u64,
}

/// Runs the traffic through the algorithms.
///
/// # Errors
/// [`CompareError`], if the options make no sense.
pub fn compare(options: &Options) -> Result<Comparison, CompareError> {
    let scale = Scale {
        limit: options.quota.limit(),
        window: u64::try_from(options.quota.window().as_nanos()).unwrap_or(u64::MAX),
        windows: options.windows,
    };
    let expected = options.expected_requests();
    if !(1.0..=MOST_REQUESTS as f64).contains(&expected) || options.windows == 0 {
        return Err(CompareError::Requests(expected));
    }
    let length = scale.window.saturating_mul(scale.windows);
    let arrivals = arrivals(options, scale, length);
    let mut offered = vec![0; POINTS];
    for arrival in &arrivals {
        offered[point(arrival.at, length)] += 1;
    }
    let limiters = options
        .algorithms
        .iter()
        .map(|kind| Limiter::new(*kind, options.quota, options.burst));
    let limiters: Vec<Limiter> = limiters.collect::<Result<_, _>>()?;
    let mut outcomes = Vec::new();
    for limiter in &limiters {
        let made = match &options.traffic {
            Traffic::Fleet(fleet) => fleet.run(limiter, options, scale, &arrivals)?,
            _ => vec![alone(limiter, scale, &arrivals)],
        };
        let bytes_per_key = bytes_per_key(limiter);
        outcomes.extend(made.into_iter().map(|outcome| Outcome {
            bytes_per_key,
            ..outcome
        }));
    }
    Ok(Comparison {
        traffic: options.traffic.name(),
        limit: scale.limit,
        window_ms: scale.window / 1_000_000,
        burst: options.burst.unwrap_or(scale.limit),
        load: options.load,
        windows: options.windows,
        keys: options.keys,
        seed: options.seed,
        requests: arrivals.len() as u64,
        outage: match &options.traffic {
            Traffic::Fleet(fleet) => Some(fleet.outage),
            _ => None,
        },
        offered,
        outcomes,
    })
}

fn arrivals(options: &Options, scale: Scale, length: u64) -> Vec<Arrival> {
    let name = options.traffic.name();
    let all = (0..options.keys).flat_map(|key| {
        let mut random = generator(name, options.seed, key);
        let made = times(options.traffic.shape(options.load, key), scale, &mut random);
        made.into_iter().map(move |at| Arrival { at, key })
    });
    let mut arrivals: Vec<Arrival> = all.filter(|arrival| arrival.at < length).collect();
    arrivals.sort_unstable();
    arrivals
}

fn point(at: u64, length: u64) -> usize {
    let point = u128::from(at) * POINTS as u128 / u128::from(length.max(1));
    (point as usize).min(POINTS - 1)
}

/// A clock at the start of runs.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixMillis::from_millis(START_MILLIS)))
}

fn store(clock: Arc<dyn Clock>) -> MemoryStore {
    MemoryStore::new(MemoryOptions::with_seed(SEED), clock)
}

/// One algorithm in one store.
fn alone(limiter: &Limiter, scale: Scale, arrivals: &[Arrival]) -> Outcome {
    let clock = clock();
    let store = store(Arc::clone(&clock) as _);
    let mut passed = Passed::new(scale);
    let mut now = 0;
    for arrival in arrivals {
        clock.advance(Duration::from_nanos(arrival.at - now));
        now = arrival.at;
        let shaped = store.decide_one(&arrival.key.to_le_bytes(), limiter, 1);
        let delay = shaped.decision.allowed().then_some(shaped.delay);
        passed.note(*arrival, delay);
    }
    Outcome {
        // Each decision is one call of a script.
        redis_commands: arrivals.len() as u64,
        ..passed.outcome(limiter)
    }
}

/// The bytes that a key takes in a store where many have used up their limit, as far as 1,000 requests of it.
fn bytes_per_key(limiter: &Limiter) -> u64 {
    let clock = clock();
    let store = MemoryStore::new(
        MemoryOptions {
            shards: 1,
            ..MemoryOptions::with_seed(SEED)
        },
        Arc::clone(&clock) as _,
    );
    let empty = store.stats().bytes;
    let asked = limiter.most().clamp(1, 1_000);
    let step = limiter.quota().window() / 2 / u32::try_from(asked).unwrap_or(u32::MAX);
    let [least, most] = MEASURED_KEYS;
    // A power of two, as tables grow by them.
    let keys = (1 << (MEASURED_REQUESTS / asked).ilog2()).clamp(least, most);
    for _ in 0..asked {
        for key in 0..keys {
            // What remains of the decision is the state.
            let _ = store.decide_one(&key.to_le_bytes(), limiter, 1);
        }
        clock.advance(step);
    }
    (store.stats().bytes - empty) as u64 / keys
}

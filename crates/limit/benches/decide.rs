//! Decisions a second on random string keys, beside the keyed limiter of `governor`.
//!
//! Both take their turns in one process, round by round, on the same keys in the same random
//! order; with one thread and with two. Every key has a burst that it never uses up and a rate far
//! below its use, so that each decision passes and is charged, and no key expires: the dearest case.

// Set-up may fail as loudly as tests do.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::{Quota as GovernorQuota, RateLimiter};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tollgate_clock::CounterClock;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

/// One a second, and so many at once.
const BURST: u32 = 1_000_000;
/// Decisions between two looks at the clock.
const BATCH: usize = 256;
/// Requests for which a front end reads the clock once.
const PIPELINE: usize = 16;

struct Options {
    keys: u64,
    rounds: usize,
    milliseconds: u64,
    algorithm: AlgorithmKind,
}

impl Options {
    /// `--name value`, in any order; cargo's own `--bench` is skipped.
    fn parse() -> Self {
        let mut options = Self {
            keys: 100_000,
            rounds: 25,
            milliseconds: 300,
            algorithm: AlgorithmKind::Gcra,
        };
        let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap();
            match name.as_str() {
                "--keys" => options.keys = value.parse().unwrap(),
                "--rounds" => options.rounds = value.parse().unwrap(),
                "--milliseconds" => options.milliseconds = value.parse().unwrap(),
                "--algorithm" => options.algorithm = AlgorithmKind::from_name(&value).unwrap(),
                _ => panic!("no option is named {name}"),
            }
        }
        options
    }
}

/// One a second with a deep burst; windows have none, so they get a long one.
fn limiter(kind: AlgorithmKind) -> Limiter {
    let quota = if kind.takes_burst() {
        Quota::per_second(1)
    } else {
        Quota::new(u64::from(BURST), Duration::from_secs(86_400))
    };
    Limiter::new(kind, quota.unwrap(), Some(u64::from(BURST))).unwrap()
}

/// Runs `decide` on random keys by so many threads; decisions a second.
///
/// Keys come in batches that have just been written, as a server has just read them: the time to
/// get at a key's text does not count. The median of the batches is taken, so that being set aside
/// by other programs does not count either.
fn round<F>(threads: usize, time: Duration, keys: u64, decide: F) -> f64
where
    F: Fn(&[String]) + Sync,
{
    let gate = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads as u64)
            .map(|number| {
                let (gate, decide) = (&gate, &decide);
                scope.spawn(move || {
                    let mut random = ChaCha8Rng::seed_from_u64(number);
                    let mut batch = vec![String::new(); BATCH];
                    let mut times = Vec::with_capacity(1 << 20);
                    gate.wait();
                    let start = Instant::now();
                    while start.elapsed() < time {
                        for key in &mut batch {
                            write_key(key, random.next_u64() % keys);
                        }
                        let begun = Instant::now();
                        decide(&batch);
                        times.push(begun.elapsed().as_secs_f64());
                    }
                    BATCH as f64 / median(times.into_iter())
                })
            })
            .collect();
        running.into_iter().map(|t| t.join().unwrap()).sum()
    })
}

/// The text of a key, in the memory that the one before it had.
fn write_key(key: &mut String, number: u64) {
    key.clear();
    // Scattered, as identifiers are; an odd factor keeps them different.
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    write!(key, "user:{scattered:016x}").unwrap();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let options = Options::parse();
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let governor = RateLimiter::keyed(
        GovernorQuota::per_second(NonZeroU32::MIN).allow_burst(NonZeroU32::new(BURST).unwrap()),
    );
    let store = MemoryStore::new(
        MemoryOptions::with_seed(random.next_u64()),
        Arc::new(CounterClock::new()),
    );
    let limiter = limiter(options.algorithm);
    let own = |keys: &[String]| {
        for key in keys {
            let shaped = store.decide_one(key.as_bytes(), &limiter, 1);
            black_box(shaped.decision.allowed());
        }
    };
    // As by a front end that finds some requests at once in what it has read.
    let pipelined = |keys: &[String]| {
        for some in keys.chunks(PIPELINE) {
            let now = store.now();
            for key in some {
                let shaped = store.decide_at(now, key.as_bytes(), &limiter, 1);
                black_box(shaped.decision.allowed());
            }
        }
    };
    let other = |keys: &[String]| {
        for key in keys {
            // It too tells when to retry, as whoever answers a client has to.
            if let Err(until) = governor.check_key(key) {
                black_box(until.wait_time_from(governor.clock().now()));
            }
        }
    };

    let time = Duration::from_millis(options.milliseconds);
    println!(
        "{} keys, {}, {} rounds of {time:?} each",
        options.keys,
        options.algorithm.name(),
        options.rounds,
    );
    let mut result = String::new();
    for threads in [1, 2] {
        let mut rounds = Vec::new();
        // Once before it counts: the keys are there, the caches warm.
        for number in 0..=options.rounds {
            let rates = [
                round(threads, time, options.keys, own),
                round(threads, time, options.keys, pipelined),
                round(threads, time, options.keys, other),
            ];
            if number > 0 {
                rounds.push(rates);
            }
        }
        let rate = |of: usize| median(rounds.iter().map(|rates| rates[of]));
        let ratio = |of: usize| median(rounds.iter().map(|rates| rates[of] / rates[2]));
        println!(
            "{threads} threads: tollgate {:.2}, with the clock read once for {PIPELINE} {:.2}, \
             governor {:.2} million decisions/s; ratio {:.2} and {:.2}",
            rate(0) / 1e6,
            rate(1) / 1e6,
            rate(2) / 1e6,
            ratio(0),
            ratio(1),
        );
        result += &format!(
            " tollgate_{threads}={:.0} pipelined_{threads}={:.0} governor_{threads}={:.0} \
             ratio_{threads}={:.3} pipelined_ratio_{threads}={:.3}",
            rate(0),
            rate(1),
            rate(2),
            ratio(0),
            ratio(1),
        );
    }
    let stats = store.stats();
    println!("{} keys in {} bytes", stats.keys, stats.bytes);
    println!("RESULT decide keys={}{result}", options.keys);
}

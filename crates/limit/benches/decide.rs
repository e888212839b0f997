//! Decisions a second on random string keys, beside the keyed limiter of `governor`.
//!
//! Both take their turns in one process, round by round, on the same keys in the same random
//! order; with one thread and with two. Every key has a burst that it never uses up and a rate far
//! below its use, so that each decision passes and is charged, and no key expires: the dearest case.

// Set-up may fail as loudly as tests do.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::{Quota as GovernorQuota, RateLimiter};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tollgate_clock::SystemClock;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

/// One a second, and so many at once.
const BURST: u32 = 1_000_000;
/// Keys are drawn in this many steps, and then again from the start.
const ORDER: usize = 1 << 20;

struct Options {
    keys: usize,
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

/// Decisions a second: by the clock, and by the time that the threads had a processor, which says
/// more on a machine that has other things to do.
#[derive(Clone, Copy)]
struct Rate {
    wall: f64,
    processor: f64,
}

/// Seconds that this thread had a processor.
fn processor_seconds() -> f64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    line.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Runs `decide` on random keys by so many threads.
fn round<F>(threads: usize, time: Duration, keys: &[String], order: &[u32], decide: F) -> Rate
where
    F: Fn(&String) -> bool + Sync,
{
    let gate = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let (gate, decide) = (&gate, &decide);
                scope.spawn(move || {
                    gate.wait();
                    let (start, used) = (Instant::now(), processor_seconds());
                    let mut done = 0_u32;
                    let mut at = number * order.len() / threads;
                    // The time is read once for so many that it does not count.
                    while start.elapsed() < time {
                        for _ in 0..4_096 {
                            black_box(decide(&keys[order[at] as usize]));
                            at = (at + 1) % order.len();
                        }
                        done += 4_096;
                    }
                    Rate {
                        wall: f64::from(done) / start.elapsed().as_secs_f64(),
                        processor: f64::from(done) / (processor_seconds() - used),
                    }
                })
            })
            .collect();
        let rates = running.into_iter().map(|thread| thread.join().unwrap());
        rates
            .reduce(|sum, rate| Rate {
                wall: sum.wall + rate.wall,
                processor: sum.processor + rate.processor,
            })
            .unwrap()
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let options = Options::parse();
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let keys: Vec<String> = (0..options.keys)
        .map(|_| format!("user:{:016x}", random.next_u64()))
        .collect();
    let most = u32::try_from(keys.len()).unwrap();
    let order: Vec<u32> = (0..ORDER).map(|_| random.next_u32() % most).collect();

    let governor = RateLimiter::keyed(
        GovernorQuota::per_second(NonZeroU32::MIN).allow_burst(NonZeroU32::new(BURST).unwrap()),
    );
    let store = MemoryStore::new(
        MemoryOptions::with_seed(random.next_u64()),
        Arc::new(SystemClock::new()),
    );
    let limiter = limiter(options.algorithm);
    let ours = |key: &String| {
        let shaped = store.decide_one(key.as_bytes(), &limiter, 1);
        shaped.decision.allowed()
    };
    // Both tell when to retry, as whoever answers a client has to.
    let theirs = |key: &String| match governor.check_key(key) {
        Ok(()) => true,
        Err(until) => {
            black_box(until.wait_time_from(governor.clock().now()));
            false
        }
    };

    let time = Duration::from_millis(options.milliseconds);
    println!(
        "{} keys, {}, {} rounds of {time:?} each",
        keys.len(),
        options.algorithm.name(),
        options.rounds,
    );
    let mut result = String::new();
    for threads in [1, 2] {
        // Once before it counts: the keys are there, the caches warm.
        let _ = round(threads, time, &keys, &order, ours);
        let _ = round(threads, time, &keys, &order, theirs);
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let pair = (
                round(threads, time, &keys, &order, ours),
                round(threads, time, &keys, &order, theirs),
            );
            rounds.push(pair);
        }
        let ratios = |of: fn(Rate) -> f64| median(rounds.iter().map(|(a, b)| of(*a) / of(*b)));
        let own = median(rounds.iter().map(|pair| pair.0.wall));
        let other = median(rounds.iter().map(|pair| pair.1.wall));
        let (wall, processor) = (ratios(|rate| rate.wall), ratios(|rate| rate.processor));
        println!(
            "{threads} threads: tollgate {:.2}, governor {:.2} million decisions/s; ratio {wall:.2}, \
             by processor time {processor:.2}",
            own / 1e6,
            other / 1e6
        );
        result += &format!(
            " tollgate_{threads}={own:.0} governor_{threads}={other:.0} ratio_{threads}={wall:.3} \
             ratio_cpu_{threads}={processor:.3}"
        );
    }
    let stats = store.stats();
    println!("{} keys in {} bytes", stats.keys, stats.bytes);
    println!("RESULT decide keys={}{result}", keys.len());
}

//! Decisions a second of the store in Redis, with many in flight.
//!
//! One round: so many tasks on one thread ask for decisions on random keys, each for the next one
//! when it has its answer, as the requests of as many clients do. `benches/redis/run` starts it, beside the
//! same script called without us.

// Set-up may fail as loudly as tests do.
#![allow(clippy::unwrap_used)]

use std::rc::Rc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::task::LocalSet;
use tollgate_limit::store::{Charge, LimitKey, LimitStore, RedisOptions, RedisStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

/// A limit that is never met: a million at once, and as many a second.
const LIMIT: u64 = 1_000_000;

struct Options {
    url: String,
    keys: u64,
    decisions: u64,
    in_flight: u64,
}

impl Options {
    /// `--name value`, in any order; cargo's own `--bench` is skipped.
    fn parse() -> Self {
        let mut options = Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            keys: 100_000,
            decisions: 500_000,
            in_flight: 64,
        };
        let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap();
            match name.as_str() {
                "--url" => options.url = value,
                "--keys" => options.keys = value.parse().unwrap(),
                "--decisions" => options.decisions = value.parse().unwrap(),
                "--in-flight" => options.in_flight = value.parse().unwrap(),
                _ => panic!("no option is named {name}"),
            }
        }
        options
    }
}

/// Takes so many decisions, one after the other; how long each took.
async fn client(store: &RedisStore, seed: u64, keys: u64, decisions: u64) -> Vec<Duration> {
    let quota = Quota::per_second(LIMIT).unwrap();
    let limiter = Limiter::new(AlgorithmKind::Gcra, quota, Some(LIMIT)).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut times = Vec::new();
    for _ in 0..decisions {
        // Twelve digits, which `redis-benchmark` fills in too.
        let key = format!("bench|user={:012}|", random.next_u64() % keys);
        let charge = Charge {
            key: LimitKey::new(key.as_bytes()).unwrap(),
            limiter,
            cost: 1,
            binds: true,
            leased: false,
        };
        let begun = Instant::now();
        let shaped = store.decide(&[charge]).await.unwrap();
        times.push(begun.elapsed());
        assert!(shaped.iter().all(|shaped| shaped.decision.allowed()));
    }
    times
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::parse();
    // Other programs may hold the processor for longer than the usual deadline.
    let patient = RedisOptions {
        deadline: Duration::from_secs(10),
        ..RedisOptions::default()
    };
    let store = Rc::new(RedisStore::connect(&options.url, patient).await.unwrap());
    let each = options.decisions / options.in_flight;
    let begun = Instant::now();
    let times = LocalSet::new()
        .run_until(async {
            let clients: Vec<_> = (0..options.in_flight)
                .map(|seed| {
                    let store = Rc::clone(&store);
                    tokio::task::spawn_local(async move {
                        client(&store, seed, options.keys, each).await
                    })
                })
                .collect();
            let mut times = Vec::new();
            for client in clients {
                times.extend(client.await.unwrap());
            }
            times
        })
        .await;
    let took = begun.elapsed();
    let mut times = times;
    times.sort_unstable();
    println!(
        "RESULT rate={:.0} p99_us={:.0}",
        times.len() as f64 / took.as_secs_f64(),
        times[times.len() * 99 / 100].as_secs_f64() * 1e6,
    );
}

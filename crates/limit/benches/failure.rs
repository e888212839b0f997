//! How long decisions take while Redis is well, away and back.
//!
//! Two loads run side by side: one asks a service, whose store has its breaker, as a server does; the
//! other asks the store itself, so that every decision waits for the deadline while Redis hangs. A
//! third one only waits for the deadline: what that takes longer is the doing of the machine.
//!
//! Each line of the input is the name of a phase that begins; with the end of the input the figures
//! of all phases are printed. `benches/failure/run` writes it, and ends and starts Redis meanwhile.

// Set-up may fail as loudly as tests do.
#![allow(clippy::unwrap_used)]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tollgate_clock::SystemClock;
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckRequest, LimitService};
use tollgate_limit::store::{
    BreakerOptions, Charge, Guarded, LimitKey, LimitStore as _, MemoryOptions, MemoryStore,
    RedisOptions, RedisStore,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

struct Options {
    redis: String,
    deadline: Duration,
    tasks: usize,
    /// Between an answer and the next question of a task.
    pause: Duration,
}

impl Options {
    /// `--name value`, in any order; cargo's own `--bench` is skipped.
    fn parse() -> Option<Self> {
        let mut options = Self {
            redis: String::new(),
            deadline: Duration::from_millis(5),
            tasks: 8,
            pause: Duration::from_millis(4),
        };
        let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap();
            let milliseconds = || Duration::from_millis(value.parse().unwrap());
            match name.as_str() {
                "--redis" => options.redis = value,
                "--deadline" => options.deadline = milliseconds(),
                "--pause" => options.pause = milliseconds(),
                "--tasks" => options.tasks = value.parse().unwrap(),
                _ => panic!("no option is named {name}"),
            }
        }
        (!options.redis.is_empty()).then_some(options)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Service,
    Store,
    Timer,
}

const ALL: [(What, &str); 3] = [
    (What::Service, "service"),
    (What::Store, "store"),
    (What::Timer, "timer"),
];

#[derive(Debug, Clone, Copy)]
struct Sample {
    phase: usize,
    what: What,
    took: Duration,
    by_redis: bool,
}

struct Load {
    service: LimitService,
    store: RedisStore,
    deadline: Duration,
    phase: AtomicUsize,
    end: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl Load {
    async fn new(options: &Options) -> Self {
        let connect = async || {
            let redis = RedisOptions {
                deadline: options.deadline,
                ..RedisOptions::default()
            };
            RedisStore::connect(&options.redis, redis).await.unwrap()
        };
        let clock = Arc::new(SystemClock::new());
        let guarded = Guarded::new(connect().await, BreakerOptions::default(), clock.clone());
        let fallback = MemoryStore::new(MemoryOptions::with_seed(1), clock);
        let policies = "
domain: shop
descriptors:
  - {key: user, rate_limit: {unit: second, requests_per_unit: 100, on_store_failure: local}}
";
        let policies = PolicySet::parse("bench.yaml", policies).unwrap();
        Self {
            service: LimitService::new(policies, Arc::new(guarded), Arc::new(fallback)),
            store: connect().await,
            deadline: options.deadline,
            phase: AtomicUsize::new(0),
            end: AtomicBool::new(false),
            samples: Mutex::default(),
        }
    }

    /// Decides once. Whether Redis did.
    async fn once(&self, what: What, user: &str) -> bool {
        match what {
            What::Service => {
                let request = CheckRequest {
                    domain: "shop".to_owned(),
                    descriptors: vec![Descriptor::of([("user", user)])],
                    hits: 1,
                };
                let answer = self.service.check(&request).await.unwrap();
                answer.statuses[0].failure.is_none()
            }
            What::Store => {
                let quota = Quota::per_second(100).unwrap();
                let charge = Charge {
                    key: LimitKey::new(format!("shop|store={user}|").as_bytes()).unwrap(),
                    limiter: Limiter::new(AlgorithmKind::Gcra, quota, None).unwrap(),
                    cost: 1,
                    binds: true,
                    leased: false,
                };
                self.store.decide(&[charge]).await.is_ok()
            }
            What::Timer => timeout(self.deadline, pending::<bool>()).await.is_ok(),
        }
    }

    async fn run(self: Arc<Self>, what: What, user: String, pause: Duration) {
        while !self.end.load(Ordering::Relaxed) {
            let phase = self.phase.load(Ordering::Relaxed);
            let started = Instant::now();
            let by_redis = self.once(what, &user).await;
            let sample = Sample {
                phase,
                what,
                took: started.elapsed(),
                by_redis,
            };
            // What began in one phase and ended in the next belongs to both.
            if self.phase.load(Ordering::Relaxed) == phase {
                self.samples.lock().push(sample);
            } else {
                let phase = phase + 1;
                self.samples
                    .lock()
                    .extend([sample, Sample { phase, ..sample }]);
            }
            sleep(pause).await;
        }
    }
}

fn print(names: &[String], samples: &[Sample]) {
    println!(
        "{:10}{:>9}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "phase", "asked", "decisions", "by Redis", "p50 us", "p99 us", "p99.9 us", "max us"
    );
    for (at, name) in names.iter().enumerate() {
        for (what, asked) in ALL {
            let of_all = samples.iter();
            let mine: Vec<&Sample> = of_all
                .filter(|one| one.phase == at + 1 && one.what == what)
                .collect();
            let mut took: Vec<u128> = mine.iter().map(|one| one.took.as_micros()).collect();
            took.sort_unstable();
            let last = took.len().saturating_sub(1);
            let part = |per_mille: usize| took.get(last * per_mille / 1_000).copied().unwrap_or(0);
            let by_redis = mine.iter().filter(|one| one.by_redis).count();
            println!(
                "{name:10}{asked:>9}{:>11}{by_redis:>10}{:>10}{:>10}{:>10}{:>10}",
                took.len(),
                part(500),
                part(990),
                part(999),
                part(1_000),
            );
        }
    }
}

fn main() {
    let Some(options) = Options::parse() else {
        println!("not run: benches/failure/run gives it a Redis");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let load = Arc::new(runtime.block_on(Load::new(&options)));
    let mut tasks = Vec::new();
    for task in 0..options.tasks {
        for (what, _) in ALL {
            let load = Arc::clone(&load);
            tasks.push(runtime.spawn(load.run(what, task.to_string(), options.pause)));
        }
    }
    println!("ready");
    let mut names = Vec::new();
    for name in std::io::stdin().lines() {
        names.push(name.unwrap());
        load.phase.store(names.len(), Ordering::Relaxed);
        println!("begun");
    }
    load.end.store(true, Ordering::Relaxed);
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    print(&names, &load.samples.lock());
}

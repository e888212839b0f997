//! What is decided while Redis is away, by what the policies say, under load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tollgate_clock::SystemClock;
use tollgate_limit::policy::OnStoreFailure;
use tollgate_limit::store::RedisOptions;

use crate::bench::PATIENCE;
use crate::failures::DEADLINE;
use crate::instance::Instance;
use crate::private_redis::PrivateRedis;

/// Of each value, in a year.
const LIMIT: u64 = 30;
const POLICIES: &str = "
domain: shop
descriptors:
  - {key: open, rate_limit: {unit: year, requests_per_unit: 30, on_store_failure: open}}
  - {key: closed, rate_limit: {unit: year, requests_per_unit: 30, on_store_failure: closed}}
  - {key: local, rate_limit: {unit: year, requests_per_unit: 30, on_store_failure: local}}
";
const KEYS: [(&str, OnStoreFailure); 3] = [
    ("open", OnStoreFailure::Open),
    ("closed", OnStoreFailure::Closed),
    ("local", OnStoreFailure::Local),
];
/// Far more than any decision takes, on the most loaded machine.
const LATE: Duration = Duration::from_secs(20);

/// Who decided, and what.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    passed_by_redis: u64,
    refused_by_redis: u64,
    passed_without: u64,
    refused_without: u64,
}

impl Tally {
    fn count(&mut self, by_redis: bool, passed: bool) {
        *match (by_redis, passed) {
            (true, true) => &mut self.passed_by_redis,
            (true, false) => &mut self.refused_by_redis,
            (false, true) => &mut self.passed_without,
            (false, false) => &mut self.refused_without,
        } += 1;
    }

    fn by_redis(self) -> u64 {
        self.passed_by_redis + self.refused_by_redis
    }

    fn without(self) -> u64 {
        self.passed_without + self.refused_without
    }
}

/// Tasks that ask for all policies without a pause, with a value of the phase.
struct Load {
    phase: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    /// By phase and key.
    tallies: Arc<Mutex<HashMap<(usize, &'static str), Tally>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(instance: &Arc<Instance>) -> Self {
        let mut load = Self {
            phase: Arc::default(),
            end: Arc::default(),
            tallies: Arc::default(),
            tasks: Vec::new(),
        };
        for task in 0..9 {
            let (key, mode) = KEYS[task % KEYS.len()];
            let instance = Arc::clone(instance);
            let (phase, end) = (Arc::clone(&load.phase), Arc::clone(&load.end));
            let tallies = Arc::clone(&load.tallies);
            load.tasks.push(tokio::spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    let phase = phase.load(Ordering::Relaxed);
                    let started = Instant::now();
                    let answer = instance.ask(key, &phase.to_string()).await;
                    assert!(started.elapsed() < LATE, "a late decision");
                    let failure = answer.statuses[0].failure;
                    assert!(failure.is_none_or(|failure| failure == mode), "{failure:?}");
                    let by_redis = failure.is_none();
                    {
                        let mut tallies = tallies.lock();
                        let tally: &mut Tally = tallies.entry((phase, key)).or_default();
                        tally.count(by_redis, answer.allowed);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }));
        }
        load
    }

    fn tally(&self, phase: usize, key: &'static str) -> Tally {
        let tallies = self.tallies.lock();
        tallies.get(&(phase, key)).copied().unwrap_or_default()
    }

    /// Waits for so many decisions of each policy.
    async fn more(&self, what: &str, count: impl Fn(Tally) -> u64) {
        let phase = self.phase.load(Ordering::Relaxed);
        let now = |key| count(self.tally(phase, key));
        let enough = KEYS.map(|(key, _)| (key, now(key) + 3 * LIMIT));
        let end = Instant::now() + 2 * PATIENCE;
        while enough.iter().any(|(key, enough)| now(key) < *enough) {
            for task in &self.tasks {
                assert!(!task.is_finished(), "a task failed");
            }
            assert!(Instant::now() < end, "waited for decisions {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Values of its own, which Redis counts.
    async fn begin(&self) {
        self.phase.fetch_add(1, Ordering::Relaxed);
        self.more("by Redis", Tally::by_redis).await;
    }

    async fn away(&self) {
        self.more("without Redis", Tally::without).await;
    }

    /// Until Redis is back, which has begun anew so many times since the phase began.
    async fn recovery(&self, forgot: u64) {
        self.more("by Redis again", Tally::by_redis).await;
        let phase = self.phase.load(Ordering::Relaxed);
        for (key, mode) in KEYS {
            let tally = self.tally(phase, key);
            let told = format!("{key} in phase {phase}: {tally:?}");
            assert!(tally.passed_by_redis <= (1 + forgot) * LIMIT, "{told}");
            assert!(tally.refused_by_redis >= LIMIT, "{told}");
            match mode {
                OnStoreFailure::Open => assert_eq!(tally.refused_without, 0, "{told}"),
                OnStoreFailure::Closed => assert_eq!(tally.passed_without, 0, "{told}"),
                OnStoreFailure::Local => {
                    assert_eq!(tally.passed_without, tally.without().min(LIMIT), "{told}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_follow_their_policies_while_redis_is_away() {
    let mut redis = PrivateRedis::start();
    let options = RedisOptions {
        deadline: DEADLINE,
        ..RedisOptions::default()
    };
    let clock = Arc::new(SystemClock::new());
    let instance = Arc::new(Instance::new(&redis, options, clock, POLICIES).await);
    let load = Load::on(&instance);
    for _ in 0..2 {
        load.begin().await;
        redis.kill();
        load.away().await;
        redis.restart();
        load.recovery(1).await;

        load.begin().await;
        redis.freeze();
        load.away().await;
        redis.thaw();
        load.recovery(0).await;

        // Away for no longer than it takes to start.
        load.begin().await;
        redis.restart();
        load.recovery(1).await;
    }
    load.end.store(true, Ordering::Relaxed);
    for task in load.tasks {
        task.await.unwrap();
    }
}

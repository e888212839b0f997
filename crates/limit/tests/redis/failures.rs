//! A Redis that goes away, hangs and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{Charge, LimitStore, RedisOptions, RedisStore, StoreError};

use crate::bench::{PATIENCE, charge, yearly};
use crate::private_redis::PrivateRedis;

pub(crate) const DEADLINE: Duration = Duration::from_millis(50);
/// What a loaded machine may add to a deadline, before a call counts as late.
const MARGIN: Duration = Duration::from_secs(2);

/// Tasks that ask without a pause.
pub(crate) struct Load {
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    late: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on<S: LimitStore>(store: &Arc<S>) -> Self {
        let mut load = Self {
            answered: Arc::default(),
            failed: Arc::default(),
            late: Arc::default(),
            end: Arc::default(),
            tasks: Vec::new(),
        };
        for _ in 0..8 {
            let store = Arc::clone(store);
            let (answered, failed) = (Arc::clone(&load.answered), Arc::clone(&load.failed));
            let (late, end) = (Arc::clone(&load.late), Arc::clone(&load.end));
            load.tasks.push(tokio::spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let counter = match store.decide(&request()).await {
                        Ok(_) => &answered,
                        Err(StoreError::Unavailable(_)) => &failed,
                        Err(error) => panic!("{error}"),
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    if started.elapsed() > DEADLINE + MARGIN {
                        late.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }));
        }
        load
    }

    /// Waits for so many more.
    async fn more(&self, counter: &AtomicU64, count: u64, what: &str) {
        let enough = counter.load(Ordering::Relaxed) + count;
        let end = Instant::now() + PATIENCE;
        while counter.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < end, "waited for {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn answers(&self) {
        self.more(&self.answered, 100, "answers").await;
    }

    pub(crate) async fn failures(&self) {
        self.more(&self.failed, 20, "failures").await;
    }

    pub(crate) async fn end(self) {
        self.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        assert_eq!(self.late.load(Ordering::Relaxed), 0, "late calls");
    }
}

fn request() -> [Charge; 2] {
    let limiter = yearly(AlgorithmKind::Gcra, 1_000_000);
    [charge("a", limiter, 1), charge("b", limiter, 1)]
}

async fn hasty(redis: &PrivateRedis) -> Arc<RedisStore> {
    let options = RedisOptions {
        deadline: DEADLINE,
        ..RedisOptions::default()
    };
    Arc::new(RedisStore::connect(&redis.url(), options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_killed_is_found_again() {
    let mut redis = PrivateRedis::start();
    let load = Load::on(&hasty(&redis).await);
    load.answers().await;
    for _ in 0..2 {
        redis.kill();
        load.failures().await;
        redis.restart();
        load.answers().await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_holds_no_call_up() {
    let redis = PrivateRedis::start();
    let load = Load::on(&hasty(&redis).await);
    load.answers().await;
    for _ in 0..2 {
        redis.freeze();
        load.failures().await;
        redis.thaw();
        load.answers().await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_may_come() {
    let mut redis = PrivateRedis::start();
    redis.kill();
    let store = hasty(&redis).await;
    let error = store.decide(&request()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    redis.restart();
    let load = Load::on(&store);
    load.answers().await;
    load.end().await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_said_by_name() {
    let redis = PrivateRedis::start();
    let url = format!("{}/4000", redis.url());
    let store = RedisStore::connect(&url, RedisOptions::default()).await;
    let store = store.unwrap();
    let end = Instant::now() + PATIENCE;
    // The deadline may pass first, on a loaded machine.
    loop {
        let error = store.decide(&request()).await.unwrap_err().to_string();
        if error.contains("4000") || error.contains("database") || error.contains("DB index") {
            return;
        }
        assert!(Instant::now() < end, "{error}");
    }
}

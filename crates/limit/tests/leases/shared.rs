//! Leases from a real Redis.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, SystemClock, UnixMillis};
use tollgate_limit::store::{
    BreakerOptions, Charge, Guarded, LeaseOptions, Leased, LimitStore, RedisOptions, RedisStore,
    StoreError,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

use crate::bench::{charge, kinds, yearly};
use crate::private_redis::PrivateRedis;

type Store = Leased<Guarded<RedisStore>>;

async fn store(redis: &PrivateRedis, clock: Arc<dyn tollgate_clock::Clock>) -> Store {
    // Longer than any pause of a loaded machine.
    let options = RedisOptions {
        deadline: Duration::from_secs(60),
        connect_within: Duration::from_secs(60),
        ..RedisOptions::default()
    };
    let redis = RedisStore::connect(&redis.url(), options).await.unwrap();
    let guarded = Guarded::new(redis, BreakerOptions::default(), Arc::clone(&clock));
    Leased::new(guarded, LeaseOptions::default(), clock)
}

async fn passes(store: &Store, request: &[Charge]) -> bool {
    let answers = store.decide(request).await.unwrap();
    answers.iter().all(|answer| answer.decision.allowed())
}

/// Scripts that Redis has run.
async fn scripts(redis: &PrivateRedis) -> u64 {
    let client = redis::Client::open(redis.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap();
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let calls = stats.lines().filter_map(|line| {
        let rest = line.strip_prefix("cmdstat_eval")?;
        let calls = rest.split_once("calls=")?.1;
        calls.split(',').next()?.parse::<u64>().ok()
    });
    calls.sum()
}

/// A second of 4,000 requests for one key at two instances, by a clock that is set: the number of
/// calls does not depend on the speed of the machine.
async fn calls_of_a_busy_second(kind: AlgorithmKind, leased: bool) -> u64 {
    let redis = PrivateRedis::start();
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
    let stores = [
        store(&redis, clock.clone()).await,
        store(&redis, clock.clone()).await,
    ];
    let quota = Quota::new(20_000, Duration::from_secs(3_600)).unwrap();
    let limiter = Limiter::new(kind, quota, None).unwrap();
    let request = [Charge {
        leased,
        ..charge("k", limiter, 1)
    }];
    for milli in 1..=1_000 {
        clock.advance(Duration::from_millis(1));
        for store in &stores {
            for _ in 0..2 {
                assert!(passes(store, &request).await, "{kind:?}");
            }
            store.refill().await;
        }
        if milli % 50 == 0 {
            for store in &stores {
                store.tend().await;
            }
        }
    }
    for store in &stores {
        store.close().await;
    }
    scripts(&redis).await
}

#[tokio::test]
async fn a_busy_key_takes_a_twentieth_of_the_commands() {
    for kind in kinds() {
        let exact = calls_of_a_busy_second(kind, false).await;
        assert_eq!(exact, 4_000, "{kind:?}");
        let leased = calls_of_a_busy_second(kind, true).await;
        println!("{kind:?}: {leased} calls for {exact} requests");
        assert!(leased * 20 <= exact, "{kind:?}: {leased}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_admit_the_limit_between_them() {
    const LIMIT: u64 = 3_000;
    let redis = PrivateRedis::start();
    let clock = Arc::new(SystemClock::new());
    for kind in kinds() {
        let limiter = yearly(kind, LIMIT);
        let mut running = Vec::new();
        for _ in 0..4 {
            let store = Arc::new(store(&redis, clock.clone()).await);
            let (end, ends) = tokio::sync::oneshot::channel::<()>();
            let runs = Arc::clone(&store);
            let task = tokio::spawn(async move {
                runs.run(async { drop(ends.await) }).await;
            });
            running.push((store, end, task));
        }
        let key = kind.name();
        let tasks = running.iter().flat_map(|(store, _, _)| {
            (0..4).map(move |_| {
                let store = Arc::clone(store);
                tokio::spawn(async move {
                    let request = [charge(key, limiter, 1)];
                    let mut passed = 0;
                    for _ in 0..150 {
                        passed += u64::from(passes(&store, &request).await);
                        tokio::task::yield_now().await;
                    }
                    passed
                })
            })
        });
        let mut passed = 0;
        for task in tasks.collect::<Vec<_>>() {
            passed += task.await.unwrap();
        }
        let mut stats = Vec::new();
        for (store, end, task) in running {
            drop(end);
            task.await.unwrap();
            stats.push(store.stats());
        }
        assert!(stats.iter().any(|stats| stats.leases > 0), "{stats:?}");
        for stats in &stats {
            assert_eq!(stats.held, 0);
            assert_eq!(stats.leased, stats.used + stats.returned + stats.lost);
        }
        // Who comes afterwards finds exactly what was not used.
        let last = store(&redis, clock.clone()).await;
        let peek = [charge(key, limiter, 0)];
        let left = last.decide(&peek).await.unwrap()[0].decision.remaining();
        let total = passed + left;
        let drained = u64::from(limiter.bucket().is_some());
        assert!(
            total <= LIMIT && total + drained >= LIMIT,
            "{kind:?}: {passed} + {left}"
        );
    }
}

#[tokio::test]
async fn leases_last_a_little_longer_than_their_redis() {
    let mut redis = PrivateRedis::start();
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
    let store = store(&redis, clock).await;
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 10_000), 1)];
    for _ in 0..40 {
        assert!(passes(&store, &request).await);
        store.refill().await;
    }
    redis.kill();
    let held = store.stats().held;
    assert!(held > 0);
    for _ in 0..held {
        assert!(passes(&store, &request).await);
    }
    let failed = store.decide(&request).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
}

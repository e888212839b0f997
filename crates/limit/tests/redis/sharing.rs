//! What stores with the same Redis have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_limit::store::{Charge, LimitKey, LimitStore as _, RedisStore, Refund, StoreError};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

use crate::bench::{Monitor, charge, patient, seconds, send, store, yearly};
use crate::private_redis::PrivateRedis;

/// How many of `asked` requests pass, asked of all stores at once by many tasks.
async fn admitted(stores: &[Arc<RedisStore>], asked: usize, charges: Vec<Charge>) -> u64 {
    let passed = Arc::new(AtomicU64::new(0));
    let charges = Arc::new(charges);
    let tasks: Vec<_> = (0..asked)
        .map(|at| {
            let store = Arc::clone(&stores[at % stores.len()]);
            let (passed, charges) = (Arc::clone(&passed), Arc::clone(&charges));
            tokio::spawn(async move {
                let answers = store.decide(&charges).await.unwrap();
                if answers.iter().all(|answer| answer.decision.allowed()) {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    passed.load(Ordering::Relaxed)
}

async fn two(redis: &PrivateRedis) -> [Arc<RedisStore>; 2] {
    [Arc::new(store(redis).await), Arc::new(store(redis).await)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_admit_the_limit_between_them() {
    let redis = PrivateRedis::start();
    let stores = two(&redis).await;
    for kind in AlgorithmKind::ALL {
        let charges = vec![charge(kind.name(), yearly(kind, 100), 1)];
        assert_eq!(admitted(&stores, 400, charges).await, 100, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_are_charged_to_all_limits_or_to_none_under_load() {
    let redis = PrivateRedis::start();
    let stores = two(&redis).await;
    let kinds = AlgorithmKind::ALL.into_iter();
    let wide = kinds.map(|kind| charge(kind.name(), yearly(kind, 300), 2));
    let mut charges: Vec<Charge> = wide.collect();
    // The tightest, in the middle.
    charges.insert(3, charge("tight", yearly(AlgorithmKind::Gcra, 50), 1));
    assert_eq!(admitted(&stores, 300, charges.clone()).await, 50);
    for charge in &mut charges {
        charge.cost = 0;
    }
    let left = stores[0].decide(&charges).await.unwrap();
    for (charge, answer) in charges.iter().zip(left) {
        let expected = match charge.limiter.most() {
            50 => 0,
            wide => wide - 2 * 50,
        };
        assert_eq!(answer.decision.remaining(), expected, "{charge:?}");
    }
}

#[tokio::test]
async fn limits_in_shadow_mode_do_not_bind_and_equal_keys_add_up() {
    let redis = PrivateRedis::start();
    let store = store(&redis).await;
    let shadow = Charge {
        binds: false,
        ..charge("shadow", yearly(AlgorithmKind::Gcra, 2), 1)
    };
    let twice = charge("twice", yearly(AlgorithmKind::FixedWindow, 5), 1);
    let request = [shadow, twice.clone(), twice];
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answers = store.decide(&request).await.unwrap();
        let told = answers.iter().map(|answer| {
            let decision = answer.decision;
            (decision.allowed(), decision.remaining())
        });
        seen.push(told.collect::<Vec<_>>());
    }
    assert_eq!(seen[0], [(true, 1), (true, 4), (true, 3)]);
    assert_eq!(seen[1], [(true, 0), (true, 2), (true, 1)]);
    // The second of the two is refused, so nothing is charged, to the first neither.
    assert_eq!(seen[2], [(false, 0), (true, 1), (false, 1)]);
}

/// The script asks for `TIME`, and no store sends a time: so the clocks of instances have no part in
/// it, whether they differ by 300 ms or by 10 s. Shown by what Redis is sent.
#[tokio::test]
async fn only_the_clock_of_redis_counts() {
    let redis = PrivateRedis::start();
    let (one, other) = (store(&redis).await, store(&redis).await);
    let limiter = Limiter::new(
        AlgorithmKind::SlidingCounter,
        Quota::per_minute(10).unwrap(),
        None,
    )
    .unwrap();
    let mut monitor = Monitor::of(&redis);
    for store in [&one, &other] {
        let answer = store.decide(&[charge("k", limiter, 1)]).await.unwrap();
        assert!(answer[0].decision.allowed());
    }
    // Within a day of now, in seconds or finer.
    let near = |word: &str| {
        let number: f64 = word.trim_matches('"').parse().unwrap_or_default();
        let is = |unit: f64| (number / unit - seconds()).abs() < 86_400.0;
        is(1.0) || is(1e3) || is(1e6) || is(1e9)
    };
    let mut decisions = 0;
    while decisions < 2 {
        let line = monitor.line();
        // Each line begins with the time at which it was seen, and where it came from.
        let Some((_, command)) = line.split_once("] ") else {
            continue;
        };
        if command.starts_with("\"EVALSHA\"") {
            decisions += 1;
            assert!(!command.split(' ').any(near), "{command}");
        }
    }
}

#[tokio::test]
async fn every_key_has_an_expiry_after_each_operation() {
    let redis = PrivateRedis::start();
    let store = store(&redis).await;
    let mut keys_seen = 0;
    for round in 0..6_u64 {
        for kind in AlgorithmKind::ALL {
            let quotas = [
                Quota::new(3, std::time::Duration::from_millis(1)).unwrap(),
                Quota::per_minute(3).unwrap(),
                Quota::new(3, tollgate_limit::MAX_WINDOW).unwrap(),
            ];
            for (at, quota) in quotas.into_iter().enumerate() {
                let limiter = Limiter::new(kind, quota, None).unwrap();
                let key = format!("{}-{at}", kind.name());
                let other = charge(&format!("{key}-other"), limiter, round % 2);
                let request = [charge(&key, limiter, round % 4), other];
                let answers = store.decide(&request).await.unwrap();
                let reset = answers[0].decision.reset_after();
                let keys: Vec<Vec<u8>> = send(&redis, &["KEYS", "*"]).await;
                for key in &keys {
                    let key = str::from_utf8(key).unwrap();
                    assert!(key.starts_with("tollgate:{domain}|key="), "{key}");
                    let left: i64 = send(&redis, &["PTTL", key]).await;
                    // -1 would be none; -2: it expired since.
                    assert_ne!(left, -1, "{key}");
                }
                let key = format!("tollgate:{{domain}}|key={key}|");
                let left: i64 = send(&redis, &["PTTL", &key]).await;
                let most = reset.as_millis() as i64 + 2_000;
                assert!(left <= most, "{kind:?}: {left} ms for {reset:?}");
                keys_seen = keys_seen.max(keys.len());
            }
        }
    }
    assert!(keys_seen > 14, "{keys_seen}");
    let forgotten = Limiter::new(AlgorithmKind::Gcra, Quota::per_minute(1).unwrap(), None);
    let peek = charge("peeked", forgotten.unwrap(), 0);
    store.decide(&[peek]).await.unwrap();
    let there: i64 = send(&redis, &["EXISTS", "tollgate:{domain}|key=peeked|"]).await;
    assert_eq!(there, 0, "a peek leaves nothing");
}

#[tokio::test]
async fn a_forgotten_script_is_sent_again() {
    let redis = PrivateRedis::start();
    let store = store(&redis).await;
    let limiter = yearly(AlgorithmKind::Gcra, 5);
    for left in (0..5).rev() {
        let _: String = send(&redis, &["SCRIPT", "FLUSH"]).await;
        let answer = store.decide(&[charge("k", limiter, 1)]).await.unwrap();
        assert_eq!(answer[0].decision.remaining(), left);
    }
}

#[tokio::test]
async fn what_is_no_counter_fails_its_own_requests_only() {
    let redis = PrivateRedis::start();
    let store = store(&redis).await;
    let limiter = yearly(AlgorithmKind::Gcra, 5);
    let foreign = ["LPUSH", "tollgate:{domain}|key=list|", "x"];
    let _: i64 = send(&redis, &foreign).await;
    let _: String = send(&redis, &["SET", "tollgate:{domain}|key=text|", "x"]).await;
    for key in ["list", "text"] {
        let error = store.decide(&[charge(key, limiter, 1)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    }
    let fine = store.decide(&[charge("k", limiter, 1)]).await.unwrap();
    assert!(fine[0].decision.allowed());
}

#[tokio::test]
async fn keys_of_any_bytes_and_prefixes_are_kept_apart() {
    let redis = PrivateRedis::start();
    let mut options = patient();
    let one = RedisStore::connect(&redis.url(), options.clone()).await;
    options.prefix = "other:".to_owned();
    let other = RedisStore::connect(&redis.url(), options).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    let limiter = yearly(AlgorithmKind::SlidingLog, 1);
    let long = [b'x'; 4_096];
    let keys: [&[u8]; 5] = [b"\0\r\n", b"|", b"||", b"#", &long];
    for store in [&one, &other] {
        for key in keys {
            let charge = Charge {
                key: LimitKey::new(key).unwrap(),
                limiter,
                cost: 1,
                binds: true,
            };
            let request = [charge];
            let passes = store.decide(&request).await.unwrap()[0].decision.allowed();
            assert!(passes, "{key:?}");
            let passes = store.decide(&request).await.unwrap()[0].decision.allowed();
            assert!(!passes, "{key:?}");
        }
    }
}

#[tokio::test]
async fn a_window_that_redis_cannot_tell_is_refused() {
    let redis = PrivateRedis::start();
    let store = store(&redis).await;
    let quota = Quota::new(1, std::time::Duration::from_nanos(1_000_001)).unwrap();
    let limiter = Limiter::new(AlgorithmKind::Gcra, quota, None).unwrap();
    assert!(RedisStore::takes(&limiter).is_err());
    let error = store.decide(&[charge("k", limiter, 1)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store of limits failed: window: 1.000001ms is not a whole number of microseconds: \
         Redis tells no finer time"
    );
}

#[tokio::test]
async fn what_one_store_gives_back_another_may_use() {
    let redis = PrivateRedis::start();
    let [one, other] = two(&redis).await;
    for kind in AlgorithmKind::ALL {
        let charges = [
            charge(kind.name(), yearly(kind, 5), 4),
            charge("all", yearly(AlgorithmKind::FixedWindow, 100), 4),
        ];
        let answers = one.decide(&charges).await.unwrap();
        let refused = other.decide(&charges).await.unwrap();
        assert!(!refused[0].decision.allowed(), "{kind:?}");
        assert_eq!(Refund::of(&charges, &refused), [], "nothing was charged");
        let refunds = Refund::of(&charges, &answers);
        one.refund(&refunds).await.unwrap();
        let again = other.decide(&charges).await.unwrap();
        assert!(again[0].decision.allowed(), "{kind:?}");
        let [before, after] = [&answers, &again].map(|all| all[1].decision.remaining());
        assert_eq!(after, before, "{kind:?}");
        other.refund(&Refund::of(&charges, &again)).await.unwrap();
        let key = format!("tollgate:{{domain}}|key={}|", kind.name());
        let left: i64 = send(&redis, &["PTTL", &key]).await;
        assert!(left > 0, "{kind:?}: {left}");
    }
}

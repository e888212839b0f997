//! The circuit breaker: with a store that fails on demand and a clock set by hand, and with a Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tollgate_clock::{ManualClock, SystemClock, UnixMillis};
use tollgate_limit::store::{
    BreakerOptions, BreakerState, Charge, Guarded, InParts, LimitKey, LimitStore, MemoryOptions,
    MemoryStore, Part, RedisOptions, RedisStore, Refund, StoreError,
};
use tollgate_limit::{AlgorithmKind, Shaped};

use crate::bench::{charge, patient, send, store_in, yearly};
use crate::failures::Load;
use crate::private_cluster::{PrivateCluster, eventually};
use crate::private_redis::PrivateRedis;

const FINE: u8 = 0;
const AWAY: u8 = 1;
const CONFUSED: u8 = 2;
const SLOW: u8 = 3;

#[derive(Default)]
struct Moody {
    mood: AtomicU8,
    asked: AtomicU64,
    go_on: Notify,
}

#[async_trait]
impl LimitStore for Moody {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let well = charges
            .iter()
            .any(|charge| charge.key.domain() == Some(b"well"));
        match self.mood.load(Ordering::Relaxed) {
            _ if well => Ok(Vec::new()),
            FINE => Ok(Vec::new()),
            AWAY => Err(StoreError::Unavailable("away".to_owned())),
            CONFUSED => Err(StoreError::Failed("confused".to_owned())),
            _ => {
                self.go_on.notified().await;
                Ok(Vec::new())
            }
        }
    }

    async fn refund(&self, _: &[Refund]) -> Result<(), StoreError> {
        self.decide(&[]).await.map(drop)
    }
}

/// Keys of the domain `well` are of a part that has no moods, those of the domain `elsewhere` of one more.
impl InParts for Moody {
    fn part(&self, key: &LimitKey) -> Part {
        match key.domain() {
            Some(b"well") => Part::of(&1),
            Some(b"elsewhere") => Part::of(&2),
            _ => Part::default(),
        }
    }
}

fn of_domain(domain: &str) -> [Charge; 1] {
    let key = LimitKey::new(format!("{domain}|key=k|").as_bytes()).unwrap();
    let limiter = yearly(AlgorithmKind::Gcra, 1_000);
    [Charge {
        key,
        ..charge("k", limiter, 1)
    }]
}

struct Bench {
    guarded: Arc<Guarded<Moody>>,
    clock: Arc<ManualClock>,
}

const OPTIONS: BreakerOptions = BreakerOptions {
    failures: 3,
    pause: Duration::from_millis(100),
};

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        let guarded = Guarded::new(Moody::default(), OPTIONS, clock.clone());
        Self {
            guarded: Arc::new(guarded),
            clock,
        }
    }

    fn store(&self) -> &Moody {
        self.guarded.store()
    }

    fn mood(&self, mood: u8) {
        self.store().mood.store(mood, Ordering::Relaxed);
    }

    /// Asks so often, and tells how often the store was asked.
    async fn ask(&self, times: u64) -> u64 {
        let before = self.store().asked.load(Ordering::Relaxed);
        for _ in 0..times {
            let _ = self.guarded.decide(&[]).await;
        }
        self.store().asked.load(Ordering::Relaxed) - before
    }

    fn state(&self) -> BreakerState {
        self.guarded.stats().state
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_tried_once_in_a_while() {
    let bench = Bench::new();
    bench.mood(AWAY);
    assert_eq!(bench.ask(2).await, 2);
    assert_eq!(bench.state(), BreakerState::Closed);
    assert_eq!(bench.ask(10).await, 1);
    assert_eq!(bench.state(), BreakerState::Open);
    for _ in 0..3 {
        bench.clock.advance(OPTIONS.pause);
        assert_eq!(bench.ask(10).await, 1);
    }
    bench.mood(FINE);
    assert_eq!(bench.ask(10).await, 0);
    bench.clock.advance(OPTIONS.pause);
    assert_eq!(bench.ask(10).await, 10);
    let stats = bench.guarded.stats();
    assert_eq!(stats.state, BreakerState::Closed);
    assert_eq!((stats.opened, stats.closed, stats.probes), (1, 1, 4));
    assert_eq!((stats.unavailable, stats.refused), (6, 9 + 27 + 10));
}

#[tokio::test]
async fn failures_have_to_follow_each_other_and_be_of_the_store() {
    let bench = Bench::new();
    for _ in 0..10 {
        bench.mood(AWAY);
        bench.ask(2).await;
        bench.mood(FINE);
        bench.ask(1).await;
    }
    bench.mood(CONFUSED);
    assert_eq!(bench.ask(20).await, 20);
    assert_eq!(bench.state(), BreakerState::Closed);
    assert_eq!(bench.guarded.stats().failed, 20);
}

#[tokio::test]
async fn a_part_that_is_away_leaves_the_others_alone() {
    let bench = Bench::new();
    bench.mood(AWAY);
    let [well, elsewhere] = ["well", "elsewhere"].map(of_domain);
    let mut failed = 0;
    for _ in 0..20 {
        assert!(bench.guarded.decide(&well).await.is_ok());
        failed += u64::from(bench.guarded.decide(&elsewhere).await.is_err());
    }
    let stats = bench.guarded.stats();
    assert_eq!(failed, 20);
    assert_eq!((stats.unavailable, stats.refused), (3, 17));
    assert_eq!((stats.state, stats.opened), (BreakerState::Open, 1));
    let both = [well.clone(), elsewhere.clone()].concat();
    let memory = MemoryStore::new(MemoryOptions::with_seed(1), bench.clock.clone());
    let refunds = Refund::of(&both, &memory.decide(&both).await.unwrap());
    assert_eq!(refunds.len(), 2);
    let before = bench.store().asked.load(Ordering::Relaxed);
    assert!(bench.guarded.refund(&refunds).await.is_err());
    assert_eq!(bench.store().asked.load(Ordering::Relaxed) - before, 1);
    // Another one has taken its place, and it is asked no more.
    bench.clock.advance(Duration::from_secs(29));
    assert_eq!(bench.state(), BreakerState::Open);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.state(), BreakerState::Closed);
}

/// In a cluster that does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_is_not_waited_for_and_others_are_asked() {
    let cluster = PrivateCluster::start().await;
    let options = RedisOptions {
        deadline: Duration::from_secs(1),
        ..patient()
    };
    let store = store_in(&cluster, options).await;
    let clock = Arc::new(SystemClock::new());
    let guarded = Guarded::new(store, BreakerOptions::default(), clock);
    let mut domains = Vec::new();
    for number in 0.. {
        let domain = format!("domain{number}");
        let slot = send(&cluster.servers[0], &["CLUSTER", "KEYSLOT", &domain]).await;
        let holder = cluster.holder(slot).await;
        if domains.iter().all(|(_, other)| *other != holder) {
            domains.push((domain, holder));
        }
        if domains.len() == 2 {
            break;
        }
    }
    let [hanging, well] = [0, 1].map(|at: usize| of_domain(&domains[at].0));
    assert!(guarded.decide(&hanging).await.is_ok());
    cluster.servers[domains[0].1].freeze();
    let mut asked = 0;
    while guarded.stats().refused < 100 {
        assert!(guarded.decide(&hanging).await.is_err());
        assert!(guarded.decide(&well).await.is_ok());
        asked += 1;
    }
    let stats = guarded.stats();
    assert_eq!(stats.unavailable + stats.refused, asked);
    assert_eq!(stats.unavailable, 5 + stats.probes);
    cluster.servers[domains[0].1].thaw();
    eventually("it is asked again", async || {
        guarded.decide(&hanging).await.is_ok()
    })
    .await;
    assert_eq!(guarded.stats().state, BreakerState::Closed);
}

#[tokio::test]
async fn one_decision_tries_at_a_time_and_another_if_it_is_given_up() {
    let bench = Bench::new();
    bench.mood(AWAY);
    bench.ask(3).await;
    bench.clock.advance(OPTIONS.pause);
    bench.mood(SLOW);
    let try_once = || {
        let guarded = Arc::clone(&bench.guarded);
        tokio::spawn(async move { guarded.decide(&[]).await.is_ok() })
    };
    let given_up = try_once();
    while bench.state() != BreakerState::HalfOpen {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.ask(10).await, 0);
    given_up.abort();
    let _ = given_up.await;
    assert_eq!(bench.state(), BreakerState::Open);
    let next = try_once();
    while bench.state() != BreakerState::HalfOpen {
        tokio::task::yield_now().await;
    }
    bench.store().go_on.notify_one();
    assert!(next.await.unwrap());
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn around_a_redis_it_opens_and_closes_by_itself() {
    let mut redis = PrivateRedis::start();
    let options = RedisOptions {
        deadline: Duration::from_millis(50),
        ..RedisOptions::default()
    };
    let store = RedisStore::connect(&redis.url(), options).await.unwrap();
    let clock = Arc::new(SystemClock::new());
    let guarded = Arc::new(Guarded::new(store, BreakerOptions::default(), clock));
    let load = Load::on(&guarded);
    load.answers().await;
    let before = guarded.stats();
    redis.freeze();
    load.failures().await;
    while guarded.stats().opened == before.opened {
        load.failures().await;
    }
    redis.thaw();
    load.answers().await;
    redis.kill();
    load.failures().await;
    let peek = charge("k", yearly(AlgorithmKind::Gcra, 1), 0);
    while guarded.stats().state != BreakerState::Open {
        let _ = guarded.decide(std::slice::from_ref(&peek)).await;
    }
    redis.restart();
    load.answers().await;
    load.end().await;
    let stats = guarded.stats();
    assert!(stats.opened >= 2 && stats.refused > 0, "{stats:?}");
    // A loaded machine may open it once more at the end.
    assert!(stats.opened - stats.closed <= 1, "{stats:?}");
}

//! Regions with a Redis each, and the one in which they count a budget together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_clock::SystemClock;
use tollgate_limit::budget::{BudgetOptions, Budgets, RedisTotals, Report, SharedTotals, Total};
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckAnswer, CheckRequest, LimitService};
use tollgate_limit::store::{BreakerOptions, BreakerState, LimitKey, MemoryOptions, MemoryStore};

use crate::bench::{PATIENCE, patient, send, store};
use crate::private_redis::PrivateRedis;
use crate::totals::Totals;

const POLICIES: &str = "
domain: shop
descriptors:
  - {key: user, rate_limit: {unit: year, requests_per_unit: 10, global_budget: 15}}
  - {key: short, rate_limit: {unit: second, requests_per_unit: 10, global_budget: 15}}
";

struct Region {
    service: LimitService,
    budgets: Arc<Budgets>,
    totals: RedisTotals,
}

async fn totals(url: &str) -> RedisTotals {
    let clock = Arc::new(SystemClock::new());
    let breaker = BreakerOptions {
        failures: 2,
        ..BreakerOptions::default()
    };
    let connected = RedisTotals::connect(url, patient(), breaker, clock);
    connected.await.unwrap()
}

impl Region {
    async fn new(own: &PrivateRedis, global: &PrivateRedis) -> Self {
        let clock = Arc::new(SystemClock::new());
        // A key was asked for lately, however slow the machine is.
        let options = BudgetOptions {
            every: PATIENCE,
            ..BudgetOptions::default()
        };
        let budgets = Budgets::new(options, clock.clone());
        let budgets = Arc::new(budgets);
        let memory = MemoryStore::new(MemoryOptions::with_seed(1), clock);
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let service = LimitService::new(policies, Arc::new(store(own).await), Arc::new(memory));
        Self {
            service: service.with_budgets(Arc::clone(&budgets)),
            budgets,
            totals: totals(&global.url()).await,
        }
    }

    async fn ask(&self, key: &str, value: &str) -> CheckAnswer {
        let request = CheckRequest {
            domain: "shop".to_owned(),
            descriptors: vec![Descriptor::of([(key, value)])],
            hits: 1,
        };
        self.service.check(&request).await.unwrap()
    }

    /// How many of 20 pass.
    async fn passing(&self, key: &str, value: &str) -> u64 {
        let mut passing = 0;
        for _ in 0..20 {
            passing += u64::from(self.ask(key, value).await.allowed);
        }
        passing
    }

    async fn sync(&self) {
        self.budgets.sync(&self.totals).await;
    }
}

#[tokio::test]
async fn regions_spend_one_budget() {
    let redis = [(); 3].map(|()| PrivateRedis::start());
    let one = Region::new(&redis[0], &redis[2]).await;
    let other = Region::new(&redis[1], &redis[2]).await;
    assert_eq!(
        one.passing("user", "a").await,
        10,
        "the limit of the region"
    );
    assert!(other.ask("user", "a").await.allowed);
    one.sync().await;
    other.sync().await;
    assert_eq!(other.passing("user", "a").await, 4);
    other.sync().await;
    one.sync().await;
    for region in [&one, &other] {
        let answer = region.ask("user", "a").await;
        assert!(!answer.allowed);
        let status = &answer.statuses[0];
        assert_eq!(status.limit.unwrap().requests(), 15);
        assert_eq!(status.remaining, Some(0));
    }
    let key = "tollgate:budget:31536000000:{shop}|user=a|";
    let total: Vec<String> = send(&redis[2], &["HMGET", key, "total"]).await;
    assert_eq!(total, ["15"]);
    let left: i64 = send(&redis[2], &["PTTL", key]).await;
    assert!((1..=31_536_001_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_new_window_lets_through_again() {
    let redis = [(); 3].map(|()| PrivateRedis::start());
    let one = Region::new(&redis[0], &redis[2]).await;
    let other = Region::new(&redis[1], &redis[2]).await;
    let patience = Instant::now() + PATIENCE;
    // Until all of it happens within a second, which a busy machine may not do at once.
    loop {
        assert!(Instant::now() < patience);
        one.passing("short", "a").await;
        one.sync().await;
        let _ = other.ask("short", "a").await;
        other.sync().await;
        other.passing("short", "a").await;
        let answer = other.ask("short", "a").await;
        if answer.statuses[0].limit.unwrap().requests() == 15 {
            let after = answer.retry_after().unwrap();
            assert!(after <= Duration::from_secs(2), "{after:?}");
            break;
        }
    }
    while !other.ask("short", "a").await.allowed {
        assert!(Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn without_the_shared_redis_each_region_goes_on_and_it_comes_back() {
    let mut redis = [(); 3].map(|()| PrivateRedis::start());
    let one = Region::new(&redis[0], &redis[2]).await;
    let other = Region::new(&redis[1], &redis[2]).await;
    redis[2].kill();
    for (region, value) in [(&one, "a"), (&other, "a"), (&one, "b")] {
        assert_eq!(region.passing("user", value).await, 10, "its own limit");
        region.sync().await;
    }
    one.sync().await;
    assert_eq!(one.totals.stats().state, BreakerState::Open);
    assert!(one.budgets.stats().failures >= 2);
    redis[2].restart();
    let patience = Instant::now() + PATIENCE;
    for region in [&one, &other] {
        while region.totals.stats().state != BreakerState::Closed
            || region.budgets.stats().reports == 0
        {
            assert!(Instant::now() < patience);
            let _ = region.ask("user", "a").await;
            region.sync().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for region in [&one, &other, &one] {
        region.sync().await;
    }
    let answer = one.ask("user", "a").await;
    assert_eq!(answer.statuses[0].limit.unwrap().requests(), 15);
    assert_eq!(other.passing("user", "b").await, 10);
    other.sync().await;
    one.sync().await;
    assert!(!one.ask("user", "b").await.allowed);
}

fn report(units: u64, number: Option<u64>) -> [Report; 1] {
    [Report {
        key: LimitKey::new(b"shop|user=a|").unwrap(),
        window: Duration::from_secs(86_400 * 365),
        units,
        number,
    }]
}

#[tokio::test]
async fn units_count_in_their_window_only_and_a_clock_that_went_back_changes_nothing() {
    let redis = PrivateRedis::start();
    let cluster = PrivateRedis::start_cluster(None);
    let all: [Box<dyn SharedTotals>; 3] = [
        Box::new(totals(&redis.url()).await),
        Box::new(totals(&cluster.cluster_url()).await),
        // What simulations take for it.
        Box::new(Totals::new(Arc::new(SystemClock::new()))),
    ];
    for totals in all {
        let told = async |units, number| -> Total {
            let mut answers = totals.report(&report(units, number)).await;
            answers.pop().unwrap().unwrap()
        };
        let first = told(3, None).await;
        assert_eq!((first.units, first.counted), (3, true));
        let number = first.number;
        let counts = async |units, number| {
            let total = told(units, number).await;
            (total.number, total.units, total.counted)
        };
        assert_eq!(counts(0, None).await, (number, 3, true));
        assert_eq!(counts(2, Some(number)).await, (number, 5, true));
        assert_eq!(counts(9, Some(number - 1)).await, (number, 5, false));
        assert_eq!(counts(9, Some(number + 2)).await, (number, 5, false));
        // The clock of an instance is ahead by a bit, and nobody goes back any more.
        assert_eq!(counts(4, Some(number + 1)).await, (number + 1, 4, true));
        assert_eq!(counts(1, Some(number)).await, (number + 1, 4, false));
        assert_eq!(counts(1, None).await, (number + 1, 5, true));
        let after = told(0, None).await.left;
        let year = Duration::from_secs(86_400 * 365);
        assert!(after > year && after <= 2 * year, "{after:?}");
    }
}

#[tokio::test]
async fn what_is_no_total_fails_and_the_server_is_not_away() {
    let redis = PrivateRedis::start();
    let totals = totals(&redis.url()).await;
    let key = "tollgate:budget:31536000000:{shop}|user=a|";
    let set: String = send(&redis, &["SET", key, "words"]).await;
    assert_eq!(set, "OK");
    for _ in 0..3 {
        let mut answers = totals.report(&report(1, None)).await;
        let error = answers.pop().unwrap().unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
    }
    assert_eq!(totals.stats().state, BreakerState::Closed);
}

//! Who shares a Redis, and what each of them lets through while it is away.

use std::sync::Arc;

use futures_util::future::join_all;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckRequest, LimitService};
use tollgate_limit::store::{
    BreakerOptions, Guarded, Instances, MemoryOptions, MemoryStore, RedisStore,
};

use crate::bench::{send, store};
use crate::private_redis::PrivateRedis;

const POLICIES: &str = "
domain: shop
descriptors:
  - {key: window, rate_limit: {unit: year, requests_per_unit: 100}}
  - {key: bucket, rate_limit: {unit: year, requests_per_unit: 100, burst: 50, algorithm: gcra}}
  - {key: small, rate_limit: {unit: year, requests_per_unit: 2}}
";

struct Instance {
    instances: Arc<Instances>,
    shared: Arc<Guarded<RedisStore>>,
    service: LimitService,
}

impl Instance {
    async fn new(redis: &PrivateRedis, name: &str) -> Self {
        let instances = Arc::new(Instances::new(name.to_owned()));
        let store = store(redis).await;
        instances.announce(&store).await.unwrap();
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_767_225_600_000)));
        let guarded = Guarded::new(store, BreakerOptions::default(), clock.clone());
        let shared = Arc::new(guarded);
        let memory = MemoryStore::new(MemoryOptions::with_seed(1), clock);
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let counted = Arc::clone(&instances);
        let service = LimitService::new(policies, shared.clone(), Arc::new(memory))
            .with_instances(move || counted.live());
        Self {
            instances,
            shared,
            service,
        }
    }

    async fn announce(&self) -> u64 {
        self.instances.announce(self.shared.store()).await.unwrap()
    }

    /// How many of 200 pass.
    async fn passing(&self, key: &str) -> u64 {
        let request = CheckRequest {
            domain: "shop".to_owned(),
            descriptors: vec![Descriptor::of([(key, "value")])],
            hits: 1,
        };
        let mut passing = 0;
        for _ in 0..200 {
            passing += u64::from(self.service.check(&request).await.unwrap().allowed);
        }
        passing
    }
}

#[tokio::test]
async fn each_instance_lets_its_share_through() {
    for count in [1, 2, 3, 7] {
        let mut redis = PrivateRedis::start();
        let names = (0..count).map(|number| format!("instance {number}"));
        let mut all = Vec::new();
        for name in names {
            all.push(Instance::new(&redis, &name).await);
        }
        for instance in &all {
            assert_eq!(instance.announce().await, count);
        }
        let left: i64 = send(&redis, &["PTTL", "tollgate:instances"]).await;
        assert!((1..=6_000).contains(&left), "{left}");
        redis.kill();
        for (key, most) in [("window", 100), ("bucket", 50), ("small", 2)] {
            let passing = join_all(all.iter().map(|it| it.passing(key))).await;
            let share = (most / count).max(1);
            assert!(
                passing.iter().all(|it| *it == share),
                "{count}: {passing:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_leaves_does_not_count_and_an_empty_redis_is_not_believed_at_once() {
    let redis = PrivateRedis::start();
    let one = Instance::new(&redis, "one").await;
    let other = Instance::new(&redis, "other").await;
    assert_eq!(one.announce().await, 2);
    // Redis forgets them, and the other one is slow to announce itself.
    let flushed: String = send(&redis, &["FLUSHALL"]).await;
    assert_eq!(flushed, "OK");
    assert_eq!(one.announce().await, 2);
    assert_eq!(other.announce().await, 2);
    assert_eq!(one.announce().await, 2);
    other.instances.leave(other.shared.store()).await.unwrap();
    for expected in [2, 2, 1] {
        assert_eq!(one.announce().await, expected);
    }
}

#[tokio::test]
async fn who_says_nothing_any_more_is_forgotten_by_the_clock_of_redis() {
    let redis = PrivateRedis::start();
    let one = Instance::new(&redis, "one").await;
    // One that was there until a moment ago, and one that will be for a long time.
    for (until, name) in [("1", "gone"), ("99999999999999", "there")] {
        let added: i64 = send(&redis, &["ZADD", "tollgate:instances", until, name]).await;
        assert_eq!(added, 1);
    }
    assert_eq!(one.announce().await, 2);
    let names: Vec<String> = send(&redis, &["ZRANGE", "tollgate:instances", "0", "-1"]).await;
    assert_eq!(names, ["one", "there"]);
}

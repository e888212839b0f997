//! What one server of several is made of: policies, a store they share behind a breaker, and what
//! counts while that is away.

use std::sync::Arc;

use tollgate_clock::Clock;
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckAnswer, CheckRequest, LimitService};
use tollgate_limit::store::{
    BreakerOptions, Guarded, MemoryOptions, MemoryStore, RedisOptions, RedisStore,
};

use crate::private_redis::PrivateRedis;

pub(crate) struct Instance {
    service: LimitService,
}

impl Instance {
    /// One with this clock and the policies of the domain `shop`.
    pub(crate) async fn new(
        redis: &PrivateRedis,
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        policies: &str,
    ) -> Self {
        let store = RedisStore::connect(&redis.url(), options).await.unwrap();
        let guarded = Guarded::new(store, BreakerOptions::default(), Arc::clone(&clock));
        let fallback = MemoryStore::new(MemoryOptions::with_seed(1), clock);
        let policies = PolicySet::parse("test.yaml", policies).unwrap();
        Self {
            service: LimitService::new(policies, Arc::new(guarded), Arc::new(fallback)),
        }
    }

    /// Asks for one hit of one descriptor.
    pub(crate) async fn ask(&self, key: &str, value: &str) -> CheckAnswer {
        let request = CheckRequest {
            domain: "shop".to_owned(),
            descriptors: vec![Descriptor::of([(key, value)])],
            hits: 1,
        };
        self.service.check(&request).await.unwrap()
    }
}

//! The suite that every store passes, on three shards.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_clock::ManualClock;
use tollgate_links::store::ShardedLinkStore;
use tollgate_links::store::conformance::Engine;

use super::{addresses, databases, few_connections};

struct Shards {
    store: Arc<ShardedLinkStore>,
    clock: Arc<ManualClock>,
    feed_capacity: u16,
    urls: Vec<String>,
}

impl Shards {
    async fn open(urls: Vec<String>, clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        let mut options = few_connections();
        options.feed_capacity = feed_capacity.into();
        let store = ShardedLinkStore::open(addresses(&urls), clock.clone(), &options).await;
        Self {
            store: Arc::new(store.unwrap()),
            clock,
            feed_capacity,
            urls,
        }
    }
}

#[async_trait]
impl Engine for Shards {
    type Store = ShardedLinkStore;

    const ORDERED: bool = false;

    async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        Self::open(databases(3), clock, feed_capacity).await
    }

    fn store(&self) -> Arc<ShardedLinkStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        assert!(
            Arc::into_inner(self.store).is_some(),
            "the store is still in use"
        );
        Self::open(self.urls, self.clock, self.feed_capacity).await
    }
}

tollgate_links::store_conformance!(Shards);

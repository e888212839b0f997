//! The suite that every store passes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::{Clock, ManualClock};
use tollgate_links::store::conformance::Engine;
use tollgate_links::store::{DynamoAddress, DynamoCredentials, DynamoLinkStore, DynamoOptions};

use crate::private_dynalite::{KEY_ID, PrivateDynalite, SECRET};

/// One server for all cases. It ends with the process.
fn server() -> &'static PrivateDynalite {
    static SERVER: LazyLock<PrivateDynalite> = LazyLock::new(PrivateDynalite::start);
    &SERVER
}

/// The machine may be busy with other tests.
pub fn options() -> DynamoOptions {
    DynamoOptions {
        deadline: Duration::from_secs(60),
        // So that what is in several has to be put together.
        partitions: 3,
        credentials: DynamoCredentials::Static {
            id: KEY_ID.into(),
            secret: SECRET.into(),
        },
        ..DynamoOptions::default()
    }
}

/// The name of a table that is not there yet.
pub fn new_table() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("links-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub async fn open(url: &str, clock: Arc<dyn Clock>, options: &DynamoOptions) -> DynamoLinkStore {
    let address = DynamoAddress::parse(url).unwrap();
    let store = DynamoLinkStore::open(&address, clock, options).await;
    store.unwrap_or_else(|error| panic!("{error}"))
}

struct Dynamo {
    store: Arc<DynamoLinkStore>,
    clock: Arc<ManualClock>,
    feed_capacity: u16,
    url: String,
}

impl Dynamo {
    async fn open(url: String, clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        let options = DynamoOptions {
            feed_capacity: feed_capacity.into(),
            ..options()
        };
        let store = open(&url, clock.clone(), &options).await;
        Self {
            store: Arc::new(store),
            clock,
            feed_capacity,
            url,
        }
    }
}

#[async_trait]
impl Engine for Dynamo {
    type Store = DynamoLinkStore;

    async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        let url = server().url(&new_table());
        Self::open(url, clock, feed_capacity).await
    }

    fn store(&self) -> Arc<DynamoLinkStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        assert!(
            Arc::into_inner(self.store).is_some(),
            "the store is still in use"
        );
        Self::open(self.url, self.clock, self.feed_capacity).await
    }
}

tollgate_links::store_conformance!(Dynamo, ignored: "needs dynalite: scripts/test e2e");

//! The suite that every store passes.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use tollgate_clock::ManualClock;
use tollgate_links::store::PostgresLinkStore;
use tollgate_links::store::conformance::Engine;

use crate::private_postgres::PrivatePostgres;
use crate::{open, options};

/// One server for all cases. It ends with the process.
pub(crate) fn server() -> Arc<PrivatePostgres> {
    // Stores of several shards have many connections.
    static SERVER: LazyLock<Arc<PrivatePostgres>> =
        LazyLock::new(|| Arc::new(PrivatePostgres::start_with(&["max_connections=400"])));
    Arc::clone(&SERVER)
}

impl Postgres {
    async fn open(database: String, clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        let mut options = options();
        options.feed_capacity = feed_capacity.into();
        let store = open(&server().url(&database), clock.clone(), &options).await;
        Self {
            store: Arc::new(store),
            clock,
            feed_capacity,
            database,
        }
    }
}

struct Postgres {
    store: Arc<PostgresLinkStore>,
    clock: Arc<ManualClock>,
    feed_capacity: u16,
    database: String,
}

#[async_trait]
impl Engine for Postgres {
    type Store = PostgresLinkStore;

    async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
        let database = server().database();
        Self::open(database, clock, feed_capacity).await
    }

    fn store(&self) -> Arc<PostgresLinkStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        assert!(
            Arc::into_inner(self.store).is_some(),
            "the store is still in use"
        );
        Self::open(self.database, self.clock, self.feed_capacity).await
    }
}

tollgate_links::store_conformance!(Postgres);

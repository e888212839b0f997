//! Every store of this crate against the conformance suite.

mod memory {
    use std::sync::Arc;

    use async_trait::async_trait;
    use tollgate_clock::ManualClock;
    use tollgate_links::store::MemoryStore;
    use tollgate_links::store::conformance::Engine;

    struct Memory(Arc<MemoryStore>);

    #[async_trait]
    impl Engine for Memory {
        type Store = MemoryStore;

        async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
            let store = MemoryStore::with_feed_capacity(clock, feed_capacity.into());
            Self(Arc::new(store))
        }

        fn store(&self) -> Arc<MemoryStore> {
            Arc::clone(&self.0)
        }

        async fn reopen(self) -> Self {
            self
        }
    }

    tollgate_links::store_conformance!(Memory);
}

mod sqlite {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use tollgate_clock::ManualClock;
    use tollgate_links::store::conformance::Engine;
    use tollgate_links::store::{SqliteLinkStore, SqliteOptions};

    struct Sqlite {
        store: Arc<SqliteLinkStore>,
        clock: Arc<ManualClock>,
        feed_capacity: u16,
        dir: tempfile::TempDir,
    }

    fn open(dir: &Path, clock: Arc<ManualClock>, feed_capacity: u16) -> Arc<SqliteLinkStore> {
        let mut options = SqliteOptions {
            feed_capacity: feed_capacity.into(),
            ..SqliteOptions::default()
        };
        // The machine may be busy with other tests.
        options.open.busy_timeout = Duration::from_secs(60);
        let store = SqliteLinkStore::open(&dir.join("links.db"), clock, &options);
        Arc::new(store.unwrap_or_else(|error| panic!("{error}")))
    }

    #[async_trait]
    impl Engine for Sqlite {
        type Store = SqliteLinkStore;

        async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self {
            let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
            Self {
                store: open(dir.path(), Arc::clone(&clock), feed_capacity),
                clock,
                feed_capacity,
                dir,
            }
        }

        fn store(&self) -> Arc<SqliteLinkStore> {
            Arc::clone(&self.store)
        }

        async fn reopen(self) -> Self {
            let Self {
                store,
                clock,
                feed_capacity,
                dir,
            } = self;
            assert!(
                Arc::into_inner(store).is_some(),
                "the store is still in use"
            );
            Self {
                store: open(dir.path(), Arc::clone(&clock), feed_capacity),
                clock,
                feed_capacity,
                dir,
            }
        }
    }

    tollgate_links::store_conformance!(Sqlite);
}

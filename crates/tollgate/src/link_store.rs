//! The store of the links, on the engine that the configuration chooses.

use std::path::Path;
use std::sync::Arc;

use tollgate_clock::SystemClock;
use tollgate_config::{Config, Engine};
use tollgate_links::store::{
    ChangeFeed, LeaseStore, Lifecycle, LinkStore, SqliteLinkStore, SqliteOptions,
};
use tollgate_server::metrics::{Metrics, WatchedFile};

#[cfg(feature = "dynamodb")]
use crate::dynamo;
use crate::open;
#[cfg(feature = "postgres")]
use crate::postgres as shared;

/// One store, by what it is asked for.
pub(crate) struct Links {
    pub(crate) store: Arc<dyn LinkStore>,
    pub(crate) feed: Arc<dyn ChangeFeed>,
    pub(crate) leases: Arc<dyn LeaseStore>,
    pub(crate) lifecycle: Arc<dyn Lifecycle>,
    /// Where it is, without anything secret.
    pub(crate) place: String,
    /// Shows how it works.
    pub(crate) register: Box<dyn FnOnce(&Metrics) + Send>,
    /// The file, if it is one.
    pub(crate) file: Option<WatchedFile>,
}

impl Links {
    pub(crate) fn new<S>(store: Arc<S>, place: String) -> Self
    where
        S: LinkStore + ChangeFeed + LeaseStore + Lifecycle,
    {
        Self {
            store: store.clone(),
            feed: store.clone(),
            leases: store.clone(),
            lifecycle: store,
            place,
            register: Box::new(|_| ()),
            file: None,
        }
    }
}

/// Opens the store; its tables are made if they are not there.
pub(crate) async fn open(config: &Config, data_dir: &Path) -> anyhow::Result<Links> {
    match &config.links.store {
        Engine::Postgres(url) => shared::open(url, &config.postgres).await,
        Engine::Dynamo(url) => dynamo::open(url, &config.dynamo).await,
        Engine::Shards(urls) => shared::open_shards(urls, &config.postgres).await,
        Engine::ClickHouse(_) => anyhow::bail!("links.store: a ClickHouse is for statistics only"),
        Engine::Sqlite(_) => {
            // It is in a file.
            let file = config.links_file(data_dir).unwrap_or_default();
            open::directory_of(&file)?;
            let clock = Arc::new(SystemClock::new());
            let store = SqliteLinkStore::open(&file, clock, &SqliteOptions::default())?;
            let watched = open::watched("links", store.watch_writer());
            Ok(Links {
                file: Some(watched),
                ..Links::new(Arc::new(store), file.display().to_string())
            })
        }
    }
}

#[cfg(not(feature = "postgres"))]
mod shared {
    use tollgate_config::{Postgres, Secret};

    use super::Links;

    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn open(_: &Secret, _: &Postgres) -> anyhow::Result<Links> {
        anyhow::bail!(
            "links.store: this build has no client of PostgreSQL: build with --features postgres"
        )
    }

    pub(super) async fn open_shards(urls: &[Secret], config: &Postgres) -> anyhow::Result<Links> {
        open(&urls[0], config).await
    }
}

#[cfg(not(feature = "dynamodb"))]
mod dynamo {
    use tollgate_config::{Dynamo, Secret};

    use super::Links;

    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn open(_: &Secret, _: &Dynamo) -> anyhow::Result<Links> {
        anyhow::bail!(
            "links.store: this build has no client of DynamoDB: build with --features dynamodb"
        )
    }
}

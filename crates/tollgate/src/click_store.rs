//! The store of the statistics of clicks, on the engine that the configuration chooses.

use std::path::Path;
use std::sync::Arc;

use tollgate_clicks::store::{ClickStore, SqliteClickStore, SqliteOptions};
use tollgate_clock::SystemClock;
use tollgate_config::{Config, Engine};
use tollgate_server::metrics::Metrics;

#[cfg(feature = "clickhouse")]
use crate::clickhouse;
use crate::open;
#[cfg(feature = "postgres")]
use crate::postgres as shared;

/// One store.
pub(crate) struct Clicks {
    pub(crate) store: Arc<dyn ClickStore>,
    /// Where it is, without anything secret.
    pub(crate) place: String,
    /// Whether other servers may count in it.
    pub(crate) is_shared: bool,
    /// Shows how it works.
    pub(crate) register: Box<dyn FnOnce(&Metrics) + Send>,
}

/// Opens the store; its tables are made if they are not there.
pub(crate) async fn open(config: &Config, data_dir: &Path) -> anyhow::Result<Clicks> {
    match &config.clicks.store {
        Engine::Postgres(url) => shared::open_clicks(url, config).await,
        Engine::ClickHouse(url) => clickhouse::open(url, config).await,
        Engine::Dynamo(_) => anyhow::bail!("clicks.store: a table of DynamoDB is for links only"),
        Engine::Shards(_) => anyhow::bail!("clicks.store: only links can be spread over shards"),
        Engine::Sqlite(_) => {
            // It is in a file.
            let file = config.clicks_file(data_dir).unwrap_or_default();
            Ok(Clicks {
                store: sqlite(config, &file, || ())?,
                place: file.display().to_string(),
                is_shared: false,
                register: Box::new(|_| ()),
            })
        }
    }
}

impl Clicks {
    /// The same store, for a thread that gives way to all others: what writes to it does as well, unless
    /// that is another machine.
    pub(crate) fn patient(
        &self,
        config: &Config,
        data_dir: &Path,
        give_way: fn(),
    ) -> anyhow::Result<Arc<dyn ClickStore>> {
        match config.clicks_file(data_dir) {
            Some(file) => sqlite(config, &file, give_way),
            None => Ok(Arc::clone(&self.store)),
        }
    }
}

/// A file; the thread that writes to it does `begin` first.
fn sqlite(config: &Config, file: &Path, begin: fn()) -> anyhow::Result<Arc<dyn ClickStore>> {
    open::directory_of(file)?;
    let options = SqliteOptions {
        retain_raw: config.clicks.retain_raw,
        archive: config.clicks.archive_dir.clone(),
        begin,
    };
    let store = SqliteClickStore::open(file, Arc::new(SystemClock::new()), options)?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "postgres"))]
mod shared {
    use tollgate_config::{Config, Secret};

    use super::Clicks;

    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn open_clicks(_: &Secret, _: &Config) -> anyhow::Result<Clicks> {
        anyhow::bail!(
            "clicks.store: this build has no client of PostgreSQL: build with --features postgres"
        )
    }
}

#[cfg(not(feature = "clickhouse"))]
mod clickhouse {
    use tollgate_config::{Config, Secret};

    use super::Clicks;

    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn open(_: &Secret, _: &Config) -> anyhow::Result<Clicks> {
        anyhow::bail!(
            "clicks.store: this build has no client of ClickHouse: build with --features clickhouse"
        )
    }
}

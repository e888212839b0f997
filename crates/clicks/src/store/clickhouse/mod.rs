//! A ClickHouse in which instances count together.

mod add;
mod address;
mod client;
mod read;
mod retain;
mod rows;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use address::{ClickHouseAddress, ClickHouseAddressError};
use async_trait::async_trait;
use tollgate_clock::Clock;
use xxhash_rust::xxh3::xxh3_64;

use self::client::Client;
use super::raw::Day;
use super::{AddedTogether, ClickStore, EnrichedBatch, Retained, StoreError, clicks_of};
use crate::query::{ClickPage, LinkName, List, Query, QueryError, Scope, Statistics, Totals};
use crate::rollup::RollupBatch;
use crate::{Position, SourceId};

/// How a [`ClickHouseClickStore`] works.
#[derive(Debug, Clone)]
pub struct ClickHouseOptions {
    /// How long a statement may take.
    pub deadline: Duration,
    /// How long single clicks are kept, rounded up to whole days in UTC. Zero keeps none.
    pub retain_raw: Duration,
    /// Where they are archived before they are dropped, by the instance that does so; nowhere if none.
    pub archive: Option<PathBuf>,
    /// A random number that tells this instance from all others.
    pub identity: u64,
}

/// What a [`ClickHouseClickStore`] has done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickHouseStats {
    /// Statements.
    pub requests: u64,
    /// Those that failed, or were not done in time.
    pub failed: u64,
}

/// Clicks in a database that instances share.
pub struct ClickHouseClickStore {
    inner: Inner,
}

struct Inner {
    client: Client,
    clock: Arc<dyn Clock>,
    retain_raw: Duration,
    archive: Option<PathBuf>,
    identity: u64,
    commits: AtomicU64,
}

impl ClickHouseClickStore {
    /// Makes the table if it is not there. The store's connections live on the runtime this is called on.
    ///
    /// # Errors
    /// [`StoreError`]; its text names the server, and no password.
    pub async fn open(
        address: ClickHouseAddress,
        clock: Arc<dyn Clock>,
        options: &ClickHouseOptions,
    ) -> Result<Self, StoreError> {
        let client = Client::new(address, options.deadline)?;
        schema::prepare(&client).await?;
        Ok(Self {
            inner: Inner {
                client,
                clock,
                retain_raw: options.retain_raw,
                archive: options.archive.clone(),
                identity: options.identity,
                commits: AtomicU64::new(0),
            },
        })
    }

    /// Where it is, without anything secret.
    #[must_use]
    pub fn place(&self) -> String {
        self.inner.client.place()
    }

    /// What it has done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> ClickHouseStats {
        let (requests, failed) = self.inner.client.counts();
        ClickHouseStats { requests, failed }
    }
}

impl Inner {
    /// The first day whose single clicks are kept.
    fn keep(&self) -> Day {
        Day::kept(self.clock.now(), self.retain_raw)
    }

    /// Tells an attempt from all others.
    fn owner(&self) -> String {
        format!(
            "{:016x}.{}",
            self.identity,
            self.commits.fetch_add(1, Relaxed)
        )
    }

    /// How long to wait before the next attempt: longer each time, and different for each instance.
    fn spread(&self, turn: u32) -> Duration {
        let seed = [self.identity, self.commits.load(Relaxed)].map(u64::to_le_bytes);
        let random = xxh3_64(seed.as_flattened());
        let most = 5_u64 << turn.min(6);
        Duration::from_millis(1 + random % most)
    }
}

#[async_trait]
impl ClickStore for ClickHouseClickStore {
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError> {
        self.inner.positions(sources).await
    }

    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError> {
        let rollups = RollupBatch::of(clicks_of(&batches));
        self.inner.add(&batches, &rollups).await
    }

    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError> {
        self.inner.statistics(&query).await
    }

    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError> {
        self.inner.totals(&scopes).await
    }

    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError> {
        self.inner.list(&list).await
    }

    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        self.inner.forget(link).await
    }

    async fn retain(&self) -> Result<Retained, StoreError> {
        self.inner.retain().await
    }
}

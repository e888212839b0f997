//! Where clicks are counted and kept.

mod archive;
#[cfg(feature = "clickhouse")]
mod clickhouse;
#[cfg(feature = "postgres")]
mod postgres;
mod raw;
mod reading;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "clickhouse")]
pub use clickhouse::{
    ClickHouseAddress, ClickHouseAddressError, ClickHouseClickStore, ClickHouseOptions,
    ClickHouseStats,
};
#[cfg(feature = "postgres")]
pub use postgres::{AddressError, PoolStats, PostgresAddress, PostgresClickStore, PostgresOptions};
pub use sqlite::{SqliteClickStore, SqliteOptions};

use crate::query::{ClickPage, LinkName, List, Query, QueryError, Scope, Statistics, Totals};
use crate::{EnrichedClick, Position, SourceId};

/// Why a store did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Worth trying again later: the engine is away, busy or overloaded.
    #[error("the store of clicks is unavailable: {0}")]
    Unavailable(String),
    /// The file or database only allows reading.
    #[error("the store of clicks is read-only: {0}")]
    ReadOnly(String),
    /// No space is left.
    #[error("the store of clicks is full: {0}")]
    Full(String),
    /// What is stored cannot be read as what it should be.
    #[error("the store of clicks is damaged: {0}")]
    Corrupt(String),
    /// The schema was written by a newer version of this program.
    #[error(
        "the schema of {place} is version {found}, this program knows {known}: upgrade tollgate"
    )]
    NewerSchema {
        /// The file or database.
        place: String,
        /// Version found in the store.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },
    /// Raw clicks cannot be archived, and so are not dropped.
    #[error("raw clicks cannot be archived: {0}")]
    Archive(String),
    /// Anything else, which is a defect.
    #[error("unexpected error of the store of clicks: {0}")]
    Unexpected(String),
}

/// Clicks of one source that follow each other, ready to be counted.
#[derive(Debug, Clone)]
pub struct EnrichedBatch {
    /// Which source.
    pub source: SourceId,
    /// What the source was asked to go on from.
    pub after: Position,
    /// Where the last click ends.
    pub to: Position,
    /// The clicks.
    pub clicks: Vec<Arc<EnrichedClick>>,
}

/// All clicks of batches.
fn clicks_of(batches: &[EnrichedBatch]) -> impl Iterator<Item = &EnrichedClick> {
    let clicks = batches.iter().flat_map(|batch| &batch.clicks);
    clicks.map(Arc::as_ref)
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is counted, and durable.
    Counted,
    /// Nothing was done, because the source is counted up to here, which is not where the batch
    /// begins: it was counted before, or another one is missing. Go on from here.
    Elsewhere(Position),
}

/// What became of batches that were given together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddedTogether {
    /// All are counted, and durable.
    Counted,
    /// Nothing was done, because not every source is counted up to where its batch begins. Up to where
    /// each is, in the order of the batches.
    Elsewhere(Vec<Position>),
}

/// What [`ClickStore::retain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Days whose raw clicks were dropped.
    pub days: u64,
    /// The raw clicks in them.
    pub clicks: u64,
}

/// Counts clicks, each exactly once, and answers questions about them.
#[async_trait]
pub trait ClickStore: Send + Sync {
    /// Up to where a source is counted; the beginning if nothing of it is.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn position(&self, source: &SourceId) -> Result<Position, StoreError> {
        let positions = self.positions(std::slice::from_ref(source)).await?;
        Ok(positions.first().copied().unwrap_or_default())
    }

    /// Up to where each of some sources is counted, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError>;

    /// Counts a batch: roll-ups, raw clicks and the new position become durable together or not at
    /// all. Only if the source is counted up to exactly [`EnrichedBatch::after`]; so a batch that is
    /// given twice counts once, and none is left out.
    ///
    /// # Errors
    /// [`StoreError`]. It may have been counted nevertheless: to give it again is right.
    async fn add(&self, batch: EnrichedBatch) -> Result<Added, StoreError> {
        Ok(match self.add_together(vec![batch]).await? {
            AddedTogether::Counted => Added::Counted,
            AddedTogether::Elsewhere(positions) => {
                Added::Elsewhere(positions.first().copied().unwrap_or_default())
            }
        })
    }

    /// Counts batches of different sources as [`Self::add`] does, in one transaction: all of them, or
    /// none. Many small ones cost much less together, as they have roll-ups in common.
    ///
    /// # Errors
    /// [`StoreError`]. They may have been counted nevertheless: to give them again is right.
    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError>;

    /// Answers a query.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError>;

    /// All clicks of each scope that were ever counted, in the order of the scopes: for lists of
    /// links, where [`Self::statistics`] would do too much.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError>;

    /// Lists raw clicks.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError>;

    /// Deletes all that is counted of one link, its raw clicks, and the positions of
    /// [imports](crate::import) of it. Totals of its domain and of
    /// everything stay as they are. Answers whether there was anything.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError>;

    /// Drops raw clicks past their time by whole days, archived first if that is configured.
    ///
    /// # Errors
    /// [`StoreError`]; days that were done stay done.
    async fn retain(&self) -> Result<Retained, StoreError>;
}

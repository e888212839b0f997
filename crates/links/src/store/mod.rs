//! Where links live. A store implements three small traits: [`LinkStore`] for the links,
//! [`ChangeFeed`] so that caches elsewhere learn of edits, [`LeaseStore`] for what the code
//! strategies share between instances; and [`Lifecycle`] if it can tell of links that are made and expire. One conformance suite runs against every store.

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
mod answer;
#[cfg(any(
    feature = "sqlite",
    feature = "postgres",
    feature = "dynamodb",
    feature = "redis"
))]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "dynamodb")),
    allow(dead_code, reason = "the shared cache needs only a part of it")
)]
pub(crate) mod columns;
#[cfg(feature = "testing")]
pub mod conformance;
mod cursor;
#[cfg(feature = "dynamodb")]
mod dynamo;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod history;
mod lease;
mod lifecycle;
mod links;
#[cfg(feature = "testing")]
mod memory;
#[cfg(feature = "testing")]
mod memory_lease;
#[cfg(feature = "postgres")]
mod postgres;
mod search;
#[cfg(feature = "postgres")]
mod sharded;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "dynamodb")]
pub use dynamo::{
    DynamoAddress, DynamoAddressError, DynamoCredentials, DynamoLinkStore, DynamoOptions,
    DynamoStats,
};
pub use history::changes;
pub use lease::{Block, LeaseStore, PoolCode, WorkerLease};
pub use lifecycle::{Expiry, Lifecycle};
pub use links::{
    ChangeFeed, ChangeSeq, Changes, ClickGrant, Cursor, Delete, Deleted, Edit, EditAction,
    FEED_BATCH, IdempotencyToken, Insert, Inserted, LinkCopy, LinkStore, ListOrder, ListQuery,
    Page, Swept, Update, Updated,
};
#[cfg(feature = "testing")]
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{
    AddressError, PostgresAddress, PostgresLinkStore, PostgresOptions, PostgresStats,
    ReplicaReadStats, ReplicaReads, ReplicaStats,
};
pub use search::{DEFAULT_PAGE_LINKS, MAX_PAGE_LINKS, without_scheme};
#[cfg(feature = "postgres")]
pub use sharded::{
    RebalanceOptions, Rebalanced, Rebalancer, ShardAddress, ShardCount, ShardError, ShardProgress,
    ShardStats, ShardedLinkStore,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteLinkStore, SqliteOptions};

/// What can go wrong in any store. The text is for the log and the operator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Worth trying again later: the engine is away, busy or overloaded.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Worth trying again later: so many wait for the store already that this would not be answered in time. It was
    /// not asked.
    #[error("too many wait for the store already")]
    Overloaded,
    /// The file or database only allows reading.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// No space is left.
    #[error("the store is full: {0}")]
    Full(String),
    /// What is stored cannot be read as what it should be.
    #[error("the store is damaged: {0}")]
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
    /// Links are placed on shards in another way than this process knows of. It was not done.
    #[error("the shards of the store have changed: {0}")]
    ShardsChanged(String),
    /// A cursor that no listing in this order gave out; the caller's mistake, not the store's.
    #[error("the cursor does not belong to this listing: begin again without it")]
    BadCursor,
    /// Anything else, which is a defect.
    #[error("unexpected store error: {0}")]
    Unexpected(String),
}

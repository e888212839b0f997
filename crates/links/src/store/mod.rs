//! Where links live. A store implements three small traits: [`LinkStore`] for the links,
//! [`ChangeFeed`] so that caches elsewhere learn of edits, [`LeaseStore`] for what the code
//! strategies share between instances. One conformance suite runs against every store.

mod lease;
mod links;

pub use lease::{Block, LeaseStore, PoolCode, WorkerLease};
pub use links::{
    ChangeFeed, ChangeSeq, Changes, ClickGrant, Cursor, Delete, Deleted, Edit, EditAction,
    IdempotencyToken, Insert, Inserted, LinkStore, ListOrder, ListQuery, Page, Swept, Update,
    Updated,
};

/// What can go wrong in any store. The text is for the log and the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Worth trying again later: the engine is away, busy or overloaded.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
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
    #[error("the store's schema is version {found}, this program knows {known}: upgrade tollgate")]
    NewerSchema {
        /// Version found in the store.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },
    /// Anything else, which is a defect.
    #[error("unexpected store error: {0}")]
    Unexpected(String),
}

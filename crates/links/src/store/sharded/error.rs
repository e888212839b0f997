use tollgate_ring::RingError;

use super::map::name;
use crate::store::StoreError;

/// Why shards cannot be used as they are listed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ShardError {
    /// One of them fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list leaves one out that has links.
    #[error(
        "the shard {name} of the stored map is not in the list: add its address; to take it out, list \
         it with ?weight=0, and run `tollgate migrate rebalance`",
        name = name(*.0)
    )]
    NotListed(u16),
    /// Two addresses lead to one database.
    #[error("{0} and {1} are the same shard: list it once")]
    Twice(String, String),
    /// Somebody else's.
    #[error("{0} is a shard of another store: give an empty database")]
    OfAnotherStore(String),
    /// It has links of its own.
    #[error(
        "{0} has links already, and is no shard of this store: give an empty database, and import its links"
    )]
    NotEmpty(String),
    /// Several databases with links are to become shards of one store.
    #[error(
        "{0} and {1} both have links: begin with one of them and empty databases, and import the links of the other"
    )]
    SeveralHaveLinks(String, String),
    /// No shard was listed.
    #[error("list at least one shard with a weight above 0")]
    None,
    /// Another one is at work.
    #[error("links are being moved by another process: wait for it, or end it")]
    Busy,
    /// More than can have numbers.
    #[error("no more than 1023 shards can ever be part of a store")]
    TooMany,
    /// No ring can be made of the weights.
    #[error(transparent)]
    Ring(#[from] RingError),
}

//! A queue that instances share: what one captures may be counted by any.
//!
//! Each forwards pieces of its spool, and keeps them until they are counted; any of them takes pieces and
//! has them counted, under the position of the spool that they are from. So whatever the queue does twice counts
//! once, and what it loses is forwarded again.

mod forward;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "redis")]
mod redis;
mod take;

use async_trait::async_trait;

pub use self::forward::{ForwardOptions, ForwardStats, Forwarder};
#[cfg(feature = "kafka")]
pub use self::kafka::{
    KafkaFile, KafkaQueue, KafkaQueueError, KafkaQueueOptions, KafkaTls, SaslMechanism,
};
#[cfg(feature = "redis")]
pub use self::redis::{RedisQueue, RedisQueueError, RedisQueueOptions};
pub use self::take::{TakeOptions, Taker};
use crate::spool::Piece;
use crate::{Position, SourceId};

/// Why the queue did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Worth trying again later.
    #[error("the queue of clicks is unavailable: {0}")]
    Unavailable(String),
    /// It holds or answers what nothing of ours can have written.
    #[error("the queue of clicks failed: {0}")]
    Failed(String),
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is in the queue, or was before.
    Done,
    /// Nothing was done, because the spool is in the queue up to here, which is not where the piece begins;
    /// none if nothing is known of the spool.
    Elsewhere(Option<Position>),
    /// The queue holds as much as it may: later.
    Full,
}

/// A piece that was taken, and is given to others if it is not [done](SharedQueue::done) for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// By which the queue knows it.
    pub name: Vec<u8>,
    /// What it is.
    pub piece: Piece,
}

/// Pieces of spools, on their way to whoever counts them.
#[async_trait]
pub trait SharedQueue: Send + Sync {
    /// Up to where a spool is in the queue, or was; none if it is not known.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn position(&self, source: &SourceId) -> Result<Option<Position>, QueueError>;

    /// Appends a piece, if it begins where the last one of its spool ended. `anew`: wherever that was.
    ///
    /// # Errors
    /// [`QueueError`]. It may have been appended nevertheless: to give it again is right.
    async fn put(&self, piece: &Piece, anew: bool) -> Result<Put, QueueError>;

    /// Takes at most so many pieces: those that others took and did not finish in time, then those that
    /// nobody took. `again`: those that this one took before, as an earlier process.
    ///
    /// # Errors
    /// [`QueueError`]. Some may have been taken nevertheless, and are taken again later.
    async fn take(&self, most: usize, again: bool) -> Result<Vec<Taken>, QueueError>;

    /// Removes pieces that are counted.
    ///
    /// # Errors
    /// [`QueueError`]; then they are taken again later.
    async fn done(&self, names: &[Vec<u8>]) -> Result<(), QueueError>;
}

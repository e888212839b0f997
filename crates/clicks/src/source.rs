//! Where captured clicks wait to be counted.

use async_trait::async_trait;
use smol_str::SmolStr;

use crate::Click;

/// Which queue a position belongs to, for example one spool on one disk. Never used again for
/// another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceId(pub SmolStr);

/// How far a source was read. Positions of one source are ordered as its clicks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Which segment.
    pub segment: u64,
    /// Bytes into it, or whatever else the source counts by.
    pub offset: u64,
}

/// Clicks that follow each other in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where the first one begins.
    pub from: Position,
    /// Where the last one ends.
    pub to: Position,
    /// In the order in which they were captured, more or less.
    pub clicks: Vec<Click>,
}

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read now.
    #[error("the queue of clicks cannot be read: {0}")]
    Unavailable(String),
}

/// Gives captured clicks again and again until told that they are counted.
///
/// A store of clicks keeps the position up to which it has counted, in the same transaction as the
/// counts: so a batch that is given twice is counted once.
#[async_trait]
pub trait ClickSource: Send + Sync {
    /// Its name.
    fn id(&self) -> &SourceId;

    /// The next clicks behind `after` (the beginning, if that is the default), at most about `most`
    /// of them. Waits until there are some.
    ///
    /// # Errors
    /// [`SourceError`]; asking again is right.
    async fn next(&self, after: Position, most: usize) -> Result<Batch, SourceError>;

    /// Everything before `position` is counted, and need not be kept.
    ///
    /// # Errors
    /// [`SourceError`]; then it is only kept longer.
    async fn counted(&self, position: Position) -> Result<(), SourceError>;
}

//! The spool: clicks in files, from the queues of the edge until they are counted.
//!
//! A directory of segments, which only grow at their end. Each start of the process begins a new
//! one, so that a position, once given out, never means another click: not even after a power cut
//! that took what was not synced. A segment is deleted when all of it is counted, but never the
//! newest one, which carries the identity and the numbering on.

mod append;
mod directory;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod piece;
mod read;
mod segment;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

pub use directory::SpoolError;
pub use piece::{MAX_PIECE, Part, Piece};
pub use read::SpoolSource;
pub use state::{SpoolHealth, SpoolStats};
pub use writer::Spool;

/// Where and how clicks are spooled.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// A directory of its own; made if it is not there.
    pub directory: PathBuf,
    /// The most bytes of all segments together. Beyond it, new clicks are dropped.
    pub max_bytes: u64,
    /// How often what was written is synced to the disk; `None` leaves that to the system.
    pub sync: Option<Duration>,
    /// Names the spool if it is new: 64 random bits.
    pub identity: u64,
    /// Names the clicks of this process: 64 random bits.
    pub process: u64,
}

impl SpoolOptions {
    /// When the next segment is begun. A full spool has room again as soon as one segment is
    /// counted, so that there have to be several.
    fn segment_bytes(&self) -> u64 {
        const MOST: u64 = 64 << 20;
        (self.max_bytes / 8).min(MOST)
    }
}

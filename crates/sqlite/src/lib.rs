//! Opening SQLite files the way every embedded store here wants them, bringing their schema up to
//! date, and running work on them: one thread that writes and commits in groups, and several
//! threads that read.
//!
//! Nothing here assumes that it is alone: other processes may read and write the same file.

mod copy;
mod error;
mod migrate;
mod open;
mod readers;
mod writer;

pub use copy::copy;
pub use error::Error;
pub use migrate::{Migrated, migrate};
pub use open::{OpenOptions, open};
pub use readers::{Readers, ReadersOptions};
pub use rusqlite;
pub use writer::{Writer, WriterOptions, WriterStats};

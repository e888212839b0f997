//! Listeners that are served by threads of their own, as the edge and the Redis protocol are: each
//! thread has its own listener on the same address (`SO_REUSEPORT`) and its own current-thread
//! runtime, so that a connection never leaves its core.

mod alone;
mod bind;
mod drain;
mod failures;
mod run;
mod talk;
mod together;

pub(crate) use alone::{Alone, End};
pub use bind::listen;
pub(crate) use bind::listeners;
pub(crate) use drain::Drain;
pub(crate) use failures::FailureLog;
pub(crate) use run::{Bounds, Speaker, start};
pub use run::{Handle, ServeError};
pub(crate) use talk::{FLUSH_BYTES, Talk, Wants, with_unread};
pub(crate) use together::{Batch, Connection, Ticket, enter};

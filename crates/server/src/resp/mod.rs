//! The limit service over the protocol of Redis: `CL.THROTTLE` and `THROTTLE`, which bring a limit
//! along, `TG.CHECK`, which asks the policies, and what clients of Redis expect around them.
//!
//! Each thread has its own listener and runtime, as on the edge. Of what has arrived (`connection`), a
//! conversation reads the whole commands (`request`), and writes the answer to each behind the one
//! before (`answer`, `throttle`, `check`, `reply`).

mod accept;
mod answer;
mod check;
pub(crate) mod command;
mod connection;
mod conversation;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod info;
mod inline;
mod reply;
mod request;
mod session;
mod throttle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tollgate_clock::Clock;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::LimitStore;

use crate::metrics::Metrics;

pub use crate::threads::{Handle as RespHandle, ServeError};
pub use accept::{BindError, BoundResp, bind};

/// A good [`RespOptions::max_frame`].
pub const MAX_FRAME: usize = 64 * 1024;
/// The most words in a command.
pub const MAX_ELEMENTS: usize = 1024;

/// How the listener listens and what it allows; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct RespOptions {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Threads, each with a listener and a runtime of its own; 0 counts as 1.
    pub threads: usize,
    /// The most connections at once, over all threads; more are told so and closed.
    pub max_connections: usize,
    /// How long a connection may lie idle. The rest of a command that has begun, and the taking of
    /// answers, may last as long, but at most ten seconds.
    pub idle_timeout: Duration,
    /// The most bytes in all words of a command, of which there are at most [`MAX_ELEMENTS`].
    pub max_frame: usize,
    /// What clients have to say first.
    pub password: Option<SecretString>,
    /// How long connections may take to end after shutdown was asked for.
    pub drain: Duration,
}

/// What the listener works with.
#[derive(Clone)]
pub struct RespState {
    /// Decides limits that requests bring along.
    pub store: Arc<dyn LimitStore>,
    /// Decides by policies.
    pub service: Arc<LimitService>,
    /// Times the log and the uptime; the store has its own.
    pub clock: Arc<dyn Clock>,
    /// Where connections and commands are counted.
    pub metrics: Arc<Metrics>,
}

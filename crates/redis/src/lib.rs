//! Asking a Redis: one server, the master that Sentinels name, or a cluster. What is asked are calls of
//! scripts; requests share one connection to each server and do not wait for each other's answers. A
//! connection that breaks or hangs is made again. Beside it, messages to all who listen, and a circuit
//! breaker for what may be away.

mod address;
mod breaker;
mod call;
mod client;
mod cluster;
mod link;
mod servers;
mod slots;
mod subscription;

use redis::{ErrorKind, RedisError, ServerErrorKind};

pub use address::RedisUrlError;
pub use breaker::{Breaker, BreakerOptions, BreakerState, BreakerStats, Part};
pub use call::Call;
pub use client::{Client, ClientOptions};
pub use slots::of as slot_of;
pub use subscription::Subscription;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Redis cannot be reached, is not ready, or took too long.
    #[error("Redis cannot be reached: {0}")]
    Unavailable(String),
    /// It answered what it never should.
    #[error("Redis failed: {0}")]
    Failed(String),
}

/// Whether it is the fault of this request, or of the server and the way to it.
fn failure(error: &RedisError) -> AskError {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ResponseError)
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Client => AskError::Failed(message),
        _ if error.code() == Some("WRONGTYPE") => AskError::Failed(message),
        _ => AskError::Unavailable(message),
    }
}

//! Where the states of keys live, and how they are stepped.

#[cfg(feature = "redis")]
mod guarded;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "redis")]
pub use self::guarded::{BreakerState, BreakerStats, GuardOptions, Guarded};
pub use self::memory::{MemoryOptions, MemoryStats, MemoryStore, SnapshotError};
#[cfg(feature = "redis")]
pub use self::redis::{Inexact, RedisOptions, RedisStore, RedisUrlError};
use crate::{Limiter, Shaped};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// What a limit counts by: any bytes, 1 to [`MAX_KEY_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey(Arc<[u8]>);

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("a key cannot be empty")]
    Empty,
    /// Over [`MAX_KEY_BYTES`].
    #[error("a key has at most {MAX_KEY_BYTES} bytes, this one has {0}")]
    TooLong(usize),
}

impl LimitKey {
    /// Checks and keeps the bytes of a key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0 => Err(KeyError::Empty),
            1..=MAX_KEY_BYTES => Ok(Self(bytes.into())),
            length => Err(KeyError::TooLong(length)),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One limit that a request has to pass.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Whose state.
    pub key: LimitKey,
    /// By what rule.
    pub limiter: Limiter,
    /// How much; 0 peeks.
    pub cost: u64,
    /// Whether a refusal refuses the request. A limit in shadow mode does not bind: it is charged,
    /// where it has room, when the request passes, and else only says what it would have done.
    pub binds: bool,
}

/// Why a store gave no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is not ready, or took too long.
    #[error("the store of limits cannot be reached: {0}")]
    Unavailable(String),
    /// It answered what it never should.
    #[error("the store of limits failed: {0}")]
    Failed(String),
}

/// Keeps the state of every key and steps it atomically.
#[async_trait]
pub trait LimitStore: Send + Sync + 'static {
    /// Decides all charges of one request at one moment, and charges all of them or none: if one
    /// that binds refuses, no key is charged, and the other decisions tell what they would have
    /// been, with what remains without the charge.
    ///
    /// The answer has one entry a charge, in their order. Keys may repeat: their charges add up.
    ///
    /// # Errors
    /// [`StoreError`]; nothing may be assumed of what was charged then.
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError>;
}

//! Where the states of keys live, and how they are stepped.

#[cfg(feature = "redis")]
mod guarded;
#[cfg(feature = "redis")]
mod leased;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "redis")]
pub use self::guarded::{Guarded, InParts};
#[cfg(feature = "redis")]
pub use self::leased::{LeaseOptions, LeaseStats, Leased};
pub use self::memory::{MemoryOptions, MemoryStats, MemoryStore, SnapshotError};
#[cfg(feature = "redis")]
pub(crate) use self::redis::name_in_redis;
#[cfg(feature = "redis")]
pub use self::redis::{Inexact, Instances, RedisOptions, RedisStore, RedisUrlError};
use crate::{Limiter, LimiterState, Moment, Shaped};
#[cfg(feature = "redis")]
pub use tollgate_redis::{BreakerOptions, BreakerState, BreakerStats, Part};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// What keys begin with that clients chose, and no key of a policy.
pub(crate) const CLIENT: &str = "r:";

/// What ends the domain in a key of a policy.
pub(crate) const LEVEL: char = '|';

/// The longest key that a client can choose, in bytes.
pub const MAX_CLIENT_KEY_BYTES: usize = MAX_KEY_BYTES - CLIENT.len();

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

    /// A key that a client chose, of up to [`MAX_CLIENT_KEY_BYTES`], kept apart from those of
    /// policies. It may be empty.
    ///
    /// # Errors
    /// [`KeyError::TooLong`], with the length that the client gave.
    pub fn of_client(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Self::parts_of_client(bytes)?.concat().into()))
    }

    /// What the bytes of [`of_client`](Self::of_client) are put together from, for who asks
    /// [`LimitStore::decide_at_once`] and needs no key.
    ///
    /// # Errors
    /// As those of [`of_client`](Self::of_client).
    pub const fn parts_of_client(bytes: &[u8]) -> Result<[&[u8]; 2], KeyError> {
        match bytes.len() {
            0..=MAX_CLIENT_KEY_BYTES => Ok([CLIENT.as_bytes(), bytes]),
            length => Err(KeyError::TooLong(length)),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the keys of a request have in common if there are several: what comes before the first
    /// `|`. A key that a client chose has none.
    #[must_use]
    pub fn domain(&self) -> Option<&[u8]> {
        if self.0.starts_with(CLIENT.as_bytes()) {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == LEVEL as u8)?;
        self.0.get(..end)
    }

    /// Keys with the same can be in one request: the domain, or of a key that a client chose all of
    /// it.
    #[cfg(feature = "redis")]
    pub(crate) fn group(&self) -> &[u8] {
        self.domain().unwrap_or(&self.0)
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
    /// Whether it may be decided on tokens that this instance has taken before, by a store
    /// that leases them (`Leased`, with the feature `redis`). Others take no notice.
    pub leased: bool,
}

/// Units to give back, that a decision charged and nobody used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    key: LimitKey,
    limiter: Limiter,
    units: u64,
    since: Moment,
}

impl Refund {
    /// All that a decision charged: `answers` are those of [`LimitStore::decide`] to `charges`.
    /// Nothing if the request was refused.
    #[must_use]
    pub fn of(charges: &[Charge], answers: &[Shaped]) -> Vec<Self> {
        let both = || charges.iter().zip(answers);
        if both().any(|(charge, answer)| charge.binds && !answer.decision.allowed()) {
            return Vec::new();
        }
        let charged = both().filter(|(charge, answer)| answer.decision.charges(charge.cost));
        charged
            .map(|(charge, answer)| Self {
                key: charge.key.clone(),
                limiter: charge.limiter,
                units: charge.cost,
                since: answer.charged(),
            })
            .collect()
    }

    /// Whose state.
    #[must_use]
    pub const fn key(&self) -> &LimitKey {
        &self.key
    }

    /// How many units.
    #[must_use]
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// Whether they are a place in a queue.
    pub(crate) const fn is_queued(&self) -> bool {
        matches!(self.limiter, Limiter::LeakyQueue(_))
    }

    /// Takes them back from a state, at a moment by the same clock as that of the decision.
    pub fn apply(&self, state: &mut LimiterState, now: Moment) {
        self.limiter.refund(state, now, self.units, self.since);
    }
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

    /// Takes back units that [`decide`](Self::decide) charged and nobody used, as far as they still
    /// count: [`Algorithm::refund`](crate::Algorithm::refund) says how many. What a key has
    /// forgotten is not given back.
    ///
    /// What is admitted without what is given back stays within the limits, but for a
    /// [`LeakyQueue`](crate::LeakyQueue), which says by how much it may not.
    ///
    /// # Errors
    /// [`StoreError`]; nothing may be assumed of what was given back then, so do not try again: no
    /// unit may be given back twice.
    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError>;

    /// Decides and charges a request of one key, as [`decide`](Self::decide) of one charge, if this
    /// store knows without waiting: without a future and without an allocation. `None` if it has to
    /// be asked the other way, and then nothing was charged. `key` is what a [`LimitKey`] holds.
    fn decide_at_once(&self, key: &[u8], limiter: &Limiter, cost: u64) -> Option<Shaped> {
        let _ = (key, limiter, cost);
        None
    }
}

#[async_trait]
impl<S: LimitStore + ?Sized> LimitStore for Arc<S> {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        (**self).decide(charges).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        (**self).refund(refunds).await
    }

    fn decide_at_once(&self, key: &[u8], limiter: &Limiter, cost: u64) -> Option<Shaped> {
        (**self).decide_at_once(key, limiter, cost)
    }
}

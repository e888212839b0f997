//! How codes are made. A strategy only proposes: the store's insert-if-absent decides.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_clock::Clock;

use crate::store::{LeaseStore, PoolCode, StoreError};
use crate::{Code, Domain, Origin, TargetUrl};

/// The ways to make a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// A leased counter block and a keyed bijection.
    Counter,
    /// A hash of the target.
    Hash,
    /// Time, worker and sequence.
    Snowflake,
    /// Made ahead, popped when needed.
    Pool,
    /// The operating system's randomness.
    Random,
}

/// A code to try. Give it back by [`Strategies::settle`] once the store has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The code.
    pub code: Code,
    /// Where it came from.
    pub origin: Origin,
    /// Set if it was taken from the pool.
    pub pooled: Option<PoolCode>,
}

/// What all strategies share; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct StrategyOptions {
    /// Characters in a code (Snowflake's are always 11, or 13 in case-insensitive mode).
    pub length: usize,
    /// Digits and lower-case letters only.
    pub case_insensitive: bool,
    /// Counter numbers leased at once.
    pub block_size: u64,
    /// SHA-256 instead of XXH3 for [`StrategyKind::Hash`].
    pub sha256: bool,
    /// How long a Snowflake worker number is leased.
    pub worker_ttl: Duration,
    /// Codes kept ready in the pool; 0 makes none ahead.
    pub pool_target: u64,
    /// How long the code of a deleted link rests before it returns to the pool.
    pub quarantine: Duration,
}

impl StrategyKind {
    /// Every strategy.
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Hash,
        Self::Snowflake,
        Self::Pool,
        Self::Random,
    ];

    /// What a link made this way has as its origin.
    #[must_use]
    pub const fn origin(self) -> Origin {
        match self {
            Self::Counter => Origin::Counter,
            Self::Hash => Origin::Hash,
            Self::Snowflake => Origin::Snowflake,
            Self::Pool => Origin::Pool,
            Self::Random => Origin::Random,
        }
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin().as_str())
    }
}

impl FromStr for StrategyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.origin().as_str() == text)
            .ok_or_else(|| {
                format!("{text:?} is no strategy: use counter, hash, snowflake, pool or random")
            })
    }
}

/// Why no code could be made.
#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    /// The store that strategies share failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    // SKELETON: the codes helper completes this.
}

/// All five strategies, ready to be asked.
pub struct Strategies {}

impl Strategies {
    /// SKELETON
    #[must_use]
    pub fn new(
        options: StrategyOptions,
        leases: Arc<dyn LeaseStore>,
        filter: Arc<crate::CodeFilter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        todo!()
    }

    /// A code for `target` on `domain`; `attempt` counts up from 0 as earlier ones clash.
    ///
    /// # Errors
    /// See [`StrategyError`].
    pub async fn propose(
        &self,
        kind: StrategyKind,
        domain: &Domain,
        target: &TargetUrl,
        attempt: u32,
    ) -> Result<Candidate, StrategyError> {
        todo!()
    }

    /// Tells that the store has decided about candidates, whether they became links or clashed:
    /// pool codes leave the pool for good.
    pub async fn settle(&self, candidates: &[Candidate]) -> Result<(), StrategyError> {
        todo!()
    }

    /// Puts codes of deleted links into quarantine, from where they return to the pool.
    pub async fn reclaim(&self, codes: &[Code]) -> Result<(), StrategyError> {
        todo!()
    }

    /// One round of background work: fills the pool, renews the worker lease.
    pub async fn tend(&self) -> Result<(), StrategyError> {
        todo!()
    }

    /// Gives what is leased and unused back.
    pub async fn shutdown(&self) -> Result<(), StrategyError> {
        todo!()
    }
}

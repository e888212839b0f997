//! How codes are made. A strategy only proposes: the store's insert-if-absent decides.

mod counter;
mod error;
#[cfg(test)]
mod flaky_store;
mod hash;
mod permutation;
mod pool;
mod snowflake;
mod space;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_clock::Clock;

use self::counter::Counter;
use self::hash::Hash;
use self::pool::Pool;
use self::snowflake::Snowflake;
use self::space::CodeSpace;
use crate::base62::Alphabet;
use crate::store::{LeaseStore, PoolCode};
use crate::{Code, CodeFilter, CodeRules, Domain, Origin, TargetUrl};

pub use self::error::StrategyError;

/// The longest generated code, in characters: what a 128-bit number can tell apart in Base62.
pub const MAX_LENGTH: usize = 21;

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
    /// Characters in a code, 1 to [`MAX_LENGTH`]; of other values the nearest in that range is
    /// taken. Snowflake's are always 11, or 13 in case-insensitive mode.
    pub length: usize,
    /// Digits and lower-case letters only.
    pub case_insensitive: bool,
    /// Counter numbers leased at once.
    pub block_size: u64,
    /// SHA-256 instead of XXH3 for [`StrategyKind::Hash`].
    pub sha256: bool,
    /// How long a Snowflake worker number is leased; a few seconds at least, since a lease has to
    /// outlast the second by which codes may run ahead of the clock.
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

/// All five strategies, ready to be asked.
///
/// None of them offers a code that the [`CodeFilter`] refuses. Asking for a code seldom costs a
/// trip to the store: counter numbers are leased by the block, the Snowflake worker number by the
/// lease, pool codes are taken by the handful, and the others need nothing.
pub struct Strategies {
    counter: Counter,
    hash: Hash,
    snowflake: Snowflake,
    pool: Pool,
    random: CodeSpace,
}

impl Strategies {
    /// Strategies that share `leases` with all other instances. Nothing is leased before it is
    /// needed.
    #[must_use]
    pub fn new(
        options: StrategyOptions,
        leases: Arc<dyn LeaseStore>,
        filter: Arc<CodeFilter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let alphabet = Alphabet::for_codes(options.case_insensitive);
        let space = CodeSpace::new(alphabet, options.length, filter.clone());
        Self {
            counter: Counter::new(space.clone(), leases.clone(), options.block_size),
            hash: Hash::new(space.clone(), options.sha256),
            snowflake: Snowflake::new(
                alphabet,
                filter,
                leases.clone(),
                clock.clone(),
                options.worker_ttl,
            ),
            pool: Pool::new(
                space.clone(),
                CodeRules {
                    case_insensitive: options.case_insensitive,
                },
                leases,
                clock,
                options.pool_target,
                options.quarantine,
            ),
            random: space,
        }
    }

    /// A code for `target` on `domain`; `attempt` counts up from 0 as earlier ones clash. Only the
    /// hash strategy looks at the last three: its codes follow from them.
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
        let (code, pooled) = match kind {
            StrategyKind::Counter => (self.counter.next().await?, None),
            StrategyKind::Hash => (self.hash.code(domain, target, attempt)?, None),
            StrategyKind::Snowflake => (self.snowflake.next().await?, None),
            StrategyKind::Pool => self.pool.next().await?,
            StrategyKind::Random => (self.random.random()?, None),
        };
        Ok(Candidate {
            code,
            origin: kind.origin(),
            pooled,
        })
    }

    /// Tells that the store has decided about candidates, whether they became links or clashed:
    /// pool codes leave the pool for good. Those never settled return to it by themselves.
    ///
    /// # Errors
    /// See [`StrategyError`].
    pub async fn settle(&self, candidates: &[Candidate]) -> Result<(), StrategyError> {
        let pooled: Vec<PoolCode> = candidates
            .iter()
            .filter_map(|candidate| candidate.pooled.clone())
            .collect();
        self.pool.settle(&pooled).await
    }

    /// Puts codes of deleted links into quarantine, from where they return to the pool.
    ///
    /// # Errors
    /// See [`StrategyError`].
    pub async fn reclaim(&self, codes: &[Code]) -> Result<(), StrategyError> {
        self.pool.reclaim(codes).await
    }

    /// One round of background work: fills the pool, renews the worker lease.
    ///
    /// # Errors
    /// See [`StrategyError`]. Both parts are tried even if the first fails.
    pub async fn tend(&self) -> Result<(), StrategyError> {
        let renewed = self.snowflake.tend().await;
        self.pool.tend().await?;
        renewed
    }

    /// Gives what is leased and unused back: the worker number and pool codes. The rest of a
    /// counter block is lost; numbers are plenty.
    ///
    /// # Errors
    /// See [`StrategyError`]. Both parts are tried even if the first fails.
    pub async fn shutdown(&self) -> Result<(), StrategyError> {
        let released = self.snowflake.shutdown().await;
        self.pool.shutdown().await?;
        released
    }
}

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::Clock;

use super::StrategyError;
use super::space::CodeSpace;
use crate::store::{LeaseStore, PoolCode};
use crate::{Code, CodeRules};

/// Codes taken from the shared pool at once.
const TAKE: usize = 256;

/// How long codes taken are ours. Those not settled by then return to the pool.
const TAKEN_FOR: Duration = Duration::from_secs(600);

/// Codes taken are offered for this long only, so that one that becomes a link is settled well
/// before it would return to the pool.
const FRESH_FOR: Duration = Duration::from_secs(300);

/// How long an empty pool is not asked again.
const EMPTY_FOR: Duration = Duration::from_secs(1);

/// Codes added to the pool by one commit, and commits in one round of [`Pool::tend`].
const FILL_BATCH: usize = 1_000;
const FILL_BATCHES: usize = 20;

/// Codes made ahead and shared by all instances; also where the codes of deleted links go.
///
/// While the pool is empty, codes are made on the spot as by the random strategy, so that a burst
/// of new links never waits for the background fill.
pub(super) struct Pool {
    space: CodeSpace,
    rules: CodeRules,
    leases: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
    target: u64,
    quarantine: Duration,
    /// A blocking mutex, because nothing awaits while it is held.
    stash: Mutex<Stash>,
    /// Held while codes are taken, so that waiting tasks take one handful and not each their own.
    taking: tokio::sync::Mutex<()>,
}

/// Codes taken from the pool and not yet offered: at most [`TAKE`].
#[derive(Default)]
struct Stash {
    codes: Vec<PoolCode>,
    /// On the monotonic clock: until when the codes may be offered.
    fresh_until: Duration,
    /// On the monotonic clock: until when the pool counts as empty.
    empty_until: Duration,
}

/// What the stash has to say.
enum Popped {
    Code(PoolCode),
    /// The pool had none a moment ago.
    PoolEmpty,
    /// Ask the pool.
    Ask,
}

impl Stash {
    fn pop(&mut self, now: Duration) -> Popped {
        if now >= self.fresh_until {
            // Forgotten, not given back: what is left is about to return by itself.
            self.codes.clear();
        }
        match self.codes.pop() {
            Some(code) => Popped::Code(code),
            None if now < self.empty_until => Popped::PoolEmpty,
            None => Popped::Ask,
        }
    }
}

impl Pool {
    pub(super) fn new(
        space: CodeSpace,
        rules: CodeRules,
        leases: Arc<dyn LeaseStore>,
        clock: Arc<dyn Clock>,
        target: u64,
        quarantine: Duration,
    ) -> Self {
        Self {
            space,
            rules,
            leases,
            clock,
            target,
            quarantine,
            stash: Mutex::default(),
            taking: tokio::sync::Mutex::default(),
        }
    }

    /// A code, and the claim on it if it comes from the pool.
    pub(super) async fn next(&self) -> Result<(Code, Option<PoolCode>), StrategyError> {
        let popped = match self.pop() {
            Popped::Ask => self.pop_or_take().await?,
            popped => popped,
        };
        Ok(match popped {
            Popped::Code(pooled) => (pooled.0.clone(), Some(pooled)),
            Popped::PoolEmpty | Popped::Ask => (self.space.random()?, None),
        })
    }

    fn pop(&self) -> Popped {
        self.stash.lock().pop(self.clock.monotonic())
    }

    async fn pop_or_take(&self) -> Result<Popped, StrategyError> {
        let _taking = self.taking.lock().await;
        // Somebody else may have taken codes while this task waited.
        match self.pop() {
            Popped::Ask => {}
            popped => return Ok(popped),
        }
        let asked_at = self.clock.monotonic();
        let taken = self
            .leases
            .pool_take(TAKE, self.clock.now(), TAKEN_FOR)
            .await?;
        let pool_empty = taken.len() < TAKE;
        let (mut fit, unfit): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|code| self.is_fit(&code.0));
        if !unfit.is_empty() {
            self.leases.pool_remove(&unfit).await?;
        }
        let code = fit.pop();
        let mut stash = self.stash.lock();
        stash.codes = fit;
        stash.fresh_until = asked_at + FRESH_FOR;
        if pool_empty {
            stash.empty_until = asked_at + EMPTY_FOR;
        }
        Ok(code.map_or(Popped::PoolEmpty, Popped::Code))
    }

    /// Whether a code made under an earlier configuration may still be offered.
    fn is_fit(&self, code: &Code) -> bool {
        self.rules.parse(code.as_str()).as_ref() == Ok(code)
            && self.space.pass(code.clone()).is_some()
    }

    pub(super) async fn settle(&self, codes: &[PoolCode]) -> Result<(), StrategyError> {
        if !codes.is_empty() {
            self.leases.pool_remove(codes).await?;
        }
        Ok(())
    }

    pub(super) async fn reclaim(&self, codes: &[Code]) -> Result<(), StrategyError> {
        if !codes.is_empty() {
            let available_at = self.clock.now().saturating_add(self.quarantine);
            self.leases.pool_add(codes, available_at).await?;
        }
        Ok(())
    }

    /// Adds random codes until the pool is full, or as many as one round may. Those that are links
    /// already clash when they are offered, and leave the pool then.
    pub(super) async fn tend(&self) -> Result<(), StrategyError> {
        if self.target == 0 {
            return Ok(());
        }
        let available = self.leases.pool_available(self.clock.now()).await?;
        let missing = usize::try_from(self.target.saturating_sub(available)).unwrap_or(usize::MAX);
        let mut left = missing.min(FILL_BATCH * FILL_BATCHES);
        while left > 0 {
            let batch = left.min(FILL_BATCH);
            left -= batch;
            let codes = (0..batch)
                .map(|_| self.space.random())
                .collect::<Result<Vec<_>, _>>()?;
            self.leases.pool_add(&codes, self.clock.now()).await?;
        }
        Ok(())
    }

    pub(super) async fn shutdown(&self) -> Result<(), StrategyError> {
        let unused = std::mem::take(&mut *self.stash.lock()).codes;
        if unused.is_empty() {
            return Ok(());
        }
        // Out and in again frees them at once. Dying in between loses codes that nobody has seen.
        self.leases.pool_remove(&unused).await?;
        let codes: Vec<Code> = unused.into_iter().map(|PoolCode(code)| code).collect();
        self.leases.pool_add(&codes, self.clock.now()).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::StrategyError;
use super::permutation::Permutation;
use super::space::{CodeSpace, MAX_REFUSED};
use crate::Code;
use crate::store::{Block, LeaseStore, StoreError};

/// The secret all instances permute with.
const SECRET: &str = "counter";

/// Codes from numbers leased in blocks. Numbers of one space are never given twice, so these codes
/// only ever clash with those made otherwise.
pub(super) struct Counter {
    space: CodeSpace,
    leases: Arc<dyn LeaseStore>,
    block_size: u64,
    permutation: OnceCell<Permutation>,
    /// What is left of the block. A blocking mutex, because nothing awaits while it is held.
    block: Mutex<Block>,
    /// Held while the next block is leased, so that a hundred waiting tasks lease one, not a
    /// hundred.
    leasing: tokio::sync::Mutex<()>,
    /// Set once no number is left, so that asking again does not move the counter on.
    used_up: AtomicBool,
}

impl Counter {
    pub(super) fn new(space: CodeSpace, leases: Arc<dyn LeaseStore>, block_size: u64) -> Self {
        Self {
            space,
            leases,
            block_size: block_size.max(1),
            permutation: OnceCell::new(),
            block: Mutex::new(0..0),
            leasing: tokio::sync::Mutex::default(),
            used_up: AtomicBool::new(false),
        }
    }

    pub(super) async fn next(&self) -> Result<Code, StrategyError> {
        let permutation = self.permutation.get_or_try_init(|| self.permute()).await?;
        for _ in 0..MAX_REFUSED {
            let number = self.number().await?;
            if let Some(code) = self.space.code(permutation.apply(number.into())) {
                return Ok(code);
            }
        }
        Err(StrategyError::AllRefused { tried: MAX_REFUSED })
    }

    async fn permute(&self) -> Result<Permutation, StrategyError> {
        let mut candidate = [0; 32];
        getrandom::fill(&mut candidate)?;
        let secret = self.leases.secret(SECRET, candidate).await?;
        Ok(Permutation::new(&secret, self.space.size()))
    }

    async fn number(&self) -> Result<u64, StrategyError> {
        if let Some(number) = self.block.lock().next() {
            return Ok(number);
        }
        let _leasing = self.leasing.lock().await;
        // Somebody else may have leased a block while this task waited.
        if let Some(number) = self.block.lock().next() {
            return Ok(number);
        }
        let mut block = self.lease().await?;
        let number = block.next();
        *self.block.lock() = block;
        number.ok_or_else(|| {
            StoreError::Unexpected("a leased block of numbers is empty".to_owned()).into()
        })
    }

    async fn lease(&self) -> Result<Block, StrategyError> {
        let used_up = || StrategyError::SpaceUsedUp {
            length: self.space.length(),
        };
        if self.used_up.load(Ordering::Relaxed) {
            return Err(used_up());
        }
        // One counter a space: another length or alphabet begins anew and clashes with nothing.
        let counter = format!("codes-{}", self.space.name());
        let block = self.leases.lease_block(&counter, self.block_size).await?;
        let end = u64::try_from(self.space.size()).unwrap_or(u64::MAX);
        if block.start >= end {
            self.used_up.store(true, Ordering::Relaxed);
            return Err(used_up());
        }
        Ok(block.start..block.end.min(end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tollgate_clock::{ManualClock, UnixMillis};

    use super::*;
    use crate::base62::Alphabet;
    use crate::store::MemoryStore;

    fn store() -> Arc<MemoryStore> {
        Arc::new(MemoryStore::new(Arc::new(ManualClock::at(
            UnixMillis::from_millis(0),
        ))))
    }

    fn counter(store: &Arc<MemoryStore>, length: usize, block_size: u64) -> Counter {
        let space = CodeSpace::new(Alphabet::Base62, length, Arc::default());
        Counter::new(space, store.clone(), block_size)
    }

    #[tokio::test]
    async fn a_space_is_given_out_whole_and_then_used_up() {
        let store = store();
        let (a, b) = (counter(&store, 2, 100), counter(&store, 2, 7));
        let mut codes = HashSet::new();
        let mut live = vec![&a, &b];
        let mut turn = 0;
        while !live.is_empty() {
            let at = turn % live.len();
            turn += 1;
            match live[at].next().await {
                Ok(code) => assert!(codes.insert(code)),
                Err(StrategyError::SpaceUsedUp { length: 2 }) => drop(live.remove(at)),
                Err(other) => panic!("{other}"),
            }
        }
        let refused = (0..62 * 62).filter(|n| a.space.code(*n).is_none()).count();
        assert_eq!(codes.len() + refused, 62 * 62);
        let before = store.lease_block("codes-base62-2", 1).await.unwrap();
        assert!(a.next().await.is_err());
        let after = store.lease_block("codes-base62-2", 1).await.unwrap();
        assert_eq!(before.end, after.start, "asking in vain moves nothing on");
    }

    #[tokio::test]
    async fn many_waiting_tasks_lease_one_block() {
        let store = store();
        let counter = counter(&store, 7, 1_000);
        let codes = futures_util::future::join_all((0..500).map(|_| counter.next())).await;
        let codes: HashSet<Code> = codes.into_iter().map(Result::unwrap).collect();
        assert_eq!(codes.len(), 500);
        let next = store.lease_block("codes-base62-7", 1).await.unwrap();
        assert_eq!(next.start, 1_000);
    }

    #[tokio::test]
    async fn instances_share_the_secret() {
        let store = store();
        counter(&store, 7, 1).next().await.unwrap();
        let secret = store.secret(SECRET, [9; 32]).await.unwrap();
        assert_ne!(secret, [9; 32], "the first instance has set it");
    }
}

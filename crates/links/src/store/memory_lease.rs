use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::{Block, LeaseStore, MemoryStore, PoolCode, StoreError, WorkerLease};
use crate::Code;

/// What strategies share through a [`MemoryStore`].
#[derive(Default)]
pub(super) struct Leases {
    secrets: HashMap<String, [u8; 32]>,
    counters: HashMap<String, u64>,
    workers: HashMap<u16, WorkerLease>,
    last_fence: u64,
    pool: HashMap<Code, UnixMillis>,
    /// The pool in the order in which it becomes available.
    pool_order: BTreeSet<(UnixMillis, Code)>,
}

impl Leases {
    fn next_fence(&mut self) -> u64 {
        self.last_fence += 1;
        self.last_fence
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let mut leases = self.leases.lock();
        Ok(*leases.secrets.entry(name.to_owned()).or_insert(candidate))
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        let mut leases = self.leases.lock();
        let next = leases.counters.entry(counter.to_owned()).or_default();
        let end = next.checked_add(size).ok_or_else(|| {
            StoreError::Unexpected(format!("the counter {counter} is at its end"))
        })?;
        Ok(std::mem::replace(next, end)..end)
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let mut leases = self.leases.lock();
        let free = (0..workers).find(|worker| {
            leases
                .workers
                .get(worker)
                .is_none_or(|held| held.expires_at <= now)
        });
        let Some(worker) = free else {
            return Ok(None);
        };
        let lease = WorkerLease {
            worker,
            fence: leases.next_fence(),
            expires_at: now.saturating_add(ttl),
        };
        leases.workers.insert(worker, lease);
        Ok(Some(lease))
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let mut leases = self.leases.lock();
        Ok(leases
            .workers
            .get_mut(&lease.worker)
            .filter(|held| held.fence == lease.fence)
            .map(|held| {
                held.expires_at = now.saturating_add(ttl);
                *held
            }))
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut leases = self.leases.lock();
        let fence = leases.next_fence();
        if let Some(held) = leases
            .workers
            .get_mut(&lease.worker)
            .filter(|held| held.fence == lease.fence)
        {
            // The new fence keeps whoever released it from renewing it.
            held.fence = fence;
            held.expires_at = free_from;
        }
        Ok(())
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        let mut guard = self.leases.lock();
        let leases = &mut *guard;
        for code in codes {
            if !leases.pool.contains_key(code) {
                leases.pool.insert(code.clone(), available_at);
                leases.pool_order.insert((available_at, code.clone()));
            }
        }
        Ok(())
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        let mut guard = self.leases.lock();
        let leases = &mut *guard;
        let back_at = now.saturating_add(ttl);
        let mut taken = Vec::new();
        while taken.len() < count {
            let first = leases.pool_order.first();
            let Some(first) = first.filter(|(at, _)| *at <= now).cloned() else {
                break;
            };
            leases.pool_order.remove(&first);
            let code = first.1;
            leases.pool.insert(code.clone(), back_at);
            taken.push(PoolCode(code));
        }
        // Only now, or a lease of no length would be taken again and again.
        for PoolCode(code) in &taken {
            leases.pool_order.insert((back_at, code.clone()));
        }
        Ok(taken)
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        let mut guard = self.leases.lock();
        let leases = &mut *guard;
        for PoolCode(code) in codes {
            if let Some(at) = leases.pool.remove(code) {
                leases.pool_order.remove(&(at, code.clone()));
            }
        }
        Ok(())
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let leases = self.leases.lock();
        Ok(leases
            .pool_order
            .iter()
            .take_while(|(at, _)| *at <= now)
            .count() as u64)
    }
}

//! A lease store that tests can take away, and whose use they can count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::{Clock, ManualClock, UnixMillis};

use crate::Code;
use crate::store::{Block, LeaseStore, MemoryStore, PoolCode, StoreError, WorkerLease};

pub(super) struct FlakyStore {
    inner: MemoryStore,
    down: AtomicBool,
    calls: AtomicUsize,
}

impl FlakyStore {
    pub(super) fn new() -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        Arc::new(Self {
            inner: MemoryStore::new(clock),
            down: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        })
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self) -> Result<&MemoryStore, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("taken away by a test".to_owned()));
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl LeaseStore for FlakyStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.call()?.secret(name, candidate).await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        self.call()?.lease_block(counter, size).await
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.call()?.acquire_worker(workers, now, ttl).await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.call()?.renew_worker(lease, now, ttl).await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        self.call()?.release_worker(lease, free_from).await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        self.call()?.pool_add(codes, available_at).await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        self.call()?.pool_take(count, now, ttl).await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        self.call()?.pool_remove(codes).await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.call()?.pool_available(now).await
    }
}

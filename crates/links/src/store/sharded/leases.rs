//! What code strategies share is on the home alone.

use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::ShardedLinkStore;
use crate::Code;
use crate::store::{Block, LeaseStore, PoolCode, StoreError, WorkerLease};

#[async_trait]
impl LeaseStore for ShardedLinkStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let view = self.shared.view();
        view.home()?.store.secret(name, candidate).await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        let view = self.shared.view();
        view.home()?.store.lease_block(counter, size).await
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let view = self.shared.view();
        view.home()?.store.acquire_worker(workers, now, ttl).await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let view = self.shared.view();
        view.home()?.store.renew_worker(lease, now, ttl).await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        let view = self.shared.view();
        view.home()?.store.release_worker(lease, free_from).await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        let view = self.shared.view();
        view.home()?.store.pool_add(codes, available_at).await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        let view = self.shared.view();
        view.home()?.store.pool_take(count, now, ttl).await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        let view = self.shared.view();
        view.home()?.store.pool_remove(codes).await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let view = self.shared.view();
        view.home()?.store.pool_available(now).await
    }
}

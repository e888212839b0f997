use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::StoreError;
use crate::Code;

/// Numbers given to one instance and never to another.
pub type Block = Range<u64>;

/// The right to use a Snowflake worker number until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLease {
    /// 0 to 1023.
    pub worker: u16,
    /// Changes with every acquisition, so that a holder that slept through its lease cannot renew
    /// what is another's by now (a fencing token).
    pub fence: u64,
    /// From this moment on the number may be another's.
    pub expires_at: UnixMillis,
}

/// A code taken from the pool, to be used or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCode(pub Code);

/// What code strategies share between instances. Every method is atomic across all instances on
/// the same store.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// The secret of this name; `candidate` is kept and returned if there was none yet.
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError>;

    /// Takes the next `size` numbers of the named counter, starting at 0. Numbers of an instance
    /// that dies are lost, never given twice.
    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError>;

    /// Takes a worker number below `workers` that nobody holds at `now`; `None` if all are held.
    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError>;

    /// Extends a lease to `now + ttl`; `None` if it is no longer this holder's.
    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError>;

    /// Gives a worker number back. `free_from` is the moment after the last one it was used for.
    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError>;

    /// Adds codes to the pool; those already there are ignored. They can be taken from
    /// `available_at` on: later than now for codes in quarantine.
    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError>;

    /// Takes up to `count` available codes. Those not removed by [`LeaseStore::pool_remove`]
    /// become available again at `now + ttl`, so an instance that dies loses none.
    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError>;

    /// Removes codes from the pool for good: they are links now, or unusable.
    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError>;

    /// How many codes can be taken at `now`.
    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError>;
}

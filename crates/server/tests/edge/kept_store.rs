//! A store in memory that can be told to fail, or to make readers wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::sync::Semaphore;
use tollgate_clock::{Clock, UnixMillis};
use tollgate_links::LinkKey;
use tollgate_links::store::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkStore, ListQuery, MemoryStore, Page,
    StoreError, Swept, Update, Updated,
};

pub struct KeptStore {
    pub memory: MemoryStore,
    away: AtomicBool,
    held: AtomicBool,
    waiting: AtomicUsize,
    release: Semaphore,
}

impl KeptStore {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryStore::new(clock),
            away: AtomicBool::new(false),
            held: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            release: Semaphore::new(0),
        })
    }

    /// From now on reads and clicks fail, or no longer.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, SeqCst);
    }

    /// From now on reads wait.
    pub fn hold(&self) {
        self.held.store(true, SeqCst);
    }

    /// How many reads wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Lets those that wait, and all later ones, go on.
    pub fn release(&self) {
        self.held.store(false, SeqCst);
        self.release.add_permits(1_000);
    }

    async fn pass(&self) -> Result<(), StoreError> {
        if self.held.load(SeqCst) {
            self.waiting.fetch_add(1, SeqCst);
            self.release.acquire().await.unwrap().forget();
        }
        if self.away.load(SeqCst) {
            return Err(StoreError::Unavailable("told to be".to_owned()));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl LinkStore for KeptStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        self.memory.insert(inserts).await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<tollgate_links::Link>, StoreError> {
        self.pass().await?;
        self.memory.get(key).await
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        self.memory.update(update).await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        self.memory.delete(delete).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.memory.list(query).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.memory.history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.pass().await?;
        self.memory.take_click(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.memory.sweep(before, tokens_before, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.memory.count().await
    }
}

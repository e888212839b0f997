//! A store that can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tollgate_clock::UnixMillis;
use tollgate_links::store::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkStore, ListQuery, MemoryStore, Page,
    StoreError, Swept, Update, Updated,
};
use tollgate_links::{Link, LinkKey};

pub struct SwitchStore {
    inner: Arc<MemoryStore>,
    pub failing: AtomicBool,
    pub reads: AtomicUsize,
    /// The most links that came in one call.
    pub largest_insert: AtomicUsize,
}

impl SwitchStore {
    pub fn new(inner: Arc<MemoryStore>) -> Self {
        Self {
            inner,
            failing: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            largest_insert: AtomicUsize::new(0),
        }
    }

    fn check(&self) -> Result<&MemoryStore, StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("secret path /var/db".into()));
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl LinkStore for SwitchStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        self.largest_insert
            .fetch_max(inserts.len(), Ordering::SeqCst);
        self.check()?.insert(inserts).await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.check()?.get(key).await
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        self.check()?.update(update).await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        self.check()?.delete(delete).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.check()?.list(query).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.check()?.history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.check()?.take_click(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.check()?.sweep(before, tokens_before, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.check()?.count().await
    }
}

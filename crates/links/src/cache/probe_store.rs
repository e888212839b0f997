//! A store for tests that counts reads, holds them up and lets them fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tollgate_clock::{ManualClock, UnixMillis};

use crate::store::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkCopy, LinkStore, ListQuery,
    MemoryStore, Page, StoreError, Swept, Update, Updated,
};
use crate::{Link, LinkKey};

pub(super) struct ProbeStore {
    pub(super) inner: MemoryStore,
    clock: Arc<ManualClock>,
    reads: AtomicU64,
    failing: AtomicBool,
    read_ms: AtomicU64,
    open: watch::Sender<bool>,
    copy: Mutex<Option<Link>>,
}

impl ProbeStore {
    pub(super) fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            inner: MemoryStore::new(clock.clone()),
            clock,
            reads: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            read_ms: AtomicU64::new(0),
            open: watch::Sender::new(true),
            copy: Mutex::default(),
        }
    }

    /// Reads begun so far.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Lets every read take so long on the clock.
    pub(super) fn take_time(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.read_ms.store(ms, Ordering::SeqCst);
    }

    /// Holds up every read after it has seen the state, before it answers.
    pub(super) fn hold_up(&self, held: bool) {
        self.open.send_replace(!held);
    }

    /// Shows visitors this state of a link, whatever became of it since.
    pub(super) fn lag_behind(&self, copy: Option<Link>) {
        *self.copy.lock() = copy;
    }
}

#[async_trait]
impl LinkStore for ProbeStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        self.inner.insert(inserts).await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let failing = self.failing.load(Ordering::SeqCst);
        let found = self.inner.get(key).await;
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let ms = self.read_ms.load(Ordering::SeqCst);
        self.clock.advance(Duration::from_millis(ms));
        if failing {
            return Err(StoreError::Unavailable("it shall fail".to_owned()));
        }
        found
    }

    async fn find(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        let copy = self.copy.lock().clone();
        let newest = copy.is_none();
        let link = match copy {
            Some(copy) => Some(copy),
            None => self.get(key).await?,
        };
        Ok(LinkCopy { link, newest })
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        self.inner.update(update).await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        self.inner.delete(delete).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.inner.history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.inner.take_click(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.inner.sweep(before, tokens_before, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.inner.count().await
    }
}

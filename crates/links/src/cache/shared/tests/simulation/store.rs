//! The store, on the other side of the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::history::History;
use super::world::{Way, World};
use crate::store::{
    ChangeFeed, ChangeSeq, Changes, ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkStore,
    ListQuery, MemoryStore, Page, StoreError, Swept, Update, Updated,
};
use crate::{Link, LinkKey};

/// The one store of a fleet.
pub(super) struct Shared {
    pub(super) world: Arc<World>,
    pub(super) memory: MemoryStore,
    pub(super) history: History,
    /// Reads of single links.
    pub(super) reads: AtomicU64,
}

/// A server's way to it.
pub(super) struct Remote {
    pub(super) shared: Arc<Shared>,
    pub(super) way: Way,
}

impl Remote {
    async fn call<T: Send + 'static>(
        &self,
        about: String,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let away = || StoreError::Unavailable("no answer".to_owned());
        self.way.call(&about, work).await.ok_or_else(away)?
    }
}

fn target(link: &Link) -> Option<String> {
    Some(link.spec.target.as_str().to_owned())
}

#[async_trait]
impl LinkStore for Remote {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let about = format!("insert {}", inserts[0].link.key);
        let work = async move {
            let inserted = shared.memory.insert(inserts).await?;
            for it in &inserted {
                if let Inserted::Created(link) = it {
                    shared
                        .history
                        .commit(link.key.code.as_str(), shared.world.now(), target(link));
                }
            }
            Ok(inserted)
        };
        self.call(about, work).await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let (shared, key) = (Arc::clone(&self.shared), key.clone());
        let about = format!("get {key}");
        let work = async move {
            shared.reads.fetch_add(1, Ordering::Relaxed);
            shared.memory.get(&key).await
        };
        self.call(about, work).await
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        let shared = Arc::clone(&self.shared);
        let about = format!("update {}", update.key);
        let work = async move {
            let updated = shared.memory.update(update).await?;
            if let Updated::Updated(link) = &updated {
                shared
                    .history
                    .commit(link.key.code.as_str(), shared.world.now(), target(link));
            }
            Ok(updated)
        };
        self.call(about, work).await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (about, code) = (format!("delete {}", delete.key), delete.key.code.clone());
        let work = async move {
            let deleted = shared.memory.delete(delete).await?;
            if let Deleted::Deleted(_) = &deleted {
                shared
                    .history
                    .commit(code.as_str(), shared.world.now(), None);
            }
            Ok(deleted)
        };
        self.call(about, work).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.shared.memory.list(query).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.shared.memory.history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.shared.memory.take_click(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.shared.memory.sweep(before, tokens_before, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.shared.memory.count().await
    }
}

#[async_trait]
impl ChangeFeed for Remote {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = async move { shared.memory.changes(after).await };
        self.call("changes".to_owned(), work).await
    }
}

//! What is written to the store is told to the shared cache.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::script::{Found, Token};
use super::{SharedCache, in_batches, news};
use crate::store::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkCopy, LinkStore, ListQuery, Page,
    StoreError, Swept, Update, Updated,
};
use crate::{Link, LinkKey};

/// The store behind a [`SharedCache`]. Links that are made are written to the cache, those that are edited or
/// deleted are removed from it, before the answer; and all instances are told. What is read comes from
/// the store.
pub struct WriteThrough {
    shared: Arc<SharedCache>,
}

impl WriteThrough {
    /// The store behind this cache.
    #[must_use]
    pub const fn new(shared: Arc<SharedCache>) -> Self {
        Self { shared }
    }

    fn store(&self) -> &dyn LinkStore {
        &*self.shared.store
    }

    /// Takes the lock of an entry whose link is about to be made: what others have read until now is
    /// written no more.
    pub(super) async fn reserve(&self, key: &LinkKey) -> Option<Token> {
        let token = self.shared.token();
        let held = self.shared.script.take(key, &token).await;
        matches!(held, Ok(Found::Locked)).then_some(token)
    }

    /// Writes the link that was made, or gives the lock back.
    pub(super) async fn settle(
        &self,
        key: &LinkKey,
        token: Option<&Token>,
        inserted: Option<&Inserted>,
    ) {
        let shared = &self.shared;
        // Without a lock Redis is away. It may know another link of this name, which was deleted by a server
        // that could not tell it either.
        let Some(token) = token else {
            match inserted {
                Some(Inserted::Created(_)) => self.doubt(key).await,
                Some(Inserted::Replayed(link)) => self.doubt(&link.key).await,
                _ => {}
            }
            return;
        };
        match inserted {
            Some(Inserted::Created(link)) if shared.lasts(Some(link)).is_some() => {
                let message = news::encode(shared.name, key);
                // It was not read, so nobody knows how long that takes: the first refresh tells.
                let took = Duration::ZERO;
                let written = shared.write(key, token, Some(link), took, Some(&message));
                match written.await {
                    // Another wanted the same code, or has edited it: what was known before is wrong.
                    Duration::ZERO => self.changed(key).await,
                    // Redis did not say, and may have kept what it knew before.
                    Duration::MAX => self.doubt(key).await,
                    _ => {}
                }
            }
            Some(Inserted::Created(_)) => self.changed(key).await,
            _ => {
                let _ = shared.script.free(key, token).await;
            }
        }
        // It may have been made just now, by a request whose answer was lost.
        if let Some(Inserted::Replayed(link)) = inserted {
            self.changed(&link.key).await;
        }
    }

    /// Made, while Redis did not answer.
    async fn doubt(&self, key: &LinkKey) {
        if self.shared.owed.has_room() {
            self.changed(key).await;
        }
    }

    /// Edited or deleted, perhaps: a store that fails may have done it.
    async fn changed(&self, key: &LinkKey) {
        self.shared.tell(std::slice::from_ref(key), true).await;
    }
}

#[async_trait]
impl LinkStore for WriteThrough {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        let keys: Vec<LinkKey> = inserts
            .iter()
            .map(|insert| insert.link.key.clone())
            .collect();
        let tokens = in_batches(&keys, |key| self.reserve(key)).await;
        let inserted = self.store().insert(inserts).await;
        // Without outcomes if the store failed.
        let outcomes = inserted.as_deref().unwrap_or_default().iter().map(Some);
        let outcomes = outcomes.chain(std::iter::repeat(None));
        let made: Vec<_> = keys.iter().zip(tokens).zip(outcomes).collect();
        in_batches(&made, |((key, token), outcome)| {
            self.settle(key, token.as_ref(), *outcome)
        })
        .await;
        inserted
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        self.store().get(key).await
    }

    async fn find(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        self.store().find(key).await
    }

    fn heard_of(&self, keys: &[LinkKey]) {
        self.store().heard_of(keys);
    }

    async fn answers(&self) -> Result<(), StoreError> {
        self.store().answers().await
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        let key = update.key.clone();
        let updated = self.store().update(update).await;
        match &updated {
            Ok(Updated::VersionMismatch(_) | Updated::NotFound | Updated::TokenMismatch) => {}
            Ok(Updated::Updated(_) | Updated::Replayed(_)) | Err(_) => self.changed(&key).await,
        }
        updated
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        let key = delete.key.clone();
        let deleted = self.store().delete(delete).await;
        match &deleted {
            Ok(Deleted::VersionMismatch(_) | Deleted::NotFound | Deleted::TokenMismatch) => {}
            Ok(Deleted::Deleted(_) | Deleted::Replayed) | Err(_) => self.changed(&key).await,
        }
        deleted
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.store().list(query).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.store().history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.store().take_click(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let swept = self.store().sweep(before, tokens_before, limit).await?;
        self.shared.tell(&swept.links, true).await;
        Ok(swept)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.store().count().await
    }
}

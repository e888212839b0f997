//! What is written to the store is told to the shared cache.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tollgate_clock::UnixMillis;

use super::script::{Found, Token};
use super::{AT_ONCE, SharedCache, news};
use crate::store::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkStore, ListQuery, Page, StoreError,
    Swept, Update, Updated,
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
        token: Option<Token>,
        inserted: Option<&Inserted>,
    ) {
        let shared = &self.shared;
        // Without a lock Redis is away. What it may know is that there is no such link, and not for long.
        let Some(token) = token else {
            return;
        };
        match inserted {
            Some(Inserted::Created(link)) if shared.lasts(Some(link)).is_some() => {
                let message = news::encode(shared.name, key);
                // It was not read, so nobody knows how long that takes: the first refresh tells.
                let took = Duration::ZERO;
                let written = shared.write(key, &token, Some(link), took, Some(&message));
                if written.await.is_zero() {
                    // Another wanted the same code, or has edited it: what was known before is wrong.
                    self.changed(key).await;
                }
            }
            Some(Inserted::Created(_)) => self.changed(key).await,
            _ => {
                let _ = shared.script.free(key, &token).await;
            }
        }
    }

    /// Without outcomes if the store failed.
    async fn settle_all(
        &self,
        keys: &[LinkKey],
        tokens: Vec<Option<Token>>,
        outcomes: &[Inserted],
    ) {
        let outcomes = outcomes.iter().map(Some).chain(std::iter::repeat(None));
        let mut rest = keys.iter().zip(tokens).zip(outcomes);
        loop {
            let batch = rest.by_ref().take(AT_ONCE);
            let batch: Vec<_> = batch
                .map(|((key, token), outcome)| self.settle(key, token, outcome))
                .collect();
            if batch.is_empty() {
                break;
            }
            join_all(batch).await;
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
        let mut tokens = Vec::with_capacity(keys.len());
        for batch in keys.chunks(AT_ONCE) {
            let taken = batch.iter().map(|key| self.reserve(key));
            tokens.extend(join_all(taken).await);
        }
        let inserted = self.store().insert(inserts).await;
        let outcomes = inserted.as_deref().unwrap_or_default();
        self.settle_all(&keys, tokens, outcomes).await;
        inserted
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        self.store().get(key).await
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

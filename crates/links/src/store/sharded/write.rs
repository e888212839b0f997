//! Edits and deletions, and what tokens mean that may have been used on any shard.

use futures_util::future::try_join_all;

use super::ShardedLinkStore;
use super::view::View;
use crate::LinkKey;
use crate::store::answer::{Action, Seen};
use crate::store::postgres::shard::WideLock;
use crate::store::postgres::token::Tokens;
use crate::store::{
    Delete, Deleted, IdempotencyToken, LinkStore as _, StoreError, Update, Updated,
};

impl ShardedLinkStore {
    pub(super) async fn update_once(
        &self,
        view: &View,
        update: &Update,
    ) -> Result<Updated, StoreError> {
        let (lock, seen) = self.take(view, update.idempotency, Action::Update).await?;
        let answer = match seen {
            Seen::Before(Some(link)) => Updated::Replayed(*link),
            Seen::Before(None) | Seen::Mismatch => Updated::TokenMismatch,
            Seen::New => {
                let at = self.place_of(view, &update.key).await?;
                let updated = view.shard(at)?.store.update(update.clone()).await?;
                if updated == Updated::NotFound {
                    self.shared.still(view, at).await?;
                }
                updated
            }
        };
        release(lock).await?;
        Ok(answer)
    }

    pub(super) async fn delete_once(
        &self,
        view: &View,
        delete: &Delete,
    ) -> Result<Deleted, StoreError> {
        let (lock, seen) = self.take(view, delete.idempotency, Action::Delete).await?;
        let answer = match seen {
            Seen::Before(_) => Deleted::Replayed,
            Seen::Mismatch => Deleted::TokenMismatch,
            Seen::New => {
                let at = self.place_of(view, &delete.key).await?;
                let deleted = view.shard(at)?.store.delete(delete.clone()).await?;
                if deleted == Deleted::NotFound {
                    self.shared.still(view, at).await?;
                }
                deleted
            }
        };
        release(lock).await?;
        Ok(answer)
    }

    /// The shard a link is written to, where it is from now on.
    async fn place_of(&self, view: &View, key: &LinkKey) -> Result<u16, StoreError> {
        self.shared.bring(view, &[key]).await?;
        Ok(view.place(key).at)
    }

    /// Keeps others from using a token, and finds out what it was used for on any shard.
    async fn take<'a>(
        &self,
        view: &'a View,
        token: Option<IdempotencyToken>,
        action: Action,
    ) -> Result<(Option<WideLock<'a>>, Seen), StoreError> {
        let Some(token) = token else {
            return Ok((None, Seen::New));
        };
        let home = view.home()?.db();
        let hashes = std::iter::once(hash(&token));
        let lock = home.lock_wide(view.version(), hashes).await?;
        let tokens = self.tokens(view, &[token]).await?;
        Ok((Some(lock), tokens.seen(Some(&token), action)))
    }

    /// What is known of tokens on all shards. Each is kept where the link is that it was used for.
    pub(super) async fn tokens(
        &self,
        view: &View,
        tokens: &[IdempotencyToken],
    ) -> Result<Tokens, StoreError> {
        let mut known = Tokens::default();
        if tokens.is_empty() {
            return Ok(known);
        }
        let asked = view.shards.values().map(|shard| shard.db().tokens(tokens));
        for found in try_join_all(asked).await? {
            known.absorb(found);
        }
        Ok(known)
    }
}

/// By which the lock of a token is found.
pub(super) fn hash(token: &IdempotencyToken) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = token.id;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What was written is durable: a lock that cannot be released ends with its connection.
pub(super) async fn release(lock: Option<WideLock<'_>>) -> Result<(), StoreError> {
    if let Some(lock) = lock
        && let Err(error) = lock.release().await
    {
        tracing::debug!(%error, "a lock was not released: it ends with its connection");
    }
    Ok(())
}

//! Where keys are kept. One conformance suite runs against every store.

#[cfg(feature = "testing")]
mod memory;
mod sqlite;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;
use tollgate_links::store::StoreError;

#[cfg(feature = "testing")]
pub use memory::MemoryKeyStore;
pub use sqlite::SqliteKeyStore;

use crate::{ApiKey, KeyId, SecretHash};

/// A key as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// What may be shown.
    pub key: ApiKey,
    /// What is compared.
    pub secret: SecretHash,
    /// The secret before, and until when it is accepted as well.
    pub old_secret: Option<(SecretHash, UnixMillis)>,
}

impl StoredKey {
    /// Whether this is its secret at `now`, or that of before while it still counts. Compared in constant time.
    #[must_use]
    pub fn is_opened_by(&self, secret: &SecretHash, now: UnixMillis) -> bool {
        let old = self.old_secret.as_ref();
        self.secret == *secret || old.is_some_and(|(old, until)| old == secret && now < *until)
    }
}

/// Keeps keys. Everything it answers `Ok` to is durable.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Keeps a key; `false`, and nothing kept, if its identifier or secret is there already.
    async fn insert(&self, key: StoredKey) -> Result<bool, StoreError>;

    /// Keeps the key of a person, its `subject`. If they have one already, that gets name and scopes of this one, unless
    /// it is revoked. Answers what they have then.
    ///
    /// # Panics
    /// It may if the key is nobody's.
    async fn insert_person(&self, key: StoredKey) -> Result<ApiKey, StoreError>;

    /// Keeps a key if there is none at all, atomically across all processes on the same store;
    /// `false` if there was one.
    async fn insert_first(&self, key: StoredKey) -> Result<bool, StoreError>;

    /// The key with this secret, or with this one before its secret was replaced, whatever its state and the time.
    async fn by_secret(&self, secret: &SecretHash) -> Result<Option<StoredKey>, StoreError>;

    /// One key, whatever its state.
    async fn get(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError>;

    /// At most `limit` keys with identifiers greater than `after`, in ascending order.
    async fn list(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<ApiKey>, StoreError>;

    /// Gives a key another secret, and remembers the one before until `old_until`. Answers the key; `None` if there is
    /// none, or if it was revoked.
    async fn rotate(
        &self,
        id: &KeyId,
        secret: SecretHash,
        old_until: UnixMillis,
    ) -> Result<Option<ApiKey>, StoreError>;

    /// Marks a key as revoked at `at`, unless it was before, and answers it as it is then; `None`
    /// if there is none.
    async fn revoke(&self, id: &KeyId, at: UnixMillis) -> Result<Option<ApiKey>, StoreError>;
}

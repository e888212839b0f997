use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_clock::UnixMillis;
use tollgate_links::store::StoreError;

use super::{KeyStore, StoredKey};
use crate::{ApiKey, KeyId, SecretHash};

/// The plain model of a [`KeyStore`]: one map under one lock. Keeps nothing beyond its own life.
#[derive(Default)]
pub struct MemoryKeyStore {
    // A blocking mutex, because nothing awaits while it is held.
    keys: Mutex<BTreeMap<KeyId, StoredKey>>,
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn insert(&self, key: StoredKey) -> Result<bool, StoreError> {
        let mut keys = self.keys.lock();
        let taken = keys
            .values()
            .any(|known| known.key.id == key.key.id || known.secret == key.secret);
        if !taken {
            keys.insert(key.key.id.clone(), key);
        }
        Ok(!taken)
    }

    async fn insert_person(&self, key: StoredKey) -> Result<ApiKey, StoreError> {
        let mut keys = self.keys.lock();
        let known = keys
            .values_mut()
            .find(|known| known.key.subject == key.key.subject);
        if let Some(known) = known {
            if known.key.revoked_at.is_none() {
                known.key.name = key.key.name;
                known.key.scopes = key.key.scopes;
            }
            return Ok(known.key.clone());
        }
        let person = key.key.clone();
        keys.insert(key.key.id.clone(), key);
        Ok(person)
    }

    async fn insert_first(&self, key: StoredKey) -> Result<bool, StoreError> {
        let mut keys = self.keys.lock();
        let first = keys.is_empty();
        if first {
            keys.insert(key.key.id.clone(), key);
        }
        Ok(first)
    }

    async fn by_secret(&self, secret: &SecretHash) -> Result<Option<StoredKey>, StoreError> {
        let keys = self.keys.lock();
        let old = |key: &StoredKey| key.old_secret.is_some_and(|(old, _)| old == *secret);
        let found = keys.values().find(|key| key.secret == *secret || old(key));
        Ok(found.cloned())
    }

    async fn get(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.keys.lock().get(id).map(|stored| stored.key.clone()))
    }

    async fn list(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<ApiKey>, StoreError> {
        let keys = self.keys.lock();
        Ok(keys
            .values()
            .map(|stored| &stored.key)
            .filter(|key| after.is_none_or(|after| key.id > *after))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn rotate(
        &self,
        id: &KeyId,
        secret: SecretHash,
        old_until: UnixMillis,
    ) -> Result<Option<ApiKey>, StoreError> {
        let mut keys = self.keys.lock();
        let found = keys.get_mut(id);
        let found = found.filter(|stored| stored.key.revoked_at.is_none());
        Ok(found.map(|stored| {
            stored.old_secret = Some((stored.secret, old_until));
            stored.secret = secret;
            stored.key.clone()
        }))
    }

    async fn revoke(&self, id: &KeyId, at: UnixMillis) -> Result<Option<ApiKey>, StoreError> {
        let mut keys = self.keys.lock();
        Ok(keys.get_mut(id).map(|stored| {
            stored.key.revoked_at.get_or_insert(at);
            stored.key.clone()
        }))
    }
}

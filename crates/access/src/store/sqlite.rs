use std::path::Path;

use async_trait::async_trait;
use tollgate_clock::UnixMillis;
use tollgate_links::store::StoreError;

use super::{KeyStore, StoredKey};
use crate::{ApiKey, KeyId, SecretHash};

/// SKELETON
pub struct SqliteKeyStore {}

impl SqliteKeyStore {
    /// SKELETON
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        todo!()
    }
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn insert(&self, key: StoredKey) -> Result<bool, StoreError> {
        todo!()
    }
    async fn insert_first(&self, key: StoredKey) -> Result<bool, StoreError> {
        todo!()
    }
    async fn by_secret(&self, secret: &SecretHash) -> Result<Option<StoredKey>, StoreError> {
        todo!()
    }
    async fn get(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        todo!()
    }
    async fn list(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<ApiKey>, StoreError> {
        todo!()
    }
    async fn revoke(&self, id: &KeyId, at: UnixMillis) -> Result<Option<ApiKey>, StoreError> {
        todo!()
    }
}

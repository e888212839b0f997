use std::num::NonZeroUsize;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tollgate_clock::UnixMillis;
use tollgate_links::Domain;
use tollgate_links::store::StoreError;
use tollgate_sqlite::{
    OpenOptions, Readers, ReadersOptions, Writer, WriterOptions, WriterStats, migrate, open,
};

use super::{KeyStore, StoredKey};
use crate::{ApiKey, KeyId, Scopes, SecretHash};

/// The name of our tables' version in the file, which may hold other components too.
const COMPONENT: &str = "access";
/// Appended to, never edited: a file remembers how many of these it has seen.
const STEPS: [&str; 3] = [
    include_str!("steps/1.sql"),
    include_str!("steps/2.sql"),
    include_str!("steps/3.sql"),
];
const COLUMNS: &str =
    "id, name, scopes, domain, created_at, expires_at, revoked_at, secret, subject";
/// A key is read once in two seconds at most: one thread has time to spare.
const READER_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Keys in a SQLite file, which may be the one that holds the links. Other processes may use it
/// at the same time.
pub struct SqliteKeyStore {
    // Closed before the writer, so that the writer is the last connection and empties the log.
    readers: Readers,
    writer: Writer,
}

impl SqliteKeyStore {
    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open(path, &OpenOptions::default())?;
        migrate(&mut connection, path, COMPONENT, &STEPS)?;
        let readers = ReadersOptions {
            threads: READER_THREADS,
            ..ReadersOptions::default()
        };
        Ok(Self {
            writer: Writer::start(connection, path, &WriterOptions::default())?,
            readers: Readers::start(path, &readers)?,
        })
    }

    /// Tells what its writing thread has done, without keeping the file open.
    pub fn watch_writer(&self) -> impl Fn() -> WriterStats + Send + Sync + use<> {
        self.writer.watch()
    }
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn insert(&self, key: StoredKey) -> Result<bool, StoreError> {
        let insert = format!(
            "INSERT INTO api_keys({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO NOTHING"
        );
        self.writer
            .run(move |db| write(db, &insert, &key))
            .await
            .map_err(StoreError::from)
    }

    async fn insert_person(&self, key: StoredKey) -> Result<ApiKey, StoreError> {
        let insert = format!(
            "INSERT INTO api_keys({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT(subject) WHERE subject IS NOT NULL
             DO UPDATE SET name = excluded.name, scopes = excluded.scopes WHERE revoked_at IS NULL"
        );
        let person = self.writer.run(move |db| {
            write(db, &insert, &key)?;
            let select = format!("SELECT {COLUMNS} FROM api_keys WHERE subject = ?1");
            let mut statement = db.prepare_cached(&select)?;
            statement.query_row([key.key.subject.as_deref()], self::key)
        });
        person.await.map_err(StoreError::from)
    }

    async fn insert_first(&self, key: StoredKey) -> Result<bool, StoreError> {
        // One statement under the lock of one writer: no other process can come between.
        let insert = format!(
            "INSERT INTO api_keys({COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
             WHERE NOT EXISTS (SELECT 1 FROM api_keys)"
        );
        self.writer
            .run(move |db| write(db, &insert, &key))
            .await
            .map_err(StoreError::from)
    }

    async fn by_secret(&self, secret: &SecretHash) -> Result<Option<StoredKey>, StoreError> {
        let secret = *secret.as_bytes();
        let found = self.readers.run(move |db| {
            let select = format!(
                "SELECT {COLUMNS}, old_secret, old_secret_until FROM api_keys
                 WHERE secret = ?1 OR old_secret = ?1"
            );
            let mut statement = db.prepare_cached(&select)?;
            statement.query_row([secret], stored).optional()
        });
        found.await.map_err(StoreError::from)
    }

    async fn get(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        let id = id.clone();
        self.readers
            .run(move |db| one(db, &id))
            .await
            .map_err(StoreError::from)
    }

    async fn list(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<ApiKey>, StoreError> {
        // Every identifier is greater than the empty text.
        let after = after.map_or("", KeyId::as_str).to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let page = self.readers.run(move |db| {
            let select =
                format!("SELECT {COLUMNS} FROM api_keys WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut statement = db.prepare_cached(&select)?;
            let rows = statement.query_map(params![after, limit], key)?;
            rows.collect()
        });
        page.await.map_err(StoreError::from)
    }

    async fn rotate(
        &self,
        id: &KeyId,
        secret: SecretHash,
        old_until: UnixMillis,
    ) -> Result<Option<ApiKey>, StoreError> {
        let (id, secret) = (id.clone(), *secret.as_bytes());
        let rotated = self.writer.run(move |db| {
            let update =
                "UPDATE api_keys SET old_secret = secret, old_secret_until = ?3, secret = ?2
                 WHERE id = ?1 AND revoked_at IS NULL";
            let changed = db.prepare_cached(update)?.execute(params![
                id.as_str(),
                secret,
                old_until.as_millis()
            ])?;
            match changed {
                0 => Ok(None),
                _ => one(db, &id),
            }
        });
        rotated.await.map_err(StoreError::from)
    }

    async fn revoke(&self, id: &KeyId, at: UnixMillis) -> Result<Option<ApiKey>, StoreError> {
        let id = id.clone();
        let revoked = self.writer.run(move |db| {
            let update = "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            db.prepare_cached(update)?
                .execute(params![id.as_str(), at.as_millis()])?;
            one(db, &id)
        });
        revoked.await.map_err(StoreError::from)
    }
}

fn write(db: &Connection, insert: &str, stored: &StoredKey) -> rusqlite::Result<bool> {
    // A key that is new had no secret before.
    let StoredKey { key, secret, .. } = stored;
    let written = db.prepare_cached(insert)?.execute(params![
        key.id.as_str(),
        key.name,
        key.scopes.to_string(),
        key.domain.as_ref().map(Domain::as_str),
        key.created_at.as_millis(),
        key.expires_at.map(UnixMillis::as_millis),
        key.revoked_at.map(UnixMillis::as_millis),
        secret.as_bytes(),
        key.subject.as_deref(),
    ])?;
    Ok(written == 1)
}

fn one(db: &Connection, id: &KeyId) -> rusqlite::Result<Option<ApiKey>> {
    let select = format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1");
    let mut statement = db.prepare_cached(&select)?;
    statement.query_row([id.as_str()], key).optional()
}

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let scopes: Scopes = row.get_ref(2)?.as_str()?.parse().map_err(|error| {
        let error: crate::ScopeError = error;
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let domain: Option<String> = row.get(3)?;
    let time = |column| -> rusqlite::Result<Option<UnixMillis>> {
        let ms: Option<i64> = row.get(column)?;
        Ok(ms.map(UnixMillis::from_millis))
    };
    Ok(ApiKey {
        id: KeyId::from_stored(row.get_ref(0)?.as_str()?),
        name: row.get(1)?,
        scopes,
        domain: domain.as_deref().map(Domain::from_stored),
        created_at: UnixMillis::from_millis(row.get(4)?),
        expires_at: time(5)?,
        revoked_at: time(6)?,
        subject: row.get::<_, Option<String>>(8)?.map(Into::into),
    })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let old: Option<[u8; 32]> = row.get(9)?;
    let until: Option<i64> = row.get(10)?;
    Ok(StoredKey {
        key: key(row)?,
        secret: SecretHash::from_bytes(row.get(7)?),
        old_secret: old
            .map(SecretHash::from_bytes)
            .zip(until.map(UnixMillis::from_millis)),
    })
}

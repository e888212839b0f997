//! Links in a SQLite file: the embedded default.
//!
//! Nothing about links is kept in memory, so that any number of processes may use the file at
//! once. Writes go through one thread that commits in groups, reads through a few threads of
//! their own (see `tollgate_sqlite`).

mod edit;
mod feed;
mod index;
mod insert;
mod lease;
mod lifecycle;
mod list;
mod row;
mod schema;
mod sweep;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tollgate_clock::{Clock, UnixMillis};
use tollgate_sqlite::{OpenOptions, Readers, ReadersOptions, Writer, WriterOptions, WriterStats};

use super::cursor::Position;
use super::{
    Block, ChangeFeed, ChangeSeq, Changes, ClickGrant, Delete, Deleted, Edit, Expiry, Insert,
    Inserted, LeaseStore, Lifecycle, LinkStore, ListQuery, Page, PoolCode, StoreError, Swept,
    Update, Updated, WorkerLease,
};
use crate::{Code, Link, LinkKey};

/// How a [`SqliteLinkStore`] works.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Changes kept for followers; one that falls further behind has to forget all it cached.
    pub feed_capacity: u64,
    /// How the connection that writes is opened.
    pub open: OpenOptions,
    /// How writes are gathered.
    pub writer: WriterOptions,
    /// How reads are spread.
    pub readers: ReadersOptions,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            feed_capacity: 100_000,
            open: OpenOptions {
                // Indexes in random order (codes, search) are written through this cache.
                cache_bytes: 32 << 20,
                ..OpenOptions::default()
            },
            writer: WriterOptions::default(),
            readers: ReadersOptions::default(),
        }
    }
}

/// Links, their history, the feed of changes and what code strategies share, in one file.
pub struct SqliteLinkStore {
    // Closed before the writer, so that the writer is the last connection and empties the log.
    readers: Readers,
    writer: Writer,
    clock: Arc<dyn Clock>,
    feed_capacity: u64,
    place: PathBuf,
}

impl SqliteLinkStore {
    /// Opens a file, making it or upgrading its schema if needed. It blocks on the disk, so it is
    /// for starting up.
    ///
    /// # Errors
    /// See [`StoreError`]; its text names the file and what to do.
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        options: &SqliteOptions,
    ) -> Result<Self, StoreError> {
        let mut connection = tollgate_sqlite::open(path, &options.open)?;
        tollgate_sqlite::migrate(&mut connection, path, schema::COMPONENT, schema::STEPS)?;
        let writer = Writer::start(connection, path, &options.writer)?;
        let readers = Readers::start(path, &options.readers)?;
        Ok(Self {
            readers,
            writer,
            clock,
            feed_capacity: options.feed_capacity,
            place: path.to_owned(),
        })
    }

    /// What the writer has done so far, for metrics.
    #[must_use]
    pub fn writer_stats(&self) -> WriterStats {
        self.writer.stats()
    }

    /// Tells that whenever it is asked, without keeping the file open.
    pub fn watch_writer(&self) -> impl Fn() -> WriterStats + Send + Sync + use<> {
        self.writer.watch()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        Ok(self.readers.look_up(read).await?)
    }

    /// A read of several statements that have to see the same state.
    async fn read_consistently<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let read = |connection: &mut Connection| read(&*connection.transaction()?);
        Ok(self.readers.run(read).await?)
    }

    async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        Ok(self.writer.run(write).await?)
    }

    /// A write that may tell the feed.
    async fn change<T, F>(&self, mut write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let capacity = self.feed_capacity;
        self.write(move |connection| {
            let answer = write(connection)?;
            feed::trim(connection, capacity)?;
            Ok(answer)
        })
        .await
    }
}

#[async_trait]
impl LinkStore for SqliteLinkStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.write(move |connection| insert::insert_all(connection, &inserts, clock.now()))
            .await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let key = key.clone();
        let stored = self.read(move |connection| row::find(connection, &key));
        Ok(stored.await?.map(|stored| stored.link))
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        self.change(move |connection| edit::update(connection, update.clone()))
            .await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        self.change(move |connection| edit::delete(connection, delete.clone()))
            .await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = match &query.cursor {
            Some(cursor) => Some(Position::read(cursor, query.order)?),
            None => None,
        };
        let query = query.clone();
        self.read_consistently(move |connection| list::list(connection, &query, after.as_ref()))
            .await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        let key = key.clone();
        self.read_consistently(move |connection| edit::history(connection, &key, limit))
            .await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        let key = key.clone();
        self.write(move |connection| edit::take_click(connection, &key))
            .await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.change(move |connection| sweep::sweep(connection, before, tokens_before, limit))
            .await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT links FROM totals")?
                .query_row([], |row| row.get::<_, i64>(0))
        })
        .await
        .map(i64::cast_unsigned)
    }
}

#[async_trait]
impl ChangeFeed for SqliteLinkStore {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        self.read_consistently(move |connection| feed::changes(connection, after))
            .await
    }
}

#[async_trait]
impl Lifecycle for SqliteLinkStore {
    async fn made(&self, after: Option<i64>, limit: usize) -> Result<(Vec<Link>, i64), StoreError> {
        self.read_consistently(move |connection| lifecycle::made(connection, after, limit))
            .await
    }

    async fn expired(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError> {
        self.read(move |connection| lifecycle::expired(connection, after, until, limit))
            .await
    }
}

#[async_trait]
impl LeaseStore for SqliteLinkStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.write(move |connection| lease::secret(connection, &name, candidate))
            .await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        let name = counter.to_owned();
        self.write(move |connection| lease::lease_block(connection, &name, size))
            .await?
            .ok_or_else(|| StoreError::Unexpected(format!("the counter {counter} is at its end")))
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.write(move |connection| lease::acquire_worker(connection, workers, now, ttl))
            .await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let expires_at = now.saturating_add(ttl);
        self.write(move |connection| lease::renew_worker(connection, lease, expires_at))
            .await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        self.write(move |connection| lease::release_worker(connection, lease, free_from))
            .await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        let codes = codes.to_vec();
        self.write(move |connection| lease::pool_add(connection, &codes, available_at))
            .await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        self.write(move |connection| lease::pool_take(connection, count, now, ttl))
            .await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        let codes = codes.to_vec();
        self.write(move |connection| lease::pool_remove(connection, &codes))
            .await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.read(move |connection| lease::pool_available(connection, now))
            .await
    }
}

impl From<tollgate_sqlite::Error> for StoreError {
    fn from(error: tollgate_sqlite::Error) -> Self {
        use tollgate_sqlite::Error;
        let text = error.to_string();
        match error {
            Error::Busy { .. } | Error::CannotOpen { .. } | Error::Disk { .. } => {
                Self::Unavailable(text)
            }
            Error::ReadOnly { .. } => Self::ReadOnly(text),
            Error::Full { .. } => Self::Full(text),
            Error::Corrupt { .. } => Self::Corrupt(text),
            Error::NewerSchema {
                place,
                found,
                known,
            } => Self::NewerSchema {
                place,
                found,
                known,
            },
            Error::Other { .. } => Self::Unexpected(text),
        }
    }
}

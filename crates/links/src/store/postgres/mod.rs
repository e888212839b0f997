//! Links in a PostgreSQL that instances share.
//!
//! Nothing about links is kept here, so that any number of instances may use the database at once.
//! What has to be decided once is decided there: by unique indexes, by rows that are held, and by
//! advisory locks where there is no row yet.

mod edit;
pub(in crate::store) mod feed;
mod insert;
mod lease;
pub(in crate::store) mod lifecycle;
pub(in crate::store) mod list;
mod recent;
mod replicated;
mod row;
mod schema;
pub(in crate::store) mod shard;
mod sweep;
pub(in crate::store) mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tollgate_clock::{Clock, UnixMillis};
pub use tollgate_postgres::{AddressError, PoolStats, PostgresAddress, ReplicaStats};
use tollgate_postgres::{Connections, Failure, Session};

use self::replicated::Replicated;
pub use self::replicated::{ReplicaReadStats, ReplicaReads};
use super::cursor::Position;
use super::links::nobody;
use super::{
    Block, ChangeFeed, ChangeSeq, Changes, ClickGrant, Delete, Deleted, Edit, Expiry, Insert,
    Inserted, LeaseStore, Lifecycle, LinkCopy, LinkStore, ListQuery, Page, PoolCode, StoreError,
    Swept, Update, Updated, WorkerLease,
};
use crate::{Code, Link, LinkKey};

/// Until so many links they are counted, beyond the server estimates.
const COUNTED_LINKS: i64 = 10_000;
/// Between two attempts to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// How a [`PostgresLinkStore`] works.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The most connections, beside the one that listens. At least 1.
    pub connections: usize,
    /// How long a piece of work may take, waiting for a connection included. The server is told the
    /// same for each statement.
    pub deadline: Duration,
    /// Changes kept for followers; one that falls further behind has to forget all it cached.
    pub feed_capacity: u64,
    /// How visitors' links and listings are read from the standbys that the address names, if they are.
    pub replicas: Option<ReplicaReads>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            deadline: Duration::from_secs(3),
            feed_capacity: 100_000,
            replicas: None,
        }
    }
}

/// What a [`PostgresLinkStore`] has done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresStats {
    /// Of its connections.
    pub pool: PoolStats,
    /// Whether this instance is told of changes, and need not wait until it looks for them.
    pub listening: bool,
}

/// Links, their history, the feed of changes and what code strategies share, in one database.
pub struct PostgresLinkStore {
    connections: Arc<Connections>,
    clock: Arc<dyn Clock>,
    feed_capacity: u64,
    news: Arc<News>,
    listener: JoinHandle<()>,
    settled: lifecycle::Settled,
    replicated: Option<Replicated>,
}

/// What the listener has heard.
#[derive(Default)]
struct News {
    changed: Notify,
    listening: AtomicBool,
}

impl PostgresLinkStore {
    /// Connects, and makes the tables or upgrades them if needed. The store's connections live on the
    /// runtime this is called on.
    ///
    /// # Errors
    /// See [`StoreError`]; its text names the server, and no password.
    pub async fn open(
        address: PostgresAddress,
        clock: Arc<dyn Clock>,
        options: &PostgresOptions,
    ) -> Result<Self, StoreError> {
        let (size, deadline) = (options.connections, options.deadline);
        let servers = address.clone();
        let connections = Connections::open(address, size, deadline, &schema::SCHEMA).await?;
        let (connections, news) = (Arc::new(connections), Arc::<News>::default());
        let replicated = match &options.replicas {
            Some(reads) if servers.server_count() > 1 => {
                Some(Replicated::new(&servers, &connections, options, reads)?)
            }
            _ => None,
        };
        let listener = tokio::spawn(listen(Arc::clone(&connections), Arc::clone(&news)));
        Ok(Self {
            connections,
            clock,
            feed_capacity: options.feed_capacity,
            news,
            listener,
            settled: lifecycle::Settled::default(),
            replicated,
        })
    }

    /// Where it is, without anything secret.
    #[must_use]
    pub fn place(&self) -> &str {
        self.connections.place()
    }

    /// What it has done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> PostgresStats {
        PostgresStats {
            pool: self.connections.stats(),
            listening: self.news.listening.load(Relaxed),
        }
    }

    /// What became of reads, if standbys are read; for metrics.
    #[must_use]
    pub fn replica_stats(&self) -> Option<ReplicaReadStats> {
        self.replicated.as_ref().map(Replicated::stats)
    }

    /// These were changed, by anybody.
    pub(in crate::store) fn note<'a>(&self, keys: impl IntoIterator<Item = &'a LinkKey>) {
        if let Some(replicated) = &self.replicated {
            replicated.note(keys);
        }
    }

    /// Nobody knows what was changed until now.
    pub(in crate::store) fn note_all(&self) {
        if let Some(replicated) = &self.replicated {
            replicated.note_all();
        }
    }

    async fn read<T, F>(&self, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        Ok(self.connections.read(work).await?)
    }

    async fn write<T, F>(&self, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        Ok(self.connections.write(work).await?)
    }

    async fn session(&self) -> Result<Session, Failure> {
        self.connections.session().await
    }
}

impl Drop for PostgresLinkStore {
    fn drop(&mut self) {
        self.listener.abort();
        self.connections.close();
    }
}

/// Hears of changes for as long as it runs. Whoever follows looks for them from time to time as well, so
/// nothing is lost while this cannot listen.
async fn listen(connections: Arc<Connections>, news: Arc<News>) {
    loop {
        let heard = || {
            news.listening.store(true, Relaxed);
            news.changed.notify_one();
        };
        let ended = connections.listen(feed::CHANNEL, heard).await;
        if news.listening.swap(false, Relaxed) {
            let error = ended
                .err()
                .map(|failure| failure.into_error(connections.place()));
            let error = error.map(|error| error.to_string());
            tracing::warn!(error, "no longer told of changes: looking for them instead");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

#[async_trait]
impl LinkStore for PostgresLinkStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        if inserts.is_empty() {
            return Ok(Vec::new());
        }
        let inserts = &inserts;
        let inserted = self
            .write(|| async move {
                insert::insert_all(&mut self.session().await?, inserts, self.clock.now()).await
            })
            .await;
        self.note(inserts.iter().map(|insert| &insert.link.key));
        inserted
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let found = self
            .read(|| async { row::find(&mut self.session().await?, key).await })
            .await?;
        Ok(found.map(|stored| stored.link))
    }

    async fn find(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        if let Some(replicated) = &self.replicated {
            if let Some(found) = replicated.find(key).await?.found() {
                return Ok(found);
            }
            replicated.count_primary();
        }
        let link = self.get(key).await?;
        Ok(LinkCopy { link, newest: true })
    }

    fn heard_of(&self, keys: &[LinkKey]) {
        self.note(keys);
    }

    async fn answers(&self) -> Result<(), StoreError> {
        match &self.replicated {
            Some(replicated) if replicated.can_be_read() => Ok(()),
            _ => self.get(&nobody()).await.map(drop),
        }
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        let update = &update;
        let updated = self
            .write(|| async move {
                edit::update(&mut self.session().await?, update, self.feed_capacity).await
            })
            .await;
        self.note([&update.key]);
        updated
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        let delete = &delete;
        let deleted = self
            .write(|| async move {
                edit::delete(&mut self.session().await?, delete, self.feed_capacity).await
            })
            .await;
        self.note([&delete.key]);
        deleted
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = match &query.cursor {
            Some(cursor) => Some(Position::read(cursor, query.order)?),
            None => None,
        };
        let after = &after;
        if let Some(replicated) = &self.replicated {
            let read =
                async |session: &mut Session| list::list(session, query, after.clone()).await;
            if let Some(page) = replicated.caught_up(read).await {
                return Ok(page);
            }
            replicated.count_primary();
        }
        self.read(
            || async move { list::list(&mut self.session().await?, query, after.clone()).await },
        )
        .await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.read(|| async move { edit::history(&mut self.session().await?, key, limit).await })
            .await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.write(|| async { edit::take_click(&mut self.session().await?, key).await })
            .await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let capacity = self.feed_capacity;
        let swept = self
            .write(|| async move {
                let mut session = self.session().await?;
                sweep::sweep(&mut session, before, tokens_before, limit, capacity).await
            })
            .await?;
        self.note(&swept.links);
        Ok(swept)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count = self
            .read(|| async { count(&mut self.session().await?).await })
            .await?;
        Ok(count.cast_unsigned())
    }
}

/// Counts links; an estimate if they are many.
async fn count(session: &mut Session) -> Result<i64, Failure> {
    // What the server last estimated may lag behind, but never below what was counted.
    let row = session
        .one(
            "SELECT CASE WHEN counted < $1 THEN counted ELSE greatest(counted, (
                SELECT reltuples::bigint FROM pg_class WHERE oid = 'links'::regclass)) END
             FROM (SELECT count(*) AS counted FROM (
                SELECT FROM links LIMIT $1) AS few) AS few",
            &[&COUNTED_LINKS],
        )
        .await?;
    Ok(row.try_get::<_, i64>(0)?)
}

#[async_trait]
impl ChangeFeed for PostgresLinkStore {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        let changes = self
            .read(|| async move { feed::changes(&mut self.session().await?, after).await })
            .await?;
        // Nobody has read the feed before its first position.
        if changes.lost || after.is_none() {
            self.note_all();
        }
        self.note(&changes.keys);
        Ok(changes)
    }

    async fn changed(&self) {
        self.news.changed.notified().await;
    }
}

#[async_trait]
impl Lifecycle for PostgresLinkStore {
    async fn made(&self, after: Option<i64>, limit: usize) -> Result<(Vec<Link>, i64), StoreError> {
        self.read(|| async move {
            lifecycle::made(&mut self.session().await?, &self.settled, after, limit).await
        })
        .await
    }

    async fn expired(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError> {
        self.read(|| async move {
            lifecycle::expired(&mut self.session().await?, after, until, limit).await
        })
        .await
    }
}

#[async_trait]
impl LeaseStore for PostgresLinkStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.write(
            || async move { lease::secret(&mut self.session().await?, name, candidate).await },
        )
        .await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        self.write(
            || async move { lease::lease_block(&mut self.session().await?, counter, size).await },
        )
        .await?
        .ok_or_else(|| StoreError::Unexpected(format!("the counter {counter} is at its end")))
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.write(|| async move {
            lease::acquire_worker(&mut self.session().await?, workers, now, ttl).await
        })
        .await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let expires_at = now.saturating_add(ttl);
        self.write(|| async move {
            lease::renew_worker(&mut self.session().await?, lease, expires_at).await
        })
        .await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        self.write(|| async move {
            lease::release_worker(&mut self.session().await?, lease, free_from).await
        })
        .await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        self.write(|| async move {
            lease::pool_add(&mut self.session().await?, codes, available_at).await
        })
        .await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        self.write(
            || async move { lease::pool_take(&mut self.session().await?, count, now, ttl).await },
        )
        .await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        self.write(|| async move { lease::pool_remove(&mut self.session().await?, codes).await })
            .await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.read(|| async move { lease::pool_available(&mut self.session().await?, now).await })
            .await
    }
}

impl From<tollgate_postgres::Error> for StoreError {
    fn from(error: tollgate_postgres::Error) -> Self {
        use tollgate_postgres::Error;
        match error {
            Error::Unavailable(text) => Self::Unavailable(text),
            Error::Full(text) => Self::Full(text),
            Error::Corrupt(text) => Self::Corrupt(text),
            Error::NewerSchema {
                place,
                found,
                known,
            } => Self::NewerSchema {
                place,
                found,
                known,
            },
            Error::Outdated(text) => Self::ShardsChanged(text),
            Error::Other(text) => Self::Unexpected(text),
        }
    }
}

//! Links in a table of DynamoDB, or of an engine that speaks its protocol, which instances share.
//!
//! All is in one table, and every write is of one item, under a condition where it has to be decided once. There are no
//! transactions: what takes several writes is written down as a whole before ([`log`]), and whoever comes across what
//! is not done does the rest.

mod address;
mod client;
mod edit;
mod feed;
mod insert;
mod item;
mod lease;
mod lifecycle;
mod list;
mod log;
mod pool;
mod schema;
mod sweep;
mod table;
mod token;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use address::{DynamoAddress, DynamoAddressError};
use async_trait::async_trait;
use tokio::sync::Mutex;
use tollgate_clock::{Clock, UnixMillis};

use self::item::{Fields as _, Kept, LINK, link_pk};
use self::table::{Change, Table, name};
use super::cursor::Position;
use super::{
    Block, ChangeFeed, ChangeSeq, Changes, ClickGrant, Delete, Deleted, Edit, Expiry, Insert,
    Inserted, LeaseStore, Lifecycle, LinkStore, ListQuery, Page, PoolCode, StoreError, Swept,
    Update, Updated, WorkerLease,
};
use crate::{Code, Link, LinkKey};

/// The partition of what there is once.
const META: &str = "meta";
/// Where links are numbered and counted.
const NUMBERS: &str = "numbers";
/// Where opened stores are numbered.
const STORES: &str = "stores";

/// Whose requests these are.
#[derive(Clone, Default)]
pub enum DynamoCredentials {
    /// What is found in the environment, in files of the user, or asked of the machine or the container.
    #[default]
    Found,
    /// These.
    Static {
        /// The identifier of the access key.
        id: String,
        /// Its secret.
        secret: String,
    },
}

impl std::fmt::Debug for DynamoCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Found => "Found",
            Self::Static { .. } => "Static(…)",
        })
    }
}

/// How a [`DynamoLinkStore`] works.
#[derive(Debug, Clone)]
pub struct DynamoOptions {
    /// How long one request may take, all attempts included.
    pub deadline: Duration,
    /// Into how many partitions the indexes of a table are divided, if it is made now. At least 1.
    pub partitions: u64,
    /// Changes kept for followers; one that falls further behind has to forget all it cached.
    pub feed_capacity: u64,
    /// How long after a link was given its number it is told of as made.
    pub settled_after: Duration,
    /// Whose requests these are.
    pub credentials: DynamoCredentials,
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            partitions: 8,
            feed_capacity: 100_000,
            settled_after: Duration::from_secs(10),
            credentials: DynamoCredentials::Found,
        }
    }
}

/// What a [`DynamoLinkStore`] has done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamoStats {
    /// Requests that were made, attempts of the same not counted.
    pub requests: u64,
    /// Of these, refused because the table is asked for too much.
    pub throttled: u64,
    /// Of these, failed otherwise, or not done in time.
    pub failed: u64,
}

/// Links, their history, the log of changes and what code strategies share, in one table.
pub struct DynamoLinkStore {
    table: Table,
    clock: Arc<dyn Clock>,
    place: String,
    partitions: u64,
    feed_capacity: u64,
    settled_after: Duration,
    settled: lifecycle::Settled,
    /// One at a time appends to the log.
    appending: Mutex<()>,
    /// The number of this store among all that were ever opened, and of its next attempt: together they tell attempts
    /// apart.
    number: u64,
    attempts: AtomicU64,
}

impl DynamoLinkStore {
    /// Makes the table if it is not there, and finds out whether it can be used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open(
        address: &DynamoAddress,
        clock: Arc<dyn Clock>,
        options: &DynamoOptions,
    ) -> Result<Self, StoreError> {
        let client = client::connect(address, options).await;
        let table = Table::new(client, address.table.clone());
        let place = address.place();
        let partitions = schema::prepare(&table, options.partitions.max(1), &place).await?;
        let opened = Change::default().add(name::LAST, 1);
        let opened = table.update(META, STORES, opened).await?;
        Ok(Self {
            number: opened.unwrap_or_default().number(name::LAST)?,
            table,
            clock,
            place,
            partitions,
            feed_capacity: options.feed_capacity.max(1),
            settled_after: options.settled_after,
            settled: lifecycle::Settled::default(),
            appending: Mutex::new(()),
            attempts: AtomicU64::new(0),
        })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it has done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> DynamoStats {
        self.table.stats()
    }

    /// Tells an attempt from all others.
    fn owner(&self) -> String {
        format!("{}.{}", self.number, self.attempts.fetch_add(1, Relaxed))
    }

    /// Keeps the number of links, which is off by those that were under way when a process died.
    async fn add_to_total(&self, links: i64) -> Result<(), StoreError> {
        let change = Change::default().add(name::LINKS, links.into());
        self.table.update(META, NUMBERS, change).await.map(|_| ())
    }
}

#[async_trait]
impl LinkStore for DynamoLinkStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        self.insert_all(&inserts).await
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let found = self.table.get(&link_pk(key), LINK).await?;
        let found = found.as_ref().map(Kept::read).transpose()?;
        let found = found.filter(|found| found.gone_by.is_none());
        Ok(found.map(|found| found.link))
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        self.update_link(&update).await
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        self.delete_link(&delete).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let after = match &query.cursor {
            Some(cursor) => Some(Position::read(cursor, query.order)?),
            None => None,
        };
        self.page(query, after.as_ref()).await
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        self.read_history(key, limit).await
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        self.take(key).await
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.sweep_all(before, tokens_before, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let numbers = self.table.get(META, NUMBERS).await?;
        let links = numbers.map(|numbers| numbers.number::<i64>(name::LINKS));
        Ok(u64::try_from(links.transpose()?.unwrap_or(0)).unwrap_or(0))
    }
}

#[async_trait]
impl ChangeFeed for DynamoLinkStore {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        self.news(after).await
    }
}

#[async_trait]
impl Lifecycle for DynamoLinkStore {
    async fn made(&self, after: Option<i64>, limit: usize) -> Result<(Vec<Link>, i64), StoreError> {
        self.made_after(after, limit).await
    }

    async fn expired(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError> {
        self.expired_after(after, until, limit).await
    }
}

#[async_trait]
impl LeaseStore for DynamoLinkStore {
    async fn secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.shared_secret(name, candidate).await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        self.next_block(counter, size).await
    }

    async fn acquire_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.free_worker(workers, now, ttl).await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        self.renew(lease, now.saturating_add(ttl), lease.fence)
            .await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        self.release(lease, free_from).await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        self.add_codes(codes, available_at).await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        self.take_codes(count, now, ttl).await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        self.remove_codes(codes).await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.available_codes(now).await
    }
}

//! A PostgreSQL in which instances count together.
//!
//! Each instance adds what its own source gives, under that source's own position, so that they need
//! not know of each other. Two that write at the same time would wait for each other at the roll-ups that
//! both have clicks for, which are always some: so these are kept in lanes, of which each
//! transaction takes one, and which are added up by whoever reads.

mod add;
mod days;
mod raw;
mod read;
mod retain;
mod schema;
mod scopes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tollgate_clock::Clock;
pub use tollgate_postgres::{AddressError, PoolStats, PostgresAddress};
use tollgate_postgres::{Connections, Error, Failure, Row};

use self::retain::{Held, blocking};
use super::raw::Day;
use super::{AddedTogether, ClickStore, EnrichedBatch, Retained, StoreError, clicks_of};
use crate::query::{ClickPage, LinkName, List, Query, QueryError, Scope, Statistics, Totals};
use crate::rollup::{RollupBatch, ScopeName};
use crate::{Position, SourceId};

/// After this time nobody writes under the number of a link that was forgotten: longer than any
/// deadline, and than clocks of instances differ.
const FORGOTTEN_FOR: Duration = Duration::from_hours(6);

/// How a [`PostgresClickStore`] works.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The most connections. At least 1.
    pub connections: usize,
    /// How long a piece of work may take, waiting for a connection included: counting a batch, answering a
    /// query. The server is told the same for each statement.
    pub deadline: Duration,
    /// How long single clicks are kept, rounded up to whole days in UTC. Zero keeps none.
    pub retain_raw: Duration,
    /// Where they are archived before they are dropped, by the instance that does so; nowhere if none.
    pub archive: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 4,
            deadline: Duration::from_secs(30),
            retain_raw: Duration::from_hours(90 * 24),
            archive: None,
        }
    }
}

/// Clicks in a database that instances share.
pub struct PostgresClickStore {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    connections: Connections,
    clock: Arc<dyn Clock>,
    retain_raw: Duration,
    archive: Option<PathBuf>,
}

impl PostgresClickStore {
    /// Connects, makes the tables or upgrades them if needed, and makes partitions ahead. The store's
    /// connections live on the runtime this is called on, and so does the counting.
    ///
    /// # Errors
    /// [`StoreError`]; its text names the server, and no password.
    pub async fn open(
        address: PostgresAddress,
        clock: Arc<dyn Clock>,
        options: &PostgresOptions,
    ) -> Result<Self, StoreError> {
        let (size, deadline) = (options.connections, options.deadline);
        let connections = Connections::open(address, size, deadline, &schema::SCHEMA).await?;
        let inner = Inner {
            connections,
            clock,
            retain_raw: options.retain_raw,
            archive: options.archive.clone(),
        };
        inner.make_ahead().await?;
        Ok(Self {
            inner: Arc::new(inner),
            runtime: Handle::current(),
        })
    }

    /// Where it is, without anything secret.
    #[must_use]
    pub fn place(&self) -> &str {
        self.inner.connections.place()
    }

    /// What its connections have done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner.connections.stats()
    }
}

impl Drop for PostgresClickStore {
    fn drop(&mut self) {
        self.inner.connections.close();
    }
}

impl Inner {
    /// The first day whose raw clicks are kept.
    fn keep(&self) -> Day {
        Day::kept(self.clock.now(), self.retain_raw)
    }

    async fn make_ahead(&self) -> Result<(), StoreError> {
        if self.retain_raw.is_zero() {
            return Ok(());
        }
        let (connections, today) = (&self.connections, Day::of(self.clock.now()));
        let made = connections.write(|| async move {
            days::make_ahead(&mut connections.session().await?, today).await
        });
        Ok(made.await?)
    }

    async fn add(
        &self,
        batches: &[EnrichedBatch],
        rollups: &RollupBatch,
    ) -> Result<AddedTogether, StoreError> {
        let connections = &self.connections;
        let keep = Day::taken(self.clock.now(), self.retain_raw);
        let added = connections.write(|| async move {
            add::add(&mut connections.session().await?, batches, rollups, keep).await
        });
        Ok(added.await?)
    }

    /// Drops the raw clicks of a day; none if more came meanwhile, or somebody else does it.
    async fn drop_day(&self, day: Day) -> Result<Option<u64>, StoreError> {
        let connections = &self.connections;
        let mut held: Held = connections
            .read(|| async move {
                retain::look(&mut connections.session_within(retain::LONG).await?, day).await
            })
            .await?;
        let mut written = None;
        if let Some(directory) = self.archive.as_ref().filter(|_| held.clicks > 0) {
            let (file, archived) = retain::archive(connections, directory, day).await?;
            (written, held) = (Some(file), archived);
        }
        // The file takes its place only when nobody else can have written a better one. If the
        // commit fails after that, the day is archived once more, into the same file.
        let mut session = connections
            .session_within(retain::LONG)
            .await
            .map_err(|error| self.failed(error))?;
        let begun = retain::begin_drop(&mut session, day, held).await;
        if !begun.map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        if let Some(written) = written {
            let kept = blocking(move || written.keep()).await;
            kept.map_err(|error| StoreError::Archive(error.to_string()))?;
        }
        let dropped = retain::finish_drop(&mut session, day).await;
        dropped.map_err(|error| self.failed(error))?;
        Ok(Some(held.clicks))
    }

    fn failed(&self, failure: Failure) -> StoreError {
        failure.into_error(self.connections.place()).into()
    }
}

#[async_trait]
impl ClickStore for PostgresClickStore {
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError> {
        let connections = &self.inner.connections;
        let read = connections.read(|| async move {
            add::positions(&mut connections.session().await?, sources).await
        });
        Ok(read.await?)
    }

    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError> {
        let rollups = RollupBatch::of(clicks_of(&batches));
        // Whoever counts may run only where nobody else wants to: a transaction that others wait for
        // should not. It ends with whoever waits for it.
        let inner = Arc::clone(&self.inner);
        let mut adding = JoinSet::new();
        adding.spawn_on(
            async move { inner.add(&batches, &rollups).await },
            &self.runtime,
        );
        match adding.join_next().await {
            Some(Ok(added)) => added,
            _ => Err(StoreError::Unavailable("the store is being closed".into())),
        }
    }

    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError> {
        let (connections, keep, query) = (&self.inner.connections, self.inner.keep(), &query);
        let answered = connections.read(|| async move {
            read::statistics(&mut connections.session().await?, query, keep).await
        });
        answered.await.map_err(StoreError::from)?
    }

    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError> {
        let (connections, scopes) = (&self.inner.connections, &scopes);
        let answered = connections
            .read(|| async move { read::totals(&mut connections.session().await?, scopes).await });
        answered.await.map_err(StoreError::from)?
    }

    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError> {
        let (connections, list) = (&self.inner.connections, &list);
        let answered = connections
            .read(|| async move { read::list(&mut connections.session().await?, list).await });
        answered.await.map_err(StoreError::from)?
    }

    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        let connections = &self.inner.connections;
        let name = &ScopeName::Link(link.clone());
        // Most links that go were never clicked.
        let found = connections
            .read(|| async move {
                read::find_link(&mut connections.session().await?, name.clone()).await
            })
            .await?;
        let Some(scope) = found else {
            return Ok(false);
        };
        let more =
            || async move { retain::forget_raw(&mut connections.session().await?, scope).await };
        while connections.write(more).await? {}
        let now = self.inner.clock.now();
        let sources = &crate::import::sources_of(link);
        let forgotten = connections.write(|| async move {
            let session = &mut connections.session().await?;
            retain::forget_rollups(session, scope, sources, now).await
        });
        Ok(forgotten.await?)
    }

    async fn retain(&self) -> Result<Retained, StoreError> {
        let inner = &self.inner;
        let connections = &inner.connections;
        inner.make_ahead().await?;
        let past = (Day(i64::MIN), Day(inner.keep().0 - 1));
        let days = connections
            .read(|| async move { days::between(&mut connections.session().await?, past).await })
            .await?;
        let mut retained = Retained::default();
        for day in days {
            // A partition that was made ahead may have stayed empty.
            if let Some(clicks @ 1..) = inner.drop_day(day).await? {
                retained.days += 1;
                retained.clicks += clicks;
            }
        }
        let before = inner.clock.now().saturating_sub(FORGOTTEN_FOR);
        let forgotten =
            connections
                .read(|| async move {
                    retain::forgotten(&mut connections.session().await?, before).await
                })
                .await?;
        for scope in forgotten {
            connections
                .write(
                    || async move { retain::purge(&mut connections.session().await?, scope).await },
                )
                .await?;
        }
        Ok(retained)
    }
}

/// A number of clicks.
fn number_of(row: &Row, column: usize) -> Result<u64, Failure> {
    let stored: i64 = row.try_get(column)?;
    u64::try_from(stored).map_err(|_| Failure::Damaged(format!("{stored} clicks")))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
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
            Error::Outdated(text) | Error::Other(text) => Self::Unexpected(text),
        }
    }
}

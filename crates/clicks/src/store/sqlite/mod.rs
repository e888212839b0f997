//! The embedded store: a SQLite file of its own.

mod add;
mod raw;
mod read;
mod retain;
mod schema;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::Type;
use tollgate_clock::Clock;
use tollgate_sqlite::{
    Error, OpenOptions, Readers, ReadersOptions, Writer, WriterOptions, WriterStats, migrate, open,
    rusqlite,
};

use super::archive::{Archive, Written};
use super::raw::Day;
use super::{AddedTogether, ClickStore, EnrichedBatch, Retained, StoreError, clicks_of};
use crate::query::{ClickPage, LinkName, List, Query, QueryError, Scope, Statistics, Totals};
use crate::rollup::RollupBatch;
use crate::{Position, SourceId};

/// The name of the tables in the file.
const COMPONENT: &str = "clicks";
/// Pages that the writer keeps in memory: the roll-ups of links that are clicked often.
const WRITER_CACHE: u32 = 64 << 20;

/// What the store keeps, and for how long.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How long single clicks are kept, rounded up to whole days in UTC. Zero keeps none.
    pub retain_raw: Duration,
    /// Where they are archived before they are dropped; nowhere if none.
    pub archive: Option<PathBuf>,
    /// What the writing thread does first, such as giving way to others.
    pub begin: fn(),
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            retain_raw: Duration::from_hours(90 * 24),
            archive: None,
            begin: || (),
        }
    }
}

/// Clicks in a SQLite file. Other processes may use the same file.
pub struct SqliteClickStore {
    writer: Writer,
    readers: Readers,
    clock: Arc<dyn Clock>,
    options: SqliteOptions,
}

impl SqliteClickStore {
    /// Opens a file, which is made if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let opening = OpenOptions {
            cache_bytes: WRITER_CACHE,
            ..OpenOptions::default()
        };
        let writing = WriterOptions {
            begin: options.begin,
            ..WriterOptions::default()
        };
        let mut connection = open(path, &opening)?;
        migrate(&mut connection, path, COMPONENT, &schema::STEPS)?;
        Ok(Self {
            writer: Writer::start(connection, path, &writing)?,
            readers: Readers::start(path, &ReadersOptions::default())?,
            clock,
            options,
        })
    }

    /// What its writing thread has done.
    #[must_use]
    pub fn writer_stats(&self) -> WriterStats {
        self.writer.stats()
    }

    /// The first day whose raw clicks are kept.
    fn keep(&self) -> Day {
        Day::kept(self.clock.now(), self.options.retain_raw)
    }

    /// Drops the raw clicks of a day; none if more came meanwhile, or another process did it.
    async fn drop_day(&self, day: Day) -> Result<Option<u64>, StoreError> {
        let directory = self.options.archive.clone();
        let read = move |connection: &mut rusqlite::Connection| {
            let snapshot = connection.transaction()?;
            if !raw::is_there(&snapshot, day)? {
                return Ok(Ok(None));
            }
            match directory {
                Some(directory) => archive(&snapshot, &directory, day),
                None => retain::highest(&snapshot, day).map(|highest| Ok((highest, None))),
            }
            .map(|read| read.map(Some))
        };
        let failed = |error: io::Error| StoreError::Archive(error.to_string());
        let read = self.readers.run(read).await?.map_err(failed)?;
        let Some((highest, mut written)) = read else {
            return Ok(None);
        };
        // The file takes its place only when it is sure to be all of the day. If the commit fails
        // after that, the day is archived once more. If this has to run again, the file is there, or could not be put there.
        let mut kept = Ok(());
        let drop = move |connection: &rusqlite::Connection| {
            if !retain::is_all(connection, day, highest)? {
                return Ok(Ok(None));
            }
            if let Some(written) = written.take() {
                kept = written.keep().map_err(|error| error.to_string());
            }
            if let Err(error) = &kept {
                return Ok(Err(error.clone()));
            }
            retain::drop_day(connection, day).map(|clicks| Ok(Some(clicks)))
        };
        let dropped = self.writer.run(drop).await?;
        dropped.map_err(StoreError::Archive)
    }
}

#[async_trait]
impl ClickStore for SqliteClickStore {
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError> {
        let sources = sources.to_vec();
        let read =
            move |connection: &mut rusqlite::Connection| add::positions(connection, sources.iter());
        Ok(self.readers.run(read).await?)
    }

    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError> {
        let keep = Day::taken(self.clock.now(), self.options.retain_raw);
        let rollups = RollupBatch::of(clicks_of(&batches));
        let write =
            move |connection: &rusqlite::Connection| add::add(connection, &batches, &rollups, keep);
        Ok(self.writer.run(write).await?)
    }

    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError> {
        let keep = self.keep();
        let read =
            move |connection: &mut rusqlite::Connection| read::statistics(connection, &query, keep);
        self.readers.run(read).await.map_err(StoreError::from)?
    }

    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError> {
        let read = move |connection: &mut rusqlite::Connection| read::totals(connection, &scopes);
        self.readers.run(read).await.map_err(StoreError::from)?
    }

    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError> {
        let read = move |connection: &mut rusqlite::Connection| read::list(connection, &list);
        self.readers.run(read).await.map_err(StoreError::from)?
    }

    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        // A look first: most links that go were never clicked.
        let name = link.clone();
        if !self.readers.run(move |c| retain::knows(c, &name)).await? {
            return Ok(false);
        }
        loop {
            let name = link.clone();
            let more = self.writer.run(move |c| retain::forget_raw(c, &name));
            if !more.await? {
                break;
            }
        }
        let name = link.clone();
        let forget = self.writer.run(move |c| retain::forget_rollups(c, &name));
        Ok(forget.await?)
    }

    async fn retain(&self) -> Result<Retained, StoreError> {
        let keep = self.keep();
        let days = self.readers.run(move |c| retain::past(c, keep)).await?;
        let mut retained = Retained::default();
        for day in days {
            if let Some(clicks) = self.drop_day(day).await? {
                retained.days += 1;
                retained.clicks += clicks;
            }
        }
        Ok(retained)
    }
}

/// Writes the raw clicks of a day into a file, which is not in its place yet. Answers the highest
/// number among them.
fn archive(
    connection: &rusqlite::Connection,
    directory: &Path,
    day: Day,
) -> rusqlite::Result<io::Result<(i64, Option<Written>)>> {
    let sql = format!("{} ORDER BY raw.number", raw::selected(day));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut archive = match Archive::begin(directory, day) {
        Ok(archive) => archive,
        Err(error) => return Ok(Err(error)),
    };
    let mut highest = 0;
    while let Some(row) = rows.next()? {
        let (number, click) = raw::read(row)?;
        highest = number;
        if let Err(error) = archive.write(&click) {
            return Ok(Err(error));
        }
    }
    Ok(archive.finish().map(|written| (highest, Some(written))))
}

/// A number of clicks.
fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, stored))
}

/// A stored value that nothing of ours wrote.
fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
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

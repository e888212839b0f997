//! The log in a SQLite file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tollgate_clock::UnixMillis;
use tollgate_sqlite::{
    Error, OpenOptions, Readers, ReadersOptions, Writer, WriterOptions, migrate, open,
};

use crate::chain::{Ends, Hash};
use crate::query::find;
use crate::{Action, Entry, Group, Page, Query};

/// The name of our tables' version in the file.
const COMPONENT: &str = "audit";
/// Appended to, never edited: a file remembers how many of these it has seen.
const STEPS: [&str; 1] = [include_str!("steps/1.sql")];
/// People read: one thread has time to spare.
const READER_THREADS: NonZeroUsize = NonZeroUsize::MIN;
/// Entries that could not be written and wait to be, at most.
const MAX_OWED: usize = 10_000;
/// The most entries removed in one commit.
const REMOVED_AT_ONCE: i64 = 2_000;

/// What the log writes down, and how.
#[derive(Debug, Clone, Default)]
pub struct AuditOptions {
    /// Whether each entry holds the hash of the one before.
    pub chain: bool,
    /// Actions that are not written down.
    pub leave_out: Vec<Group>,
}

/// The log. Other processes may write to the same file at the same time.
pub struct AuditLog {
    // Closed before the writer, so that the writer is the last connection and empties the write-ahead log.
    readers: Readers,
    writer: Writer,
    options: AuditOptions,
    /// What was done but could not be written.
    owed: Mutex<Vec<Entry>>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// So many entries.
    pub removed: u64,
    /// Whether there may be more to remove.
    pub more: bool,
}

impl AuditLog {
    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer version.
    pub fn open(path: &Path, options: AuditOptions) -> Result<Self, Error> {
        let mut connection = open(path, &OpenOptions::default())?;
        migrate(&mut connection, path, COMPONENT, &STEPS)?;
        let readers = ReadersOptions {
            threads: READER_THREADS,
            ..ReadersOptions::default()
        };
        Ok(Self {
            writer: Writer::start(connection, path, &WriterOptions::default())?,
            readers: Readers::start(path, &readers)?,
            options,
            owed: Mutex::default(),
        })
    }

    /// Writes down what was done, in this order, and answers once it is durable. If that fails, the entries are kept in
    /// memory and written with the next ones.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), Error> {
        let mut all = std::mem::take(&mut *self.owed.lock());
        let wanted = entries.into_iter().filter(|entry| self.wants(entry.action));
        all.extend(wanted);
        if all.is_empty() {
            return Ok(());
        }
        let chained = self.options.chain;
        let all = Arc::new(all);
        let kept = Arc::clone(&all);
        let written = self
            .writer
            .run(move |connection| insert(connection, &kept, chained))
            .await;
        if let Err(error) = &written {
            tracing::error!(%error, entries = all.len(), "the audit log does not take entries");
            let mut all = Arc::unwrap_or_clone(all);
            let mut owed = self.owed.lock();
            // What others owe since then is newer.
            all.append(&mut owed);
            if all.len() > MAX_OWED {
                for lost in all.drain(MAX_OWED..) {
                    let entry = lost.text();
                    tracing::error!(entry, "an entry of the audit log is lost");
                }
            }
            *owed = all;
        }
        written
    }

    /// Whether the action is written down.
    #[must_use]
    pub fn wants(&self, action: Action) -> bool {
        !self.options.leave_out.iter().any(|group| group.has(action))
    }

    /// Whether it takes entries. If it did not take the last ones, they are tried again: nothing more is to be done that
    /// could not be written down.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ready(&self) -> Result<(), Error> {
        if self.owed.lock().is_empty() {
            return Ok(());
        }
        self.append(Vec::new()).await
    }

    /// Some of the entries.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find(&self, query: &Query) -> Result<Page, Error> {
        let query = query.clone();
        self.readers
            .run(move |connection| find(&*connection.transaction()?, &query))
            .await
    }

    /// Removes some of the oldest entries: those from before `before`, and as many as are needed for the file to have at
    /// most `max_bytes`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tidy(&self, before: UnixMillis, max_bytes: u64) -> Result<Tidied, Error> {
        self.writer
            .run(move |connection| tidy(connection, before, max_bytes))
            .await
    }
}

fn insert(connection: &Connection, entries: &[Entry], chained: bool) -> rusqlite::Result<()> {
    let mut ends = Ends::read(connection)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit_entries(seq, at, entry, hash) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for entry in entries {
        ends.last += 1;
        let at = entry.at.as_millis();
        let text = entry.text();
        let hash = chained.then(|| {
            let before = ends.last_hash.unwrap_or(Hash::ZERO);
            Hash::of(before, ends.last, &text)
        });
        insert.execute((ends.last, at, text, hash.map(|hash| hash.0)))?;
        ends.last_hash = hash.or(ends.last_hash);
    }
    ends.write(connection)
}

fn tidy(connection: &Connection, before: UnixMillis, max_bytes: u64) -> rusqlite::Result<Tidied> {
    let number = |pragma: &str| -> rusqlite::Result<i64> {
        let sql = format!("PRAGMA {pragma}");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    let pages = number("page_count")? - number("freelist_count")?;
    let bytes = pages.saturating_mul(number("page_size")?);
    let too_large = u64::try_from(bytes).unwrap_or_default() > max_bytes;
    let mut ends = Ends::read(connection)?;
    // The oldest that stays for its age; the clock may have been set back in between.
    let stays: Option<i64> = connection.query_row(
        "SELECT min(seq) FROM (SELECT seq, at FROM audit_entries ORDER BY seq LIMIT ?2) WHERE at >= ?1",
        (before.as_millis(), REMOVED_AT_ONCE),
        |row| row.get(0),
    )?;
    let bound = ends.removed.saturating_add(REMOVED_AT_ONCE).min(ends.last);
    let last = match stays {
        Some(stays) if !too_large => stays - 1,
        _ => bound,
    };
    if last <= ends.removed {
        return Ok(Tidied::default());
    }
    // The newest of the chain among those that go: entries without a hash say nothing about it.
    let hash: Option<[u8; 32]> = connection.query_row(
        "SELECT (SELECT hash FROM audit_entries WHERE seq <= ?1 AND hash IS NOT NULL ORDER BY seq DESC LIMIT 1)",
        [last],
        |row| row.get(0),
    )?;
    let removed = connection.execute("DELETE FROM audit_entries WHERE seq <= ?1", [last])?;
    ends.removed = last;
    ends.removed_hash = hash.map(Hash).or(ends.removed_hash);
    ends.write(connection)?;
    Ok(Tidied {
        removed: removed as u64,
        more: removed > 0 && last == bound,
    })
}

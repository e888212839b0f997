//! Dropping single clicks by the day, and forgetting links.

use std::path::Path;

use super::Inner;
use super::add::Made;
use super::client::literal;
use super::read::{Part, Within};
use super::rows::{Key, Rows, Stored, link_text, scope_text, signed, text, unsigned};
use super::schema::{TABLE, kind};
use crate::Position;
use crate::query::LinkName;
use crate::rollup::ScopeName;
use crate::store::archive::{Archive, Written};
use crate::store::raw::Day;
use crate::store::{Retained, StoreError};

/// Single clicks that are archived at once.
const ARCHIVE_BATCH: i64 = 5_000;
/// Commits whose makers are remembered, long after anybody asks.
const MAKERS: u64 = 20_000;

/// Which single clicks of a day there are: their count, and the sum of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Held {
    clicks: u64,
    sum: u64,
}

impl Inner {
    async fn delete(&self, condition: &str) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {TABLE} WHERE {condition}");
        self.client.command(sql).await
    }

    /// Deletes all that is counted of a link. A commit says so first: whoever counts at the same time either was before
    /// it, or begins anew.
    pub(super) async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        let name = &scope_text(&ScopeName::Link(link.clone()));
        let single = &literal(&link_text(link));
        let (from, to) = &crate::import::sources_of(link);
        let sources = &format!(
            "kind = {} AND name >= {} AND name < {}",
            kind::SOURCE,
            literal(from),
            literal(to)
        );
        let rollups = &format!(
            "kind IN ({}, {}) AND name = {}",
            kind::HOUR,
            kind::DAY,
            literal(name)
        );
        let forgotten = self
            .commit(|version| async move {
                let mut rows = Rows::default();
                let asked = format!("SELECT kind, bot, time FROM {TABLE} FINAL WHERE {rollups}");
                let found = self.client.rows(&asked).await?;
                for row in &found {
                    let key = Key {
                        kind: u8::try_from(unsigned(row, 0)?).unwrap_or_default(),
                        name: name.clone(),
                        bot: unsigned(row, 1)? != 0,
                        time: signed(row, 2)?,
                    };
                    rows.rollup(version, &key, &Stored::default());
                }
                let asked = format!("SELECT name FROM {TABLE} FINAL WHERE {sources}");
                let imports = self.client.rows(&asked).await?;
                for row in &imports {
                    rows.source(version, text(row, 0)?, Position::default());
                }
                Ok(if found.is_empty() && imports.is_empty() {
                    Made::Nothing(None)
                } else {
                    Made::Rows(rows, Some((version, !found.is_empty())))
                })
            })
            .await?;
        let Some((version, any)) = forgotten else {
            return Ok(false);
        };
        // What comes behind that commit is another link's.
        self.delete(&format!(
            "kind = {} AND link = {single} AND version <= {version}",
            kind::RAW
        ))
        .await?;
        for what in [rollups, sources] {
            self.delete(&format!("{what} AND version <= {version}"))
                .await?;
        }
        Ok(any)
    }

    /// Drops single clicks that are past their time.
    pub(super) async fn retain(&self) -> Result<Retained, StoreError> {
        // What somebody has said to drop, and ended before it was done.
        for (day, version) in self.gone().await?.0 {
            self.finish_drop(day, version).await?;
        }
        let mut retained = Retained::default();
        let past = (Day(i64::MIN), Day(self.keep().0 - 1));
        for day in self.days(past).await? {
            if let Some(clicks @ 1..) = self.drop_day(day).await? {
                retained.days += 1;
                retained.clicks += clicks;
            }
        }
        let old = self.head().await?.saturating_sub(MAKERS);
        if old > 0 {
            self.delete(&format!("kind = {} AND time <= {old}", kind::COMMIT))
                .await?;
        }
        Ok(retained)
    }

    /// Drops the single clicks of a day; none if more came meanwhile, or somebody else does it.
    async fn drop_day(&self, day: Day) -> Result<Option<u64>, StoreError> {
        let mut held = self.held(day).await?;
        if held.clicks == 0 {
            return Ok(None);
        }
        let mut written = None;
        if let Some(directory) = &self.archive {
            let (file, archived) = self.archive_day(directory, day).await?;
            (written, held) = (Some(file), archived);
        }
        let since = self.since().await?.max(Day(day.0 + 1));
        let version = self
            .commit(|version| async move {
                if self.held(day).await? != held {
                    return Ok(Made::Nothing(None));
                }
                let mut rows = Rows::default();
                rows.dropped(version, day, since);
                Ok(Made::Rows(rows, Some(version)))
            })
            .await?;
        let Some(version) = version else {
            return Ok(None);
        };
        // It is this one's to drop. The file takes its place only now: nobody else can have written a better one.
        if let Some(written) = written {
            let kept = blocking(move || written.keep()).await;
            kept.map_err(|error| StoreError::Archive(error.to_string()))?;
        }
        self.finish_drop(day, version).await?;
        Ok(Some(held.clicks))
    }

    async fn finish_drop(&self, day: Day, version: u64) -> Result<(), StoreError> {
        for kind in [kind::RAW, kind::DROPPED] {
            self.delete(&format!(
                "kind = {kind} AND time = {} AND version <= {version}",
                day.0
            ))
            .await?;
        }
        Ok(())
    }

    async fn held(&self, day: Day) -> Result<Held, StoreError> {
        let within = Within::all(&self.gone().await?);
        let asked = format!(
            "SELECT count(), sum(toUInt64(number)) FROM {TABLE} WHERE kind = {} AND time = {} AND {}",
            kind::RAW,
            day.0,
            within.condition()
        );
        let rows = self.client.rows(&asked).await?;
        let Some(row) = rows.first() else {
            return Ok(Held::default());
        };
        Ok(Held {
            clicks: unsigned(row, 0)?,
            sum: unsigned(row, 1)?,
        })
    }

    /// Writes the single clicks of a day into a file, which is not in its place yet. Answers which they were.
    async fn archive_day(&self, directory: &Path, day: Day) -> Result<(Written, Held), StoreError> {
        let failed = |error: std::io::Error| StoreError::Archive(error.to_string());
        let directory = directory.to_owned();
        let mut archive = blocking(move || Archive::begin(&directory, day))
            .await
            .map_err(failed)?;
        let within = Within::all(&self.gone().await?);
        let (mut held, mut beyond) = (Held::default(), 0);
        loop {
            let part = Part {
                day,
                period: None,
                more: "",
                descending: false,
                beyond,
                limit: ARCHIVE_BATCH,
            };
            let clicks = self.singles(&within, &part).await?;
            let Some((last, _)) = clicks.last() else {
                break;
            };
            beyond = *last;
            for (number, _) in &clicks {
                held.clicks += 1;
                held.sum = held.sum.wrapping_add(number.cast_unsigned());
            }
            archive = blocking(move || {
                for (_, click) in &clicks {
                    archive.write(click)?;
                }
                Ok(archive)
            })
            .await
            .map_err(failed)?;
        }
        let written = blocking(move || archive.finish()).await.map_err(failed)?;
        Ok((written, held))
    }
}

/// Work that waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

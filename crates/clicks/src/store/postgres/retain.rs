//! Dropping raw clicks by the day, and forgetting links.

use std::path::Path;
use std::time::Duration;

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Connections, Failure, Session};

use super::{days, raw};
use crate::EnrichedClick;
use crate::store::StoreError;
use crate::store::archive::{Archive, Written};
use crate::store::raw::Day;

/// Raw clicks that are archived by one statement.
const ARCHIVE_BATCH: i64 = 5_000;
/// Raw clicks deleted in one commit.
const FORGET_BATCH: i64 = 5_000;
/// How long it may take to look through all raw clicks of a day.
pub(super) const LONG: Duration = Duration::from_hours(1);
/// How long others, who want to count or to read, are kept waiting until a partition is dropped.
const DROP_TIMEOUT: &str = "5s";

/// Which raw clicks of a day there are: their count, and the sum of their numbers. Clicks may come at any
/// time, not in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) clicks: u64,
    sum: u128,
}

/// What there is of a day.
pub(super) async fn look(session: &mut Session, day: Day) -> Result<Held, Failure> {
    session.begin_long(LONG).await?;
    let held = held(session, day).await?;
    session.commit().await?;
    Ok(held)
}

async fn held(session: &mut Session, day: Day) -> Result<Held, Failure> {
    let (from, to) = days::moments(day);
    let row = session
        .one(
            "SELECT count(*), coalesce(sum(number), 0)::text FROM click_raw
             WHERE at >= $1 AND at < $2",
            &[&from, &to],
        )
        .await?;
    let sum: &str = row.try_get(1)?;
    Ok(Held {
        clicks: super::number_of(&row, 0)?,
        sum: sum
            .parse()
            .map_err(|_| Failure::Damaged("numbers of raw clicks".into()))?,
    })
}

/// Writes the raw clicks of a day into a file, which is not in its place yet. Answers which they were.
pub(super) async fn archive(
    connections: &Connections,
    directory: &Path,
    day: Day,
) -> Result<(Written, Held), StoreError> {
    let failed = |error: std::io::Error| StoreError::Archive(error.to_string());
    let directory = directory.to_owned();
    let mut archive = blocking(move || Archive::begin(&directory, day))
        .await
        .map_err(failed)?;
    let (mut held, mut after) = (Held::default(), 0_i64);
    loop {
        let clicks = connections
            .read(|| async move { batch(&mut connections.session().await?, day, after).await })
            .await?;
        let Some((last, _)) = clicks.last() else {
            break;
        };
        after = *last;
        for (number, _) in &clicks {
            held.clicks += 1;
            held.sum += u128::from(number.cast_unsigned());
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

/// Raw clicks of a day behind a number.
async fn batch(
    session: &mut Session,
    day: Day,
    after: i64,
) -> Result<Vec<(i64, EnrichedClick)>, Failure> {
    let (from, to) = days::moments(day);
    let sql = format!(
        "{} WHERE raw.at >= $1 AND raw.at < $2 AND raw.number > $3
         ORDER BY raw.number LIMIT $4",
        raw::selected()
    );
    let rows = session
        .rows(&sql, &[&from, &to, &after, &ARCHIVE_BATCH])
        .await?;
    rows.iter().map(raw::read).collect()
}

/// Work that waits for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Begins to drop a day: in this transaction, nobody else adds to it or drops it. False if it is
/// gone, or there is something else of it than `expected`.
pub(super) async fn begin_drop(
    session: &mut Session,
    day: Day,
    expected: Held,
) -> Result<bool, Failure> {
    session.begin_long(LONG).await?;
    session
        .script(&format!("SET LOCAL lock_timeout = '{DROP_TIMEOUT}'"))
        .await?;
    let deleted = session
        .change(
            "DELETE FROM click_raw_days WHERE day = $1",
            &[&days::number(day)],
        )
        .await?;
    if deleted == 1 && held(session, day).await? == expected {
        return Ok(true);
    }
    session.roll_back().await?;
    Ok(false)
}

/// Drops it.
pub(super) async fn finish_drop(session: &mut Session, day: Day) -> Result<(), Failure> {
    days::note_gone(session, day).await?;
    session
        .script(&format!("DROP TABLE {}", days::Partition(day)))
        .await?;
    session.commit().await
}

/// Deletes some of the raw clicks of a scope; answers whether there may be more.
pub(super) async fn forget_raw(session: &mut Session, scope: i64) -> Result<bool, Failure> {
    let deleted = session
        .change(
            "DELETE FROM click_raw WHERE (number, at) IN
                 (SELECT number, at FROM click_raw WHERE link = $1 LIMIT $2)",
            &[&scope, &FORGET_BATCH],
        )
        .await?;
    Ok(deleted > 0)
}

/// Deletes the roll-ups of a scope, its number, and how far imports of it were. Whoever is about to count clicks of it still
/// writes them under that number, which nobody looks for: [`purge`] deletes them.
pub(super) async fn forget_rollups(
    session: &mut Session,
    scope: i64,
    sources: &(String, String),
    now: UnixMillis,
) -> Result<bool, Failure> {
    session.begin().await?;
    // In the order of bytes, whatever the data base sorts by.
    let (from, to) = sources;
    let imports =
        "DELETE FROM click_sources WHERE id COLLATE \"C\" >= $1 AND id COLLATE \"C\" < $2";
    session.change(imports, &[from, to]).await?;
    let deleted = session
        .change("DELETE FROM click_scopes WHERE id = $1", &[&scope])
        .await?;
    session
        .change(
            "INSERT INTO click_forgotten(scope, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&scope, &now.as_millis()],
        )
        .await?;
    delete_rollups(session, scope).await?;
    session.commit().await?;
    Ok(deleted > 0)
}

async fn delete_rollups(session: &mut Session, scope: i64) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM click_hours WHERE scope = $1",
        "DELETE FROM click_days WHERE scope = $1",
    ] {
        session.change(sql, &[&scope]).await?;
    }
    Ok(())
}

/// Scopes that were forgotten before a moment.
pub(super) async fn forgotten(
    session: &mut Session,
    before: UnixMillis,
) -> Result<Vec<i64>, Failure> {
    let rows = session
        .rows(
            "SELECT scope FROM click_forgotten WHERE at < $1",
            &[&before.as_millis()],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Deletes what was written of a scope after it was forgotten, when nothing more can be.
pub(super) async fn purge(session: &mut Session, scope: i64) -> Result<(), Failure> {
    while forget_raw(session, scope).await? {}
    session.begin().await?;
    delete_rollups(session, scope).await?;
    session
        .change("DELETE FROM click_forgotten WHERE scope = $1", &[&scope])
        .await?;
    session.commit().await
}

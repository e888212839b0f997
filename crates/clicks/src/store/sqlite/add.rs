//! Counting batches, inside of one transaction.

use rusqlite::{Connection, OptionalExtension as _, params};
use tollgate_sqlite::rusqlite;

use super::raw::insert;
use super::{damaged, number, schema};
use crate::rollup::{Grain, QUARTERS, Rollup, RollupBatch, ScopeName, Sums};
use crate::store::raw::{Day, RawClicks};
use crate::store::{AddedTogether, EnrichedBatch};
use crate::{Position, SourceId};

/// Up to where a source is counted.
fn position(connection: &Connection, source: &SourceId) -> rusqlite::Result<Position> {
    let found = connection
        .prepare_cached("SELECT segment, at FROM click_sources WHERE id = ?1")?
        .query_row([source.0.as_str()], |row| {
            Ok(Position {
                segment: row.get::<_, i64>(0)?.cast_unsigned(),
                offset: row.get::<_, i64>(1)?.cast_unsigned(),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Up to where each source is counted.
pub(super) fn positions<'s>(
    connection: &Connection,
    sources: impl Iterator<Item = &'s SourceId>,
) -> rusqlite::Result<Vec<Position>> {
    sources.map(|source| position(connection, source)).collect()
}

/// Counts batches if each source is counted up to where its batch begins. Raw clicks of days before `keep`
/// are not kept.
pub(super) fn add(
    connection: &Connection,
    batches: &[EnrichedBatch],
    rollups: &RollupBatch,
    keep: Day,
) -> rusqlite::Result<AddedTogether> {
    let positions = positions(connection, batches.iter().map(|batch| &batch.source))?;
    let after = batches.iter().map(|batch| batch.after);
    if !after.eq(positions.iter().copied()) {
        return Ok(AddedTogether::Elsewhere(positions));
    }
    let mut scopes = Vec::with_capacity(rollups.scopes.len());
    for name in &rollups.scopes {
        scopes.push(scope(connection, name)?);
    }
    for ((scope, bot, grain), rollup) in &rollups.rollups {
        let key = schema::key(scopes[*scope], *bot, schema::number(*grain));
        match grain {
            Grain::Hour(_) => add_hour(connection, key, rollups, rollup)?,
            Grain::Day(_) => add_day(connection, key, rollups, rollup)?,
        }
    }
    add_raw(connection, batches, rollups, &scopes, keep)?;
    let mut counted = connection.prepare_cached(
        "INSERT OR REPLACE INTO click_sources(id, segment, at) VALUES (?1, ?2, ?3)",
    )?;
    for batch in batches {
        counted.execute(params![
            batch.source.0.as_str(),
            batch.to.segment.cast_signed(),
            batch.to.offset.cast_signed(),
        ])?;
    }
    Ok(AddedTogether::Counted)
}

/// The number of a scope, which is made if it is new.
fn scope(connection: &Connection, name: &ScopeName) -> rusqlite::Result<i64> {
    if let Some(found) = find_scope(connection, name)? {
        return Ok(found);
    }
    let (kind, domain, code) = name.columns();
    connection
        .prepare_cached("INSERT INTO click_scopes(kind, domain, code) VALUES (?1, ?2, ?3)")?
        .insert(params![kind, domain, code])
}

/// The number of a scope; none if nothing was ever counted in it.
pub(super) fn find_scope(
    connection: &Connection,
    name: &ScopeName,
) -> rusqlite::Result<Option<i64>> {
    let (kind, domain, code) = name.columns();
    connection
        .prepare_cached(
            "SELECT id FROM click_scopes WHERE kind = ?1 AND domain = ?2 AND code = ?3",
        )?
        .query_row(params![kind, domain, code], |row| row.get(0))
        .optional()
}

fn add_hour(
    connection: &Connection,
    key: i64,
    batch: &RollupBatch,
    rollup: &Rollup,
) -> rusqlite::Result<()> {
    let stored = connection
        .prepare_cached("SELECT q0, q1, q2, q3, visitors, counts FROM click_hours WHERE key = ?1")?
        .query_row([key], |row| {
            let mut quarters = [0; QUARTERS];
            for (column, quarter) in quarters.iter_mut().enumerate() {
                *quarter = number(row, column)?;
            }
            let sums = sums(row, 4)?;
            Ok((quarters, sums))
        })
        .optional()?;
    let (mut quarters, mut sums): ([u64; QUARTERS], Sums) = stored.unwrap_or_default();
    for (quarter, clicks) in quarters.iter_mut().zip(rollup.quarters) {
        *quarter = quarter.saturating_add(clicks);
    }
    sums.add(batch, rollup);
    let (visitors, counts) = sums.into_bytes();
    let [q0, q1, q2, q3] = quarters.map(stored_number);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO click_hours(key, q0, q1, q2, q3, visitors, counts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![key, q0, q1, q2, q3, visitors, counts])?;
    Ok(())
}

fn add_day(
    connection: &Connection,
    key: i64,
    batch: &RollupBatch,
    rollup: &Rollup,
) -> rusqlite::Result<()> {
    let stored = connection
        .prepare_cached("SELECT clicks, visitors, counts FROM click_days WHERE key = ?1")?
        .query_row([key], |row| {
            let sums = sums(row, 1)?;
            Ok((number(row, 0)?, sums))
        })
        .optional()?;
    let (clicks, mut sums) = stored.unwrap_or_default();
    let clicks = clicks.saturating_add(rollup.quarters.iter().sum());
    sums.add(batch, rollup);
    let (visitors, counts) = sums.into_bytes();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO click_days(key, clicks, visitors, counts)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![key, stored_number(clicks), visitors, counts])?;
    Ok(())
}

/// Two columns from this one on.
fn sums(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Sums> {
    let (visitors, counts) = (row.get_ref(column)?, row.get_ref(column + 1)?);
    Sums::read(visitors.as_blob()?, counts.as_blob()?).map_err(|error| damaged(column, error))
}

/// SQLite's integers have a sign.
fn stored_number(clicks: u64) -> i64 {
    i64::try_from(clicks).unwrap_or(i64::MAX)
}

/// Keeps the single clicks.
fn add_raw(
    connection: &Connection,
    batches: &[EnrichedBatch],
    rollups: &RollupBatch,
    scopes: &[i64],
    keep: Day,
) -> rusqlite::Result<()> {
    let RawClicks { days, late } = RawClicks::of(batches, rollups, scopes, keep);
    if let Some(late) = late {
        super::retain::note_gone(connection, late)?;
    }
    for (day, clicks) in days {
        insert(connection, day, &clicks)?;
    }
    Ok(())
}

//! Dropping raw clicks by the day, and forgetting links.

use rusqlite::{Connection, OptionalExtension as _, params};
use tollgate_sqlite::rusqlite;

use super::raw::Table;
use super::{add, number, raw, schema};
use crate::import;
use crate::query::LinkName;
use crate::rollup::ScopeName;
use crate::store::raw::Day;

/// Raw clicks deleted in one commit, so that counting is not kept waiting.
const FORGET_BATCH: usize = 5_000;

/// The days with raw clicks before a day, oldest first.
pub(super) fn past(connection: &Connection, keep: Day) -> rusqlite::Result<Vec<Day>> {
    connection
        .prepare_cached("SELECT day FROM click_raw_days WHERE day < ?1 ORDER BY day")?
        .query_map([keep.0], |row| row.get(0).map(Day))?
        .collect()
}

/// How many raw clicks a day has, as the highest number: none are ever deleted but the last of a
/// forgotten link.
pub(super) fn highest(connection: &Connection, day: Day) -> rusqlite::Result<i64> {
    let highest: Option<i64> = connection.query_row(
        &format!("SELECT max(number) FROM {}", Table(day)),
        [],
        |row| row.get(0),
    )?;
    Ok(highest.unwrap_or_default())
}

/// Whether the raw clicks of a day are still there, and none came after `expected`.
pub(super) fn is_all(connection: &Connection, day: Day, expected: i64) -> rusqlite::Result<bool> {
    Ok(raw::is_there(connection, day)? && highest(connection, day)? == expected)
}

/// Drops the raw clicks of a day. Answers how many there were.
pub(super) fn drop_day(connection: &Connection, day: Day) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", Table(day));
    let clicks = connection.query_row(&sql, [], |row| number(row, 0))?;
    connection.execute_batch(&format!("DROP TABLE {}", Table(day)))?;
    connection.execute("DELETE FROM click_raw_days WHERE day = ?1", [day.0])?;
    note_gone(connection, day)?;
    Ok(clicks)
}

/// Notes that raw clicks of a day are not all there.
pub(super) fn note_gone(connection: &Connection, day: Day) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE click_raw_since SET day = max(day, ?1)")?
        .execute([day.0 + 1])?;
    Ok(())
}

/// The first day of which no raw click was dropped.
pub(super) fn raw_since(connection: &Connection) -> rusqlite::Result<Day> {
    connection.query_row("SELECT day FROM click_raw_since", [], |row| {
        row.get(0).map(Day)
    })
}

/// Deletes some of the raw clicks of a link; answers whether there may be more.
pub(super) fn forget_raw(connection: &Connection, link: &LinkName) -> rusqlite::Result<bool> {
    let Some(scope) = add::find_scope(connection, &ScopeName::Link(link.clone()))? else {
        return Ok(false);
    };
    let days = past(connection, Day(i64::MAX))?;
    for day in days {
        let table = Table(day);
        let deleted = connection.execute(
            &format!(
                "DELETE FROM {table} WHERE number IN
                     (SELECT number FROM {table} WHERE link = ?1 LIMIT {FORGET_BATCH})"
            ),
            [scope],
        )?;
        if deleted > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes the roll-ups of a link, its number, and how far imports of it were. Answers whether there were any.
pub(super) fn forget_rollups(connection: &Connection, link: &LinkName) -> rusqlite::Result<bool> {
    let name = ScopeName::Link(link.clone());
    let Some(scope) = add::find_scope(connection, &name)? else {
        return Ok(false);
    };
    let keys = params![
        schema::key(scope, false, 0),
        schema::key(scope + 1, false, 0)
    ];
    for table in ["click_hours", "click_days"] {
        let sql = format!("DELETE FROM {table} WHERE key >= ?1 AND key < ?2");
        connection.prepare_cached(&sql)?.execute(keys)?;
    }
    connection.execute("DELETE FROM click_scopes WHERE id = ?1", [scope])?;
    let (from, to) = import::sources_of(link);
    connection
        .prepare_cached("DELETE FROM click_sources WHERE id >= ?1 AND id < ?2")?
        .execute([&from, &to])?;
    Ok(true)
}

/// Whether there is anything of a link.
pub(super) fn knows(connection: &Connection, link: &LinkName) -> rusqlite::Result<bool> {
    let name = ScopeName::Link(link.clone());
    Ok(add::find_scope(connection, &name)
        .optional()?
        .flatten()
        .is_some())
}

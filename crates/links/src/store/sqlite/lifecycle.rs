//! Links in the order in which they are made, and in which they expire.

use rusqlite::{Connection, OptionalExtension as _};
use tollgate_clock::UnixMillis;

use super::row::read_link;
use crate::Link;
use crate::store::Expiry;
use crate::store::columns::{Stored, columns, page, row_count};

/// Numbers are given in the order of commits, and never twice.
pub(super) fn made(
    connection: &Connection,
    after: Option<i64>,
    limit: usize,
) -> rusqlite::Result<(Vec<Link>, i64)> {
    let newest = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'links'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?
        .unwrap_or(0);
    // Ahead of the file: it was replaced by an older one.
    let Some(after) = after.filter(|after| *after <= newest) else {
        return Ok((Vec::new(), newest));
    };
    let found = connection
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM links WHERE id > ?1 ORDER BY id LIMIT ?2"
        ))?
        .query_map((after, row_count(limit)), read_link)?
        .collect::<rusqlite::Result<Vec<Stored>>>()?;
    Ok(page(found, limit, |last| last.id, newest))
}

pub(super) fn expired(
    connection: &Connection,
    after: Expiry,
    until: UnixMillis,
    limit: usize,
) -> rusqlite::Result<(Vec<Link>, Expiry)> {
    let found = connection
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM links WHERE (expires_at, id) > (?1, ?2) AND expires_at <= ?3
              ORDER BY expires_at, id LIMIT ?4"
        ))?
        .query_map(
            (
                after.at.as_millis(),
                after.link,
                until.as_millis(),
                row_count(limit),
            ),
            read_link,
        )?
        .collect::<rusqlite::Result<Vec<Stored>>>()?;
    // Never back, should the clock be.
    let end = after.max(Expiry::behind(until));
    let behind = |last: &Stored| Expiry {
        at: last.link.spec.expires_at.unwrap_or(until),
        link: last.id,
    };
    Ok(page(found, limit, behind, end))
}

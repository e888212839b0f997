//! Taking away what has had its time, a bounded number of rows at once.

use rusqlite::Connection;
use tollgate_clock::UnixMillis;

use super::edit;
use super::row::read_link;
use crate::Origin;
use crate::store::Swept;
use crate::store::columns::{Stored, columns, row_count};

/// Deletes links that expired and forgets tokens, at most `limit` of each.
pub(super) fn sweep(
    connection: &Connection,
    before: UnixMillis,
    tokens_before: UnixMillis,
    limit: usize,
) -> rusqlite::Result<Swept> {
    let limit = row_count(limit);
    let expired = connection
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM links WHERE expires_at < ?1 ORDER BY expires_at, id LIMIT ?2"
        ))?
        .query_map((before.as_millis(), limit), read_link)?
        .collect::<rusqlite::Result<Vec<Stored>>>()?;
    let mut forget =
        connection.prepare_cached("DELETE FROM history WHERE code = ?1 AND domain = ?2")?;
    let mut swept = Swept::default();
    for stored in expired {
        edit::remove(connection, &stored)?;
        let key = stored.link.key;
        forget.execute((key.code.as_str(), key.domain.as_str()))?;
        if stored.link.origin == Origin::Pool {
            swept.pool_codes.push(key.code.clone());
        }
        swept.links.push(key);
    }
    swept.tokens = connection
        .prepare_cached(
            "DELETE FROM tokens WHERE rowid IN (
                SELECT rowid FROM tokens WHERE at < ?1 ORDER BY at, id LIMIT ?2)",
        )?
        .execute((tokens_before.as_millis(), limit))?;
    Ok(swept)
}

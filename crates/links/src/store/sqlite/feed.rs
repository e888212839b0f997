//! The feed of changes. It is in the file, so it tells of the edits of every process.

use rusqlite::{Connection, OptionalExtension};

use crate::store::{ChangeSeq, Changes, FEED_BATCH};
use crate::{Code, Domain, LinkKey};

/// Tells of a change.
pub(super) fn push(connection: &Connection, key: &LinkKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO feed(code, domain) VALUES (?1, ?2)")?
        .execute((key.code.as_str(), key.domain.as_str()))?;
    Ok(())
}

/// Keeps the newest `capacity` changes.
pub(super) fn trim(connection: &Connection, capacity: u64) -> rusqlite::Result<()> {
    let newest = newest(connection)?;
    let upto = newest.saturating_sub(capacity).cast_signed();
    connection
        .prepare_cached("DELETE FROM feed WHERE seq <= ?1")?
        .execute([upto])?;
    Ok(())
}

/// The number of the last change, kept or not.
fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let newest = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'feed'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

/// What changed after a position. Needs to see one state of the file.
pub(super) fn changes(
    connection: &Connection,
    after: Option<ChangeSeq>,
) -> rusqlite::Result<Changes> {
    let newest = newest(connection)?;
    let now_on = |lost| Changes {
        keys: Vec::new(),
        upto: ChangeSeq(newest),
        lost,
    };
    let Some(ChangeSeq(after)) = after else {
        return Ok(now_on(false));
    };
    if after == newest {
        return Ok(now_on(false));
    }
    let oldest = connection
        .prepare_cached("SELECT min(seq) FROM feed")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?
        .map(i64::cast_unsigned);
    // Ahead of the feed: a position from before the file was replaced by an older one.
    if after > newest || oldest.is_none_or(|oldest| after + 1 < oldest) {
        return Ok(now_on(true));
    }
    let mut select = connection.prepare_cached(
        "SELECT seq, code, domain FROM feed WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query((after.cast_signed(), FEED_BATCH as i64))?;
    let mut changes = Changes {
        keys: Vec::new(),
        upto: ChangeSeq(after),
        lost: false,
    };
    while let Some(row) = rows.next()? {
        changes.upto = ChangeSeq(row.get::<_, i64>(0)?.cast_unsigned());
        changes.keys.push(LinkKey {
            code: Code::from_stored(row.get::<_, Box<str>>(1)?),
            domain: Domain::from_stored(row.get_ref(2)?.as_str()?),
        });
    }
    Ok(changes)
}

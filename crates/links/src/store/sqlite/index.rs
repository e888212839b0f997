//! The rows beside a link by which listings find it.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::Link;
use crate::store::search::{beginning, search_terms};

fn terms(link: &Link) -> BTreeSet<Box<[u8]>> {
    search_terms(link)
        .iter()
        .map(|term| beginning(term).as_bytes().into())
        .collect()
}

/// Makes a new link findable.
pub(super) fn add(connection: &Connection, id: i64, link: &Link) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO terms(term, link) VALUES (?1, ?2)")?;
    for term in terms(link) {
        insert.execute((term.as_ref(), id))?;
    }
    add_tags(connection, id, link)
}

/// Forgets a link.
pub(super) fn remove(connection: &Connection, id: i64, link: &Link) -> rusqlite::Result<()> {
    let mut delete =
        connection.prepare_cached("DELETE FROM terms WHERE term = ?1 AND link = ?2")?;
    for term in terms(link) {
        delete.execute((term.as_ref(), id))?;
    }
    remove_tags(connection, id, link)
}

/// Changes what differs.
pub(super) fn replace(
    connection: &Connection,
    id: i64,
    before: &Link,
    after: &Link,
) -> rusqlite::Result<()> {
    if terms(before) != terms(after) || before.spec.tags != after.spec.tags {
        remove(connection, id, before)?;
        add(connection, id, after)?;
    }
    Ok(())
}

fn add_tags(connection: &Connection, id: i64, link: &Link) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO tags(tag, created_at, link) VALUES (?1, ?2, ?3)")?;
    for tag in &link.spec.tags {
        insert.execute((tag.as_str(), link.created_at.as_millis(), id))?;
    }
    Ok(())
}

fn remove_tags(connection: &Connection, id: i64, link: &Link) -> rusqlite::Result<()> {
    let mut delete = connection
        .prepare_cached("DELETE FROM tags WHERE tag = ?1 AND created_at = ?2 AND link = ?3")?;
    for tag in &link.spec.tags {
        delete.execute((tag.as_str(), link.created_at.as_millis(), id))?;
    }
    Ok(())
}

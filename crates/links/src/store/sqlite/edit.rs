//! Changes of links that exist, and what is remembered of them.

use rusqlite::{Connection, params};
use tollgate_clock::UnixMillis;

use super::row::{self, damaged, unwritable};
use super::token;
use super::{feed, index};
use crate::LinkKey;
use crate::store::answer::{Action, Seen};
use crate::store::columns::{
    Stored, action_number, action_of, fingerprint, row_count, rules_column, tags_column,
};
use crate::store::history::creation;
use crate::store::{ClickGrant, Delete, Deleted, Edit, EditAction, Update, Updated, changes};

/// Replaces a spec.
pub(super) fn update(connection: &Connection, update: Update) -> rusqlite::Result<Updated> {
    let Update {
        key,
        expected_version,
        spec,
        actor,
        at,
        idempotency,
    } = update;
    let token = idempotency.as_ref();
    match token::seen(connection, token, Action::Update)? {
        Seen::New => {}
        Seen::Before(Some(link)) => return Ok(Updated::Replayed(*link)),
        Seen::Before(None) | Seen::Mismatch => return Ok(Updated::TokenMismatch),
    }
    let Some(before) = row::find(connection, &key)? else {
        return Ok(Updated::NotFound);
    };
    if before.link.version != expected_version {
        return Ok(Updated::VersionMismatch(before.link.version));
    }
    let mut after = before.link.clone();
    after.spec = spec;
    after.version += 1;
    after.updated_at = at;
    let spec = &after.spec;
    connection
        .prepare_cached(
            "UPDATE links SET
                url = ?2, updated_at = ?3, version = ?4, starts_at = ?5, expires_at = ?6,
                max_clicks = ?7, redirect = ?8, password = ?9, tags = ?10, title = ?11,
                forward_query = ?12, rules = ?13, fingerprint = ?14
             WHERE id = ?1",
        )?
        .execute(params![
            before.id,
            spec.target.as_str(),
            at.as_millis(),
            after.version.cast_signed(),
            spec.starts_at.map(UnixMillis::as_millis),
            spec.expires_at.map(UnixMillis::as_millis),
            spec.max_clicks.map(|max| max.get().cast_signed()),
            spec.redirect.map(u16::from),
            spec.password.as_ref().map(|hash| hash.as_phc()),
            tags_column(spec).map_err(unwritable)?,
            spec.title,
            spec.forward_query,
            rules_column(spec).map_err(unwritable)?,
            fingerprint(&key.domain, spec).map_err(unwritable)?,
        ])?;
    index::replace(connection, before.id, &before.link, &after)?;
    let edit = Edit {
        at,
        actor,
        action: EditAction::Updated,
        version: after.version,
        changes: changes(Some(&before.link.spec), Some(spec)),
    };
    write_history(connection, &before, &edit)?;
    feed::push(connection, &key)?;
    token::remember(connection, token, Action::Update, Some(&after))?;
    Ok(Updated::Updated(after))
}

/// Deletes a link.
pub(super) fn delete(connection: &Connection, delete: Delete) -> rusqlite::Result<Deleted> {
    let Delete {
        key,
        expected_version,
        actor,
        at,
        idempotency,
    } = delete;
    let token = idempotency.as_ref();
    match token::seen(connection, token, Action::Delete)? {
        Seen::New => {}
        Seen::Before(_) => return Ok(Deleted::Replayed),
        Seen::Mismatch => return Ok(Deleted::TokenMismatch),
    }
    let Some(stored) = row::find(connection, &key)? else {
        return Ok(Deleted::NotFound);
    };
    let version = stored.link.version;
    if expected_version.is_some_and(|expected| expected != version) {
        return Ok(Deleted::VersionMismatch(version));
    }
    let edit = Edit {
        at,
        actor,
        action: EditAction::Deleted,
        version,
        changes: changes(Some(&stored.link.spec), None),
    };
    write_history(connection, &stored, &edit)?;
    remove(connection, &stored)?;
    token::remember(connection, token, Action::Delete, None)?;
    Ok(Deleted::Deleted(stored.link))
}

/// Takes a link away and tells the feed.
pub(super) fn remove(connection: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    index::remove(connection, stored.id, &stored.link)?;
    connection
        .prepare_cached("DELETE FROM links WHERE id = ?1")?
        .execute([stored.id])?;
    add_to_total(connection, -1)?;
    feed::push(connection, &stored.link.key)
}

/// Keeps the number of links.
pub(super) fn add_to_total(connection: &Connection, links: i64) -> rusqlite::Result<()> {
    if links != 0 {
        connection
            .prepare_cached("UPDATE totals SET links = links + ?1")?
            .execute([links])?;
    }
    Ok(())
}

/// Takes one click. Reading and writing cannot be torn apart: there is one writer at a time.
pub(super) fn take_click(connection: &Connection, key: &LinkKey) -> rusqlite::Result<ClickGrant> {
    // Compared here, because SQL knows no unsigned numbers.
    let mut select = connection.prepare_cached(
        "SELECT id, clicks_used, max_clicks FROM links WHERE code = ?1 AND domain = ?2",
    )?;
    let mut rows = select.query((key.code.as_str(), key.domain.as_str()))?;
    let Some(row) = rows.next()? else {
        return Ok(ClickGrant::NotFound);
    };
    let Some(max) = row.get::<_, Option<i64>>(2)? else {
        return Ok(ClickGrant::Unlimited);
    };
    let used = row.get::<_, i64>(1)?.cast_unsigned();
    let left = max.cast_unsigned().saturating_sub(used);
    if left == 0 {
        return Ok(ClickGrant::UsedUp);
    }
    connection
        .prepare_cached("UPDATE links SET clicks_used = ?2 WHERE id = ?1")?
        .execute((row.get::<_, i64>(0)?, (used + 1).cast_signed()))?;
    Ok(ClickGrant::Granted {
        remaining: left - 1,
    })
}

/// Writes an entry about a link as it was before, preceded by that of its creation if this is the
/// first.
fn write_history(connection: &Connection, before: &Stored, edit: &Edit) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO history(code, domain, at, actor, action, version, changes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let creation = creation(&before.link);
    for edit in creation.iter().chain([edit]) {
        insert.execute(params![
            before.link.key.code.as_str(),
            before.link.key.domain.as_str(),
            edit.at.as_millis(),
            edit.actor,
            action_number(edit.action),
            edit.version.cast_signed(),
            edit.changes.to_string(),
        ])?;
    }
    Ok(())
}

/// The newest entries about a name, newest first. Needs to see one state of the file.
pub(super) fn history(
    connection: &Connection,
    key: &LinkKey,
    limit: usize,
) -> rusqlite::Result<Vec<Edit>> {
    let mut edits: Vec<Edit> = row::find(connection, key)?
        .as_ref()
        .and_then(|stored| creation(&stored.link))
        .into_iter()
        .take(limit)
        .collect();
    let rest = row_count(limit - edits.len());
    let mut statement = connection.prepare_cached(
        "SELECT at, actor, action, version, changes FROM history
         WHERE code = ?1 AND domain = ?2 ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map((key.code.as_str(), key.domain.as_str(), rest), |row| {
        let changes = row.get_ref(4)?.as_str()?;
        Ok(Edit {
            at: UnixMillis::from_millis(row.get(0)?),
            actor: row.get(1)?,
            action: action_of(row.get(2)?).ok_or_else(|| damaged(2, "no such action"))?,
            version: row.get::<_, i64>(3)?.cast_unsigned(),
            changes: serde_json::from_str(changes).map_err(|error| damaged(4, error))?,
        })
    })?;
    for edit in rows {
        edits.push(edit?);
    }
    Ok(edits)
}

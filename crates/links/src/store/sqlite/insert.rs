//! New links.

use rusqlite::{Connection, params};
use tollgate_clock::UnixMillis;

use super::row::{read_link, unwritable};
use super::token;
use super::{edit, index};
use crate::Link;
use crate::store::answer::{Action, Seen};
use crate::store::columns::{
    columns, fingerprint, origin_number, row_count, rules_column, tags_column,
};
use crate::store::{Insert, Inserted};

/// Inserts each as if it were alone.
pub(super) fn insert_all(
    connection: &Connection,
    inserts: &[Insert],
    now: UnixMillis,
) -> rusqlite::Result<Vec<Inserted>> {
    let answers = inserts
        .iter()
        .map(|insert| insert_one(connection, insert, now))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let created = answers
        .iter()
        .filter(|answer| matches!(answer, Inserted::Created(_)))
        .count();
    edit::add_to_total(connection, row_count(created))?;
    Ok(answers)
}

fn insert_one(
    connection: &Connection,
    insert: &Insert,
    now: UnixMillis,
) -> rusqlite::Result<Inserted> {
    let Insert {
        link,
        reuse,
        idempotency,
    } = insert;
    let token = idempotency.as_ref();
    match token::seen(connection, token, Action::Insert)? {
        Seen::New => {}
        Seen::Before(Some(link)) => return Ok(Inserted::Replayed(*link)),
        Seen::Before(None) | Seen::Mismatch => return Ok(Inserted::TokenMismatch),
    }
    let fingerprint = fingerprint(&link.key.domain, &link.spec).map_err(unwritable)?;
    if *reuse && let Some(found) = reusable(connection, link, fingerprint, now)? {
        token::remember(connection, token, Action::Insert, Some(&found))?;
        return Ok(Inserted::Reused(found));
    }
    if !insert_row(connection, link, fingerprint)? {
        return Ok(Inserted::CodeTaken);
    }
    index::add(connection, connection.last_insert_rowid(), link)?;
    token::remember(connection, token, Action::Insert, Some(link))?;
    Ok(Inserted::Created(link.clone()))
}

/// The oldest link that is as good as this one.
fn reusable(
    connection: &Connection,
    wanted: &Link,
    fingerprint: i64,
    now: UnixMillis,
) -> rusqlite::Result<Option<Link>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM links WHERE fingerprint = ?1 ORDER BY id"
    ))?;
    for stored in statement.query_map([fingerprint], read_link)? {
        let link = stored?.link;
        if link.is_as_good_as(&wanted.key.domain, &wanted.spec, now) {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

/// Inserts the row; `false` if the code is taken.
fn insert_row(connection: &Connection, link: &Link, fingerprint: i64) -> rusqlite::Result<bool> {
    let spec = &link.spec;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO links(
                domain, code, url, origin, created_at, updated_at, created_by, version,
                clicks_used, starts_at, expires_at, max_clicks, redirect, password, tags, title,
                forward_query, rules, fingerprint
             ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19)
             ON CONFLICT(code, domain) DO NOTHING",
        )?
        .execute(params![
            link.key.domain.as_str(),
            link.key.code.as_str(),
            spec.target.as_str(),
            origin_number(link.origin),
            link.created_at.as_millis(),
            link.updated_at.as_millis(),
            link.created_by,
            link.version.cast_signed(),
            link.clicks_used.cast_signed(),
            spec.starts_at.map(UnixMillis::as_millis),
            spec.expires_at.map(UnixMillis::as_millis),
            spec.max_clicks.map(|max| max.get().cast_signed()),
            spec.redirect.map(u16::from),
            spec.password.as_ref().map(|hash| hash.as_phc()),
            tags_column(spec).map_err(unwritable)?,
            spec.title,
            spec.forward_query,
            rules_column(spec).map_err(unwritable)?,
            fingerprint,
        ])?;
    Ok(inserted == 1)
}

//! Changes of links that exist, and what is remembered of them.

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Session};

use super::feed;
use super::insert::Terms;
use super::row::{self, damaged};
use super::token;
use crate::store::answer::{Action, Seen};
use crate::store::columns::{
    Stored, action_number, action_of, fingerprint, row_count, rules_column, tags_column,
};
use crate::store::history::creation;
use crate::store::{ClickGrant, Delete, Deleted, Edit, EditAction, Update, Updated, changes};
use crate::{Link, LinkKey};

/// Replaces a spec.
pub(super) async fn update(
    session: &mut Session,
    update: &Update,
    feed_capacity: u64,
) -> Result<Updated, Failure> {
    let Update {
        key,
        expected_version,
        spec,
        actor,
        at,
        idempotency,
    } = update;
    session.begin().await?;
    match token::take(session, idempotency.as_ref(), Action::Update).await? {
        Seen::New => {}
        Seen::Before(Some(link)) => return nothing(session, Updated::Replayed(*link)).await,
        Seen::Before(None) | Seen::Mismatch => {
            return nothing(session, Updated::TokenMismatch).await;
        }
    }
    let Some(Stored { id, link: before }) = row::hold(session, key).await? else {
        return nothing(session, Updated::NotFound).await;
    };
    if before.version != *expected_version {
        return nothing(session, Updated::VersionMismatch(before.version)).await;
    }
    let mut after = before.clone();
    after.spec = spec.clone();
    after.version += 1;
    after.updated_at = *at;
    write(session, id, &after).await?;
    if before.spec.tags != spec.tags {
        remove_tags(session, &[id], &[&before]).await?;
        add_tags(session, id, &after).await?;
    }
    let edit = Edit {
        at: *at,
        actor: actor.clone(),
        action: EditAction::Updated,
        version: after.version,
        changes: changes(Some(&before.spec), Some(spec)),
    };
    write_history(session, &before, &edit).await?;
    if let Some(token) = idempotency {
        token::remember(session, &[(*token, Some(&after))], Action::Update).await?;
    }
    feed::push(session, &[key], feed_capacity).await?;
    session.commit().await?;
    Ok(Updated::Updated(after))
}

/// Ends a transaction that changes nothing.
async fn nothing<T>(session: &mut Session, answer: T) -> Result<T, Failure> {
    session.commit().await?;
    Ok(answer)
}

async fn write(session: &mut Session, id: i64, link: &Link) -> Result<(), Failure> {
    let spec = &link.spec;
    let terms = Terms::of(link);
    session
        .change(
            "UPDATE links SET
                url = $2, updated_at = $3, version = $4, starts_at = $5, expires_at = $6,
                max_clicks = $7, redirect = $8, password = $9, tags = $10, title = $11,
                forward_query = $12, rules = $13, fingerprint = $14, url_term = $15,
                title_term = $16
             WHERE id = $1",
            &[
                &id,
                &spec.target.as_str(),
                &link.updated_at.as_millis(),
                &link.version.cast_signed(),
                &spec.starts_at.map(UnixMillis::as_millis),
                &spec.expires_at.map(UnixMillis::as_millis),
                &spec.max_clicks.map(|max| max.get().cast_signed()),
                &spec.redirect.map(|kind| u16::from(kind).cast_signed()),
                &spec.password.as_ref().map(|hash| hash.as_phc()),
                &tags_column(spec)?,
                &spec.title,
                &spec.forward_query,
                &rules_column(spec)?,
                &fingerprint(&link.key.domain, spec)?,
                &&*terms.url,
                &terms.title.as_deref(),
            ],
        )
        .await?;
    Ok(())
}

async fn add_tags(session: &mut Session, id: i64, link: &Link) -> Result<(), Failure> {
    let tags: Vec<&str> = link.spec.tags.iter().map(|tag| tag.as_str()).collect();
    session
        .change(
            "INSERT INTO link_tags(tag, created_at, link)
             SELECT DISTINCT tag, $2::bigint, $3::bigint FROM unnest($1::text[]) AS tag",
            &[&tags, &link.created_at.as_millis(), &id],
        )
        .await?;
    Ok(())
}

async fn remove_tags(session: &mut Session, ids: &[i64], links: &[&Link]) -> Result<(), Failure> {
    let (mut tags, mut created, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for (id, link) in ids.iter().zip(links) {
        for tag in &link.spec.tags {
            tags.push(tag.as_str());
            created.push(link.created_at.as_millis());
            of.push(*id);
        }
    }
    if tags.is_empty() {
        return Ok(());
    }
    session
        .change(
            "DELETE FROM link_tags USING unnest($1::text[], $2::bigint[], $3::bigint[])
                AS given(tag, created_at, link)
             WHERE link_tags.tag = given.tag AND link_tags.created_at = given.created_at
                AND link_tags.link = given.link",
            &[&tags, &created, &of],
        )
        .await?;
    Ok(())
}

/// Deletes a link.
pub(super) async fn delete(
    session: &mut Session,
    delete: &Delete,
    feed_capacity: u64,
) -> Result<Deleted, Failure> {
    let Delete {
        key,
        expected_version,
        actor,
        at,
        idempotency,
    } = delete;
    session.begin().await?;
    match token::take(session, idempotency.as_ref(), Action::Delete).await? {
        Seen::New => {}
        Seen::Before(_) => return nothing(session, Deleted::Replayed).await,
        Seen::Mismatch => return nothing(session, Deleted::TokenMismatch).await,
    }
    let Some(Stored { id, link }) = row::hold(session, key).await? else {
        return nothing(session, Deleted::NotFound).await;
    };
    let version = link.version;
    if expected_version.is_some_and(|expected| expected != version) {
        return nothing(session, Deleted::VersionMismatch(version)).await;
    }
    let edit = Edit {
        at: *at,
        actor: actor.clone(),
        action: EditAction::Deleted,
        version,
        changes: changes(Some(&link.spec), None),
    };
    write_history(session, &link, &edit).await?;
    remove(session, &[id], &[&link]).await?;
    if let Some(token) = idempotency {
        token::remember(session, &[(*token, None)], Action::Delete).await?;
    }
    feed::push(session, &[key], feed_capacity).await?;
    session.commit().await?;
    Ok(Deleted::Deleted(link))
}

/// Takes links away. The feed is still to be told.
pub(super) async fn remove(
    session: &mut Session,
    ids: &[i64],
    links: &[&Link],
) -> Result<(), Failure> {
    remove_tags(session, ids, links).await?;
    session
        .change("DELETE FROM links WHERE id = ANY($1)", &[&ids])
        .await?;
    Ok(())
}

/// Takes one click, in one statement: the row is looked at again after waiting for another taker.
pub(super) async fn take_click(
    session: &mut Session,
    key: &LinkKey,
) -> Result<ClickGrant, Failure> {
    loop {
        // Numbers without a sign compare when their highest bit is turned, and go on after the
        // largest number with one.
        let row = session
            .row(
                "WITH taken AS (
                    UPDATE links SET clicks_used = CASE clicks_used
                        WHEN 9223372036854775807 THEN (1::bigint << 63) ELSE clicks_used + 1 END
                    WHERE code = $1 AND domain = $2
                        AND (clicks_used # (1::bigint << 63)) < (max_clicks # (1::bigint << 63))
                    RETURNING clicks_used, max_clicks)
                 SELECT clicks_used, max_clicks, TRUE FROM taken
                 UNION ALL
                 SELECT clicks_used, max_clicks, FALSE FROM links
                 WHERE code = $1 AND domain = $2 AND NOT EXISTS (SELECT FROM taken)",
                &[&key.code.as_str(), &key.domain.as_str()],
            )
            .await?;
        let Some(row) = row else {
            return Ok(ClickGrant::NotFound);
        };
        let Some(max) = row.try_get::<_, Option<i64>>(1)? else {
            return Ok(ClickGrant::Unlimited);
        };
        let used = row.try_get::<_, i64>(0)?.cast_unsigned();
        let remaining = max.cast_unsigned().saturating_sub(used);
        if row.try_get::<_, bool>(2)? {
            return Ok(ClickGrant::Granted { remaining });
        }
        if remaining == 0 {
            return Ok(ClickGrant::UsedUp);
        }
        // It was changed while this waited: what is there now decides.
    }
}

/// Writes an entry about a link as it was before, preceded by that of its creation if this is the
/// first.
async fn write_history(session: &mut Session, before: &Link, edit: &Edit) -> Result<(), Failure> {
    let creation = creation(before);
    for edit in creation.iter().chain([edit]) {
        session
            .change(
                "INSERT INTO link_history(code, domain, at, actor, action, version, changes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &before.key.code.as_str(),
                    &before.key.domain.as_str(),
                    &edit.at.as_millis(),
                    &edit.actor,
                    &i16::from(action_number(edit.action)),
                    &edit.version.cast_signed(),
                    &edit.changes.to_string(),
                ],
            )
            .await?;
    }
    Ok(())
}

/// The newest entries about a name, newest first.
pub(super) async fn history(
    session: &mut Session,
    key: &LinkKey,
    limit: usize,
) -> Result<Vec<Edit>, Failure> {
    session.begin_reading().await?;
    let stored = row::find(session, key).await?;
    let mut edits: Vec<Edit> = stored
        .as_ref()
        .and_then(|stored| creation(&stored.link))
        .into_iter()
        .take(limit)
        .collect();
    let rest = row_count(limit - edits.len());
    let rows = session
        .rows(
            "SELECT at, actor, action, version, changes FROM link_history
             WHERE code = $1 AND domain = $2 ORDER BY id DESC LIMIT $3",
            &[&key.code.as_str(), &key.domain.as_str(), &rest],
        )
        .await?;
    session.commit().await?;
    for row in rows {
        let action = u8::try_from(row.try_get::<_, i16>(2)?)
            .ok()
            .and_then(action_of);
        edits.push(Edit {
            at: UnixMillis::from_millis(row.try_get(0)?),
            actor: row.try_get(1)?,
            action: action.ok_or_else(|| damaged("action", "no such action"))?,
            version: row.try_get::<_, i64>(3)?.cast_unsigned(),
            changes: serde_json::from_str(row.try_get(4)?)
                .map_err(|error| damaged("changes", error))?,
        });
    }
    Ok(edits)
}

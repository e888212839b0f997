//! Moving links from one shard to another, with all that is kept under their names.
//!
//! The copy is committed first, then the original is deleted. In between nobody else changes either: whoever
//! writes to a link that may be elsewhere moves it first, and so waits for the row and the lock of its name
//! here. If the process dies in between, the next one finds the original still, leaves the copy as it is, and
//! deletes the original.

use std::collections::BTreeSet;

use tollgate_postgres::{Failure, Session};
use xxhash_rust::xxh3::xxh3_64;

use super::{MOVE_CLASS, ShardDb, lock_slots, slots};
use crate::store::StoreError;
use crate::{Code, Domain, LinkKey};

/// Names, as statements are given them.
struct Names<'a> {
    codes: Vec<&'a str>,
    domains: Vec<&'a str>,
}

/// What is kept under some names, as JSON of whole rows.
struct Kept {
    /// Names that anything is kept under.
    codes: Vec<String>,
    domains: Vec<String>,
    ids: Vec<i64>,
    links: String,
    history: Option<String>,
}

impl ShardDb {
    /// Moves what is here under some names; answers how many links that were.
    pub(in crate::store) async fn move_to(
        &self,
        to: &Self,
        version: u64,
        keys: &[LinkKey],
    ) -> Result<u64, StoreError> {
        let names = Names {
            codes: keys.iter().map(|key| key.code.as_str()).collect(),
            domains: keys.iter().map(|key| key.domain.as_str()).collect(),
        };
        let slots = &slots(keys.iter().map(hash));
        let moved = self
            .connections
            .write(|| async { move_names(self, to, version, &names, slots).await });
        Ok(moved.await?)
    }

    /// Names of links from a number on, in their order, with the number to go on from; at most `limit`.
    pub(in crate::store) async fn names(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<LinkKey>, i64), StoreError> {
        self.named(
            "SELECT id, code, domain FROM links WHERE id > $1 ORDER BY id LIMIT $2",
            after,
            limit,
        )
        .await
    }

    /// The same for names in the history, which outlives links.
    pub(in crate::store) async fn past_names(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<LinkKey>, i64), StoreError> {
        self.named(
            "SELECT id, code, domain FROM link_history WHERE id > $1 ORDER BY id LIMIT $2",
            after,
            limit,
        )
        .await
    }

    async fn named(
        &self,
        sql: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<LinkKey>, i64), StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let rows = session.rows(sql, &[&after, &limit]).await?;
            let (mut keys, mut last) = (Vec::with_capacity(rows.len()), after);
            for row in &rows {
                last = row.try_get(0)?;
                keys.push(LinkKey {
                    code: Code::from_stored(row.try_get::<_, &str>(1)?),
                    domain: Domain::from_stored(row.try_get(2)?),
                });
            }
            Ok((keys, last))
        });
        Ok(found.await?)
    }

    /// Copies tokens from here to elsewhere, in their order; answers the last one copied, until there is none.
    pub(in crate::store) async fn copy_tokens(
        &self,
        to: &Self,
        after: &[u8],
        limit: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let row = session
                .one(
                    "SELECT json_agg(token)::text, max(encode(id, 'hex')) FROM (
                        SELECT * FROM link_tokens WHERE id > $1 ORDER BY id LIMIT $2) AS token",
                    &[&after, &limit],
                )
                .await?;
            let last = row.try_get::<_, Option<String>>(1)?;
            Ok(row.try_get::<_, Option<String>>(0)?.zip(last))
        });
        let Some((tokens, last)) = read.await? else {
            return Ok(None);
        };
        let written = to.connections.write(|| async {
            let mut session = to.connections.session().await?;
            session
                .change(
                    "INSERT INTO link_tokens
                     SELECT * FROM json_populate_recordset(NULL::link_tokens, $1::text::json)
                     ON CONFLICT DO NOTHING",
                    &[&tokens],
                )
                .await
        });
        written.await?;
        let bytes = (0..last.len() / 2).filter_map(|at| {
            last.get(at * 2..at * 2 + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        Ok(Some(bytes.collect()))
    }
}

/// The same on every server that moves the link.
fn hash(key: &LinkKey) -> u64 {
    xxh3_64(key.code.as_str().as_bytes())
}

async fn move_names(
    from: &ShardDb,
    to: &ShardDb,
    version: u64,
    names: &Names<'_>,
    slots: &BTreeSet<i32>,
) -> Result<u64, Failure> {
    let mut here = from.begin(version).await?;
    lock_slots(&mut here, MOVE_CLASS, slots).await?;
    let kept = read(&mut here, names).await?;
    if kept.codes.is_empty() {
        here.commit().await?;
        return Ok(0);
    }
    let mut there = to.begin(version).await?;
    write(&mut there, &kept).await?;
    there.commit().await?;
    remove(&mut here, &kept).await?;
    here.commit().await?;
    Ok(kept.ids.len() as u64)
}

async fn read(session: &mut Session, names: &Names<'_>) -> Result<Kept, Failure> {
    let rows = session
        .rows(
            "SELECT links.id, to_json(links)::text, links.code, links.domain
             FROM unnest($1::text[], $2::text[]) AS wanted(code, domain)
             JOIN links ON links.code = wanted.code AND links.domain = wanted.domain
             ORDER BY links.id FOR UPDATE OF links",
            &[&names.codes, &names.domains],
        )
        .await?;
    let mut ids = Vec::with_capacity(rows.len());
    let mut links = Vec::with_capacity(rows.len());
    let (mut codes, mut domains) = (Vec::new(), Vec::new());
    for row in &rows {
        ids.push(row.try_get(0)?);
        links.push(row.try_get::<_, &str>(1)?);
        codes.push(row.try_get(2)?);
        domains.push(row.try_get(3)?);
    }
    let history = session
        .one(
            "SELECT json_agg(entry ORDER BY entry.id)::text,
                coalesce(array_agg(entry.code), '{}'), coalesce(array_agg(entry.domain), '{}') FROM (
                SELECT link_history.* FROM (
                    SELECT DISTINCT code, domain
                    FROM unnest($1::text[], $2::text[]) AS named(code, domain)
                ) AS wanted
                JOIN link_history ON link_history.code = wanted.code COLLATE \"C\"
                    AND link_history.domain = wanted.domain COLLATE \"C\"
             ) AS entry",
            &[&names.codes, &names.domains],
        )
        .await?;
    codes.extend(history.try_get::<_, Vec<String>>(1)?);
    domains.extend(history.try_get::<_, Vec<String>>(2)?);
    Ok(Kept {
        codes,
        domains,
        ids,
        links: format!("[{}]", links.join(",")),
        history: history.try_get(0)?,
    })
}

async fn write(session: &mut Session, kept: &Kept) -> Result<(), Failure> {
    // What is there of an earlier attempt: as long as anything is at the old place, nobody writes at the new
    // one. Names under which nothing was left may have a history of their own by now.
    remove_history(session, kept).await?;
    session
        .change(
            "WITH made AS (
                INSERT INTO links
                SELECT * FROM json_populate_recordset(NULL::links, $1::text::json)
                ON CONFLICT DO NOTHING
                RETURNING id, created_at, tags
             )
             INSERT INTO link_tags(tag, created_at, link)
             SELECT DISTINCT tag, created_at, id
             FROM made CROSS JOIN LATERAL json_array_elements_text(made.tags::json) AS tag",
            &[&kept.links],
        )
        .await?;
    let there = session
        .one(
            "SELECT count(*) FROM links WHERE id = ANY($1)",
            &[&kept.ids],
        )
        .await?;
    if there.try_get::<_, i64>(0)? != kept.ids.len() as i64 {
        // Rather two links of one name than one that is lost.
        return Err(Failure::Damaged(
            "a link that moves meets another one of its name".into(),
        ));
    }
    if let Some(history) = &kept.history {
        session
            .change(
                "INSERT INTO link_history(code, domain, at, actor, action, version, changes)
                 SELECT code, domain, at, actor, action, version, changes
                 FROM json_populate_recordset(NULL::link_history, $1::text::json) AS entry
                 ORDER BY entry.id",
                &[history],
            )
            .await?;
    }
    Ok(())
}

async fn remove(session: &mut Session, kept: &Kept) -> Result<(), Failure> {
    session
        .change(
            "WITH gone AS (
                DELETE FROM links WHERE id = ANY($1) RETURNING id, created_at, tags
             ), untagged AS (
                SELECT tag, created_at, id
                FROM gone CROSS JOIN LATERAL json_array_elements_text(gone.tags::json) AS tag
             )
             DELETE FROM link_tags USING untagged
             WHERE link_tags.tag = untagged.tag AND link_tags.created_at = untagged.created_at
                AND link_tags.link = untagged.id",
            &[&kept.ids],
        )
        .await?;
    remove_history(session, kept).await
}

async fn remove_history(session: &mut Session, kept: &Kept) -> Result<(), Failure> {
    session
        .change(
            "DELETE FROM link_history USING unnest($1::text[], $2::text[]) AS gone(code, domain)
             WHERE link_history.code = gone.code AND link_history.domain = gone.domain",
            &[&kept.codes, &kept.domains],
        )
        .await?;
    Ok(())
}

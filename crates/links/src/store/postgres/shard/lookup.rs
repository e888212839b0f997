//! What is looked for on every shard: tokens, links that are alike, pages, and what expires.

use tollgate_clock::UnixMillis;
use tollgate_postgres::Failure;

use super::ShardDb;
use crate::store::answer::Action;
use crate::store::columns::{Stored, columns, row_count};
use crate::store::cursor::Position;
use crate::store::postgres::token::Tokens;
use crate::store::postgres::{count, lifecycle, list, row, token};
use crate::store::{Expiry, IdempotencyToken, ListQuery, StoreError};
use crate::{Link, LinkKey};

/// Of links that are alike, so many are read: the first is nearly always the one.
const ALIKE: i64 = 8;

impl ShardDb {
    /// One link, from the server that is written to.
    pub(in crate::store) async fn find(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        let found = self
            .connections
            .read(|| async { row::find(&mut self.connections.session().await?, key).await });
        Ok(found.await?.map(|stored| stored.link))
    }

    /// What is known here of some tokens.
    pub(in crate::store) async fn tokens(
        &self,
        tokens: &[IdempotencyToken],
    ) -> Result<Tokens, StoreError> {
        let known = self.connections.read(|| async {
            Tokens::load(&mut self.connections.session().await?, tokens.iter()).await
        });
        Ok(known.await?)
    }

    /// Good links that may be alike, by their fingerprints.
    pub(in crate::store) async fn alike(
        &self,
        fingerprints: &[i64],
        now: UnixMillis,
    ) -> Result<Vec<(i64, Stored)>, StoreError> {
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            // Numbers without a sign compare when their highest bit is turned.
            let rows = session
                .rows(
                    concat!(
                        "SELECT link.*, wanted FROM unnest($1::bigint[]) AS wanted CROSS JOIN LATERAL (
                            SELECT ",
                        columns!(),
                        " FROM links WHERE fingerprint = wanted
                            AND (expires_at IS NULL OR expires_at > $2)
                            AND (max_clicks IS NULL OR (clicks_used # (1::bigint << 63))
                                < (max_clicks # (1::bigint << 63)))
                            ORDER BY id LIMIT $3
                         ) AS link"
                    ),
                    &[&fingerprints, &now.as_millis(), &ALIKE],
                )
                .await?;
            rows.iter()
                .map(|found| Ok((found.try_get("wanted")?, row::read_link(found)?)))
                .collect()
        });
        Ok(found.await?)
    }

    /// Remembers what was answered to inserts that found a link here.
    pub(in crate::store) async fn remember(
        &self,
        version: u64,
        answers: &[(IdempotencyToken, Link)],
    ) -> Result<(), StoreError> {
        let answers: Vec<(IdempotencyToken, Option<&Link>)> = answers
            .iter()
            .map(|(token, link)| (*token, Some(link)))
            .collect();
        let remembered = self.connections.write(|| async {
            let mut session = self.begin(version).await?;
            token::remember(&mut session, &answers, Action::Insert).await?;
            session.commit().await
        });
        Ok(remembered.await?)
    }

    /// One page of a listing, with the numbers of its links, and whether there are more.
    pub(in crate::store) async fn page(
        &self,
        query: &ListQuery,
        after: Option<&Position>,
    ) -> Result<(Vec<Stored>, bool), StoreError> {
        let page = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            list::page(&mut session, query, after.cloned()).await
        });
        Ok(page.await?)
    }

    /// Links that expired after a position and until a moment, the longest expired first.
    pub(in crate::store) async fn expiring(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            lifecycle::expiring(&mut session, after, until, limit).await
        });
        Ok(found.await?)
    }

    /// When the oldest tokens were used.
    pub(in crate::store) async fn oldest_tokens(
        &self,
        before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let rows = session
                .rows(
                    "SELECT at FROM link_tokens WHERE at < $1 ORDER BY at, id LIMIT $2",
                    &[&before.as_millis(), &row_count(limit)],
                )
                .await?;
            rows.iter()
                .map(|row| Ok::<_, Failure>(row.try_get(0)?))
                .collect()
        });
        Ok(found.await?)
    }

    /// How many links it has: counted if they are few, or else as the server estimates.
    pub(in crate::store) async fn estimated(&self) -> Result<u64, StoreError> {
        let count = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            count(&mut session).await
        });
        Ok(count.await?.cast_unsigned())
    }
}

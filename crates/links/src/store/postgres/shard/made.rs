//! Links in the order in which they are made, on any shard. A position is one for each shard; the home keeps
//! them under numbers, because those who follow keep one number each.

use std::collections::BTreeMap;

use tollgate_postgres::{Failure, Session};

use super::{MAX_SHARDS, ShardDb};
use crate::store::StoreError;
use crate::store::columns::{Stored, columns, row_count};
use crate::store::postgres::lifecycle::settle;
use crate::store::postgres::row::{damaged, read_link};

/// By the number of a shard: the number of the last link it has made.
pub(in crate::store) type Positions = BTreeMap<u16, i64>;

/// Marks that are kept. Whoever was away for longer begins anew.
const MARKS: i64 = 100_000;

/// Links of one shard that are wanted, wherever they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Wanted {
    /// The shard that made them.
    pub(in crate::store) shard: u16,
    /// After this number.
    pub(in crate::store) after: i64,
    /// Up to this one.
    pub(in crate::store) upto: i64,
}

impl ShardDb {
    /// The number of the last link that was made here, and up to which number nobody will commit one any more.
    pub(in crate::store) async fn made_upto(&self) -> Result<(i64, i64), StoreError> {
        let upto = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let newest = session
                .one("SELECT last_value FROM links_id_seq", &[])
                .await?;
            let newest: i64 = newest.try_get(0)?;
            Ok((newest, settle(&mut session, &self.settled, newest).await?))
        });
        Ok(upto.await?)
    }

    /// Links that are here now, of some shards, at most `limit` of each.
    pub(in crate::store) async fn made_by(
        &self,
        wanted: &[Wanted],
        limit: usize,
    ) -> Result<Vec<(u16, Stored)>, StoreError> {
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            made_by(&mut session, wanted, limit).await
        });
        Ok(found.await?)
    }

    /// The positions under a number; `None` if they are not known.
    pub(in crate::store) async fn mark(&self, id: i64) -> Result<Option<Positions>, StoreError> {
        let mark = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let row = session
                .row(
                    "SELECT positions FROM link_shard_marks WHERE id = $1",
                    &[&id],
                )
                .await?;
            let Some(row) = row else { return Ok(None) };
            serde_json::from_str(row.try_get(0)?)
                .map(Some)
                .map_err(|error| damaged("positions", error))
        });
        Ok(mark.await?)
    }

    /// Keeps positions, and answers their number.
    pub(in crate::store) async fn keep_mark(
        &self,
        positions: &Positions,
    ) -> Result<i64, StoreError> {
        let id = self.connections.write(|| async {
            let mut session = self.connections.session().await?;
            let text = serde_json::to_string(positions)?;
            session.begin().await?;
            // Sorted by shard, so that the same positions are the same text.
            let row = session
                .one(
                    "INSERT INTO link_shard_marks(positions) VALUES ($1)
                     ON CONFLICT (positions) DO UPDATE SET positions = excluded.positions
                     RETURNING id",
                    &[&text],
                )
                .await?;
            let id: i64 = row.try_get(0)?;
            session
                .change(
                    "DELETE FROM link_shard_marks WHERE id <= $1",
                    &[&(id - MARKS)],
                )
                .await?;
            session.commit().await?;
            Ok(id)
        });
        Ok(id.await?)
    }
}

async fn made_by(
    session: &mut Session,
    wanted: &[Wanted],
    limit: usize,
) -> Result<Vec<(u16, Stored)>, Failure> {
    let shards: Vec<i64> = wanted.iter().map(|one| i64::from(one.shard)).collect();
    let after: Vec<i64> = wanted.iter().map(|one| one.after).collect();
    let upto: Vec<i64> = wanted.iter().map(|one| one.upto).collect();
    let rows = session
        .rows(
            concat!(
                "SELECT link.*, wanted.shard
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted(shard, after, upto)
                 CROSS JOIN LATERAL (
                    SELECT ",
                columns!(),
                " FROM links WHERE id > wanted.after AND id <= wanted.upto AND id % $4 = wanted.shard
                    ORDER BY id LIMIT $5
                 ) AS link"
            ),
            &[&shards, &after, &upto, &i64::from(MAX_SHARDS), &row_count(limit)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let shard = u16::try_from(row.try_get::<_, i64>("shard")?).unwrap_or(u16::MAX);
            Ok((shard, read_link(row)?))
        })
        .collect()
}

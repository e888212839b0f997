//! The changes of all shards in one order, kept by the home. Each shard notes its own in the transaction that
//! makes them; whoever follows first brings here what is missing.

use tollgate_postgres::{Failure, Session};

use super::ShardDb;
use crate::store::postgres::feed::{changes_in, read_changes};
use crate::store::{ChangeSeq, Changes, FEED_BATCH, StoreError};
use crate::{Code, Domain, LinkKey};

/// Changes that a shard has noted after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Fetched {
    /// Whose.
    pub(in crate::store) shard: u16,
    /// After which.
    pub(in crate::store) after: u64,
    /// Up to which, these included.
    pub(in crate::store) upto: u64,
    /// In their order; fewer than the numbers say if some are gone.
    pub(in crate::store) keys: Vec<LinkKey>,
}

impl ShardDb {
    /// Up to which change of each shard the journal goes.
    pub(in crate::store) async fn journal_sources(&self) -> Result<Vec<(u16, u64)>, StoreError> {
        let sources = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            sources(&mut session).await
        });
        Ok(sources.await?)
    }

    /// What this shard has noted after a position, at most [`FEED_BATCH`].
    pub(in crate::store) async fn fetch(
        &self,
        shard: u16,
        after: u64,
    ) -> Result<Fetched, StoreError> {
        let fetched = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let rows = session
                .rows(
                    "SELECT head.last, feed.seq, feed.code, feed.domain
                     FROM link_feed_head AS head LEFT JOIN LATERAL (
                        SELECT seq, code, domain FROM link_feed WHERE seq > $1 ORDER BY seq LIMIT $2
                     ) AS feed ON TRUE
                     ORDER BY feed.seq",
                    &[&after.cast_signed(), &(FEED_BATCH as i64)],
                )
                .await?;
            let (mut upto, mut keys) = (None, Vec::new());
            for row in &rows {
                upto = Some(match row.try_get::<_, Option<i64>>(1)? {
                    Some(seq) => {
                        keys.push(key(row, 2)?);
                        seq.cast_unsigned()
                    }
                    None => row.try_get::<_, i64>(0)?.cast_unsigned(),
                });
            }
            Ok(Fetched {
                shard,
                after,
                upto: upto.unwrap_or(after),
                keys,
            })
        });
        Ok(fetched.await?)
    }

    /// Appends what shards have noted, but for what others have appended meanwhile, and keeps the newest
    /// `capacity`.
    pub(in crate::store) async fn append(
        &self,
        fetched: &[Fetched],
        capacity: u64,
    ) -> Result<(), StoreError> {
        let appended = self.connections.write(|| async {
            let mut session = self.connections.session().await?;
            session.begin().await?;
            let head = session
                .one("SELECT last FROM link_journal_head FOR UPDATE", &[])
                .await?;
            let mut last: i64 = head.try_get(0)?;
            let known = sources(&mut session).await?;
            for one in fetched {
                let at = known.iter().find(|(shard, _)| *shard == one.shard);
                // Somebody else was faster.
                if at.map_or(0, |(_, seq)| *seq) == one.after {
                    last = append(&mut session, one, last).await?;
                }
            }
            session
                .change("UPDATE link_journal_head SET last = $1", &[&last])
                .await?;
            let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
            session
                .change(
                    "DELETE FROM link_journal WHERE seq <= $1",
                    &[&last.saturating_sub(capacity)],
                )
                .await?;
            session.commit().await
        });
        Ok(appended.await?)
    }

    /// Forgets a shard that is none any more.
    pub(in crate::store) async fn forget_source(&self, shard: u16) -> Result<(), StoreError> {
        let forgotten = self.connections.write(|| async {
            let mut session = self.connections.session().await?;
            session
                .change(
                    "DELETE FROM link_journal_sources WHERE shard = $1",
                    &[&i32::from(shard)],
                )
                .await
        });
        forgotten.await?;
        Ok(())
    }

    /// What changed on any shard after a position in the journal.
    pub(in crate::store) async fn journal(
        &self,
        after: Option<ChangeSeq>,
    ) -> Result<Changes, StoreError> {
        let changes = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let statement = changes_in!("link_journal", "link_journal_head");
            read_changes(&mut session, statement, after).await
        });
        Ok(changes.await?)
    }
}

async fn sources(session: &mut Session) -> Result<Vec<(u16, u64)>, Failure> {
    let rows = session
        .rows("SELECT shard, seq FROM link_journal_sources", &[])
        .await?;
    rows.iter()
        .map(|row| {
            let shard = u16::try_from(row.try_get::<_, i32>(0)?).unwrap_or(u16::MAX);
            Ok((shard, row.try_get::<_, i64>(1)?.cast_unsigned()))
        })
        .collect()
}

async fn append(session: &mut Session, fetched: &Fetched, last: i64) -> Result<i64, Failure> {
    // A gap where some are gone tells followers that they have missed something. So does one where the
    // shard was replaced by an older state of it.
    let counted = match fetched.upto.checked_sub(fetched.after) {
        Some(counted) => counted.cast_signed(),
        None => 1,
    };
    let upto = last + counted.max(fetched.keys.len() as i64);
    let codes: Vec<&str> = fetched.keys.iter().map(|key| key.code.as_str()).collect();
    let domains: Vec<&str> = fetched.keys.iter().map(|key| key.domain.as_str()).collect();
    session
        .change(
            "INSERT INTO link_journal(seq, code, domain)
             SELECT $1::bigint - cardinality($2::text[]) + n, code, domain
             FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS given(code, domain, n)",
            &[&upto, &codes, &domains],
        )
        .await?;
    session
        .change(
            "INSERT INTO link_journal_sources(shard, seq) VALUES ($1, $2)
             ON CONFLICT (shard) DO UPDATE SET seq = excluded.seq",
            &[&i32::from(fetched.shard), &fetched.upto.cast_signed()],
        )
        .await?;
    Ok(upto)
}

/// The name of a link, in two columns.
fn key(row: &tollgate_postgres::Row, column: usize) -> Result<LinkKey, Failure> {
    Ok(LinkKey {
        code: Code::from_stored(row.try_get::<_, &str>(column)?),
        domain: Domain::from_stored(row.try_get(column + 1)?),
    })
}

//! Making a database a shard.

use tollgate_postgres::{Failure, Session};

use super::{MAX_SHARDS, ShardDb, ShardRow, lock_map, read_own_row};
use crate::store::StoreError;
use crate::store::sharded::ShardMap;

/// A database to which nobody writes until [`Setup::commit`].
pub(in crate::store) struct Setup<'a> {
    session: Session,
    db: &'a ShardDb,
}

/// What a database is before it becomes a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Fresh {
    /// What it was before, of whatever store.
    pub(in crate::store) row: Option<ShardRow>,
    /// Whether it has links.
    pub(in crate::store) has_links: bool,
    /// The highest number that it gave to a link.
    pub(in crate::store) last_id: i64,
}

impl ShardDb {
    /// Keeps everybody from writing.
    pub(in crate::store) async fn begin_setup(&self) -> Result<Setup<'_>, StoreError> {
        let session = self.locks.write(|| async {
            let mut session = self.locks.session().await?;
            session.begin().await?;
            lock_map(&mut session).await?;
            Ok(session)
        });
        Ok(Setup {
            session: session.await?,
            db: self,
        })
    }

    /// The highest number that this shard gave to a link.
    pub(in crate::store) async fn last_id(&self) -> Result<i64, StoreError> {
        let last = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            last_id(&mut session).await
        });
        Ok(last.await?)
    }
}

impl ShardDb {
    /// Whether it has links.
    pub(in crate::store) async fn has_links(&self) -> Result<bool, StoreError> {
        let found = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            has_links(&mut session).await
        });
        Ok(found.await?)
    }
}

impl Setup<'_> {
    /// What is there.
    pub(in crate::store) async fn look(&mut self) -> Result<Fresh, StoreError> {
        let looked = look(&mut self.session).await;
        self.done(looked)
    }

    /// Makes it a shard, whose links have numbers from `from` on.
    pub(in crate::store) async fn make(
        &mut self,
        number: u16,
        map: &ShardMap,
        version: u64,
        from: i64,
    ) -> Result<(), StoreError> {
        let made = make(&mut self.session, number, map, version, from).await;
        self.done(made)
    }

    /// Makes it the home, whose journal begins with the changes that are known here.
    pub(in crate::store) async fn make_home(
        &mut self,
        number: u16,
        from: i64,
    ) -> Result<(), StoreError> {
        let made = make_home(&mut self.session, number, from).await;
        self.done(made)
    }

    /// Forgets the changes that are known here: those of another time.
    pub(in crate::store) async fn forget_feed(&mut self) -> Result<(), StoreError> {
        let forgotten = self
            .session
            .script("DELETE FROM link_feed; UPDATE link_feed_head SET last = 0")
            .await;
        self.done(forgotten)
    }

    /// Makes it durable, and lets others go on.
    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        let ended = self.session.commit().await;
        self.done(ended)
    }

    fn done<T>(&self, outcome: Result<T, Failure>) -> Result<T, StoreError> {
        Ok(outcome.map_err(|failure| failure.into_error(self.db.place()))?)
    }
}

async fn look(session: &mut Session) -> Result<Fresh, Failure> {
    Ok(Fresh {
        row: read_own_row(session).await?,
        has_links: has_links(session).await?,
        last_id: last_id(session).await?,
    })
}

async fn has_links(session: &mut Session) -> Result<bool, Failure> {
    let row = session
        .one("SELECT EXISTS (SELECT FROM links)", &[])
        .await?;
    Ok(row.try_get(0)?)
}

async fn last_id(session: &mut Session) -> Result<i64, Failure> {
    let row = session
        .one("SELECT last_value FROM links_id_seq", &[])
        .await?;
    Ok(row.try_get(0)?)
}

async fn make(
    session: &mut Session,
    number: u16,
    map: &ShardMap,
    version: u64,
    from: i64,
) -> Result<(), Failure> {
    session
        .change(
            "INSERT INTO link_shard(number, version, map) VALUES ($1, $2, $3)
             ON CONFLICT (single) DO UPDATE SET
                number = excluded.number, version = excluded.version, map = excluded.map",
            &[
                &i32::from(number),
                &version.cast_signed(),
                &serde_json::to_string(map)?,
            ],
        )
        .await?;
    // The remainder tells the shard. Nobody has a number above the first one yet.
    let step = i64::from(MAX_SHARDS);
    let first = (from / step + 1) * step + i64::from(number);
    session
        .script(&format!(
            "ALTER SEQUENCE links_id_seq INCREMENT BY {step}; SELECT setval('links_id_seq', {first})"
        ))
        .await
}

async fn make_home(session: &mut Session, number: u16, from: i64) -> Result<(), Failure> {
    // Positions of those who followed the one database go on to mean what they meant, or are told
    // that they mean nothing: no mark has a number that a link may have had.
    let first = (from / i64::from(MAX_SHARDS) + 2) * i64::from(MAX_SHARDS);
    session
        .script(&format!(
            "DELETE FROM link_journal; DELETE FROM link_journal_sources; DELETE FROM link_shard_marks;
             INSERT INTO link_journal(seq, code, domain) SELECT seq, code, domain FROM link_feed;
             UPDATE link_journal_head SET last = (SELECT last FROM link_feed_head);
             INSERT INTO link_journal_sources(shard, seq) SELECT {number}, last FROM link_feed_head;
             ALTER TABLE link_shard_marks ALTER COLUMN id RESTART WITH {first}"
        ))
        .await
}

//! A database as one of several shards: what it knows of itself and of the map, and the locks by which
//! the map only changes when nobody writes by it.
//!
//! Beside the connections of the store, which write by one version of the map, these go by none: each
//! transaction that writes says which it means.

mod journal;
mod lookup;
mod made;
mod moves;
mod setup;

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate_postgres::{Connections, Failure, PostgresAddress, Schema, Session};

use super::PostgresOptions;
use super::lifecycle::Settled;
use super::row::damaged;
use super::schema::SCHEMA;
use crate::store::StoreError;
use crate::store::sharded::ShardMap;

pub(in crate::store) use made::{Positions, Wanted};
pub(in crate::store) use setup::{Fresh, Setup};

/// What tells a transaction's version of the map to the database.
pub(in crate::store) const SETTING: &str = "tollgate.shard_map";
/// How many shards there can be, also over time. Numbers of links are this far apart on each shard, so that no two
/// shards ever give the same, and a link keeps its number when it moves.
pub(in crate::store) const MAX_SHARDS: u16 = 1_024;

/// Held shared by all who write, and alone by who changes the map. `steps/1.sql` has it too.
const MAP_LOCK: i64 = 8_387_799_723_149_517_824;
/// The same for writes that look at several shards before. They hold it until they are done, and
/// then may have to wait for the other lock: whoever needs both takes this one first.
const WIDE_LOCK: i64 = MAP_LOCK + 1;
/// Held while links are moved from here to elsewhere.
const REBALANCE_LOCK: i64 = MAP_LOCK + 2;
/// What tells locks of tokens and of links that are alike from others in the same database.
const WIDE_CLASS: i32 = 0x7467_7700;
/// The same for links that move.
const MOVE_CLASS: i32 = 0x7467_6d00;
/// Locks there are for all of a class: few enough for batches of any size.
const SLOTS: u64 = 256;
/// How long a change of the map may wait for those who write.
const ADVANCE_WITHIN: Duration = Duration::from_secs(60);

const SHARD_SCHEMA: Schema = Schema {
    component: "link_shards",
    steps: &[include_str!("steps/1.sql")],
    lock: 0x7467_7368_6172_6473,
};

/// One shard's database.
pub(in crate::store) struct ShardDb {
    connections: Connections,
    /// Of their own, since whoever holds one of them waits for one of the others.
    locks: Connections,
    settled: Settled,
    /// How much of the links the configuration wants here.
    pub(in crate::store) weight: u32,
}

/// What a shard knows of itself and of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct ShardRow {
    pub(in crate::store) number: u16,
    /// The version by which can be written here: 0 until the store is founded.
    pub(in crate::store) version: u64,
    pub(in crate::store) map: ShardMap,
}

/// Keeps others from asking for the same until it ends, and the map from changing.
pub(in crate::store) struct WideLock<'a> {
    session: Session,
    db: &'a ShardDb,
}

impl ShardDb {
    /// Connects, and makes all tables.
    pub(in crate::store) async fn open(
        address: &PostgresAddress,
        weight: u32,
        options: &PostgresOptions,
    ) -> Result<Self, StoreError> {
        let size = connections_beside(options.connections);
        let deadline = options.deadline;
        let connections = Connections::open(address.clone(), size, deadline, &SCHEMA).await?;
        let locks = Connections::open(address.clone(), size, deadline, &SHARD_SCHEMA).await?;
        Ok(Self {
            connections,
            locks,
            settled: Settled::default(),
            weight,
        })
    }

    /// Where it is, without anything secret.
    pub(in crate::store) fn place(&self) -> &str {
        self.connections.place()
    }

    /// What it knows; `None` if it is no shard yet.
    pub(in crate::store) async fn row(&self) -> Result<Option<ShardRow>, StoreError> {
        let row = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            read_own_row(&mut session).await
        });
        Ok(row.await?)
    }

    /// The version of the map that is stored here; 0 if none is.
    pub(in crate::store) async fn version(&self) -> Result<u64, StoreError> {
        let version = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            version(&mut session).await
        });
        Ok(version.await?)
    }

    /// Stores a newer map as soon as nobody writes by the older one; does nothing where it is stored
    /// already.
    pub(in crate::store) async fn advance(&self, map: &ShardMap) -> Result<(), StoreError> {
        if self.version().await? >= map.version {
            return Ok(());
        }
        let text = serde_json::to_string(map).map_err(Failure::Unwritable);
        let text = &text.map_err(|failure| failure.into_error(self.place()))?;
        let stored = self.locks.write(|| async {
            let mut session = self.locks.session_within(ADVANCE_WITHIN).await?;
            session.begin_long(ADVANCE_WITHIN).await?;
            lock_map(&mut session).await?;
            session
                .change(
                    "UPDATE link_shard SET version = $1, map = $2 WHERE version < $1",
                    &[&map.version.cast_signed(), text],
                )
                .await?;
            session.commit().await
        });
        Ok(stored.await?)
    }

    /// Takes the locks of some tokens, and of some links that are alike, for all who go by this map.
    pub(in crate::store) async fn lock_wide(
        &self,
        version: u64,
        hashes: impl Iterator<Item = u64>,
    ) -> Result<WideLock<'_>, StoreError> {
        let slots = &slots(hashes);
        let session = self.locks.write(|| async {
            let mut session = self.locks.session().await?;
            session.begin().await?;
            session
                .rows("SELECT pg_advisory_xact_lock_shared($1)", &[&WIDE_LOCK])
                .await?;
            // Its version cannot change any more.
            let stored = self::version(&mut session).await?;
            if stored != version {
                return Err(outdated(stored, version));
            }
            lock_slots(&mut session, WIDE_CLASS, slots).await?;
            Ok(session)
        });
        Ok(WideLock {
            session: session.await?,
            db: self,
        })
    }

    /// A connection that is the only one to hold the lock of those who move links; `None` if another one
    /// does. The lock ends with it.
    pub(in crate::store) async fn lock_rebalance(
        &self,
        within: Duration,
    ) -> Result<Option<Session>, StoreError> {
        let locked = self.locks.write(|| async {
            let mut session = self.locks.session_within(within).await?;
            let row = session
                .one("SELECT pg_try_advisory_lock($1)", &[&REBALANCE_LOCK])
                .await?;
            let locked: bool = row.try_get(0)?;
            Ok(locked.then_some(session))
        });
        Ok(locked.await?)
    }

    /// Gives the lock of those who move links back.
    pub(in crate::store) async fn unlock_rebalance(
        &self,
        mut session: Session,
    ) -> Result<(), StoreError> {
        let unlocked = session
            .rows("SELECT pg_advisory_unlock($1)", &[&REBALANCE_LOCK])
            .await;
        unlocked.map_err(|failure| failure.into_error(self.place()))?;
        Ok(())
    }

    /// Begins to write by a version of the map. Fails if another one is stored here.
    async fn begin(&self, version: u64) -> Result<Session, Failure> {
        let mut session = self.connections.session().await?;
        session.begin().await?;
        let check = format!("SET LOCAL {SETTING} = '{version}'; SELECT tollgate_shard_check()");
        session.script(&check).await?;
        Ok(session)
    }
}

impl Drop for ShardDb {
    fn drop(&mut self) {
        self.connections.close();
        self.locks.close();
    }
}

impl WideLock<'_> {
    /// Lets others go on.
    pub(in crate::store) async fn release(mut self) -> Result<(), StoreError> {
        let ended = self.session.commit().await;
        Ok(ended.map_err(|failure| failure.into_error(self.db.place()))?)
    }
}

/// How many connections there are beside those of the store. Two are the least with which links can move.
pub(in crate::store) fn connections_beside(connections: usize) -> usize {
    (connections / 4).max(4)
}

/// Waits until nobody writes, and keeps all from it until the end of the transaction.
async fn lock_map(session: &mut Session) -> Result<(), Failure> {
    for lock in [WIDE_LOCK, MAP_LOCK] {
        session
            .rows("SELECT pg_advisory_xact_lock($1)", &[&lock])
            .await?;
    }
    Ok(())
}

async fn version(session: &mut Session) -> Result<u64, Failure> {
    let row = session.row("SELECT version FROM link_shard", &[]).await?;
    let version = row.map(|row| row.try_get::<_, i64>(0)).transpose()?;
    Ok(version.unwrap_or_default().cast_unsigned())
}

async fn read_own_row(session: &mut Session) -> Result<Option<ShardRow>, Failure> {
    let row = session
        .row("SELECT number, version, map FROM link_shard", &[])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let number = row.try_get::<_, i32>(0)?;
    let map = serde_json::from_str(row.try_get(2)?);
    Ok(Some(ShardRow {
        number: u16::try_from(number).map_err(|error| damaged("number", error))?,
        version: row.try_get::<_, i64>(1)?.cast_unsigned(),
        map: map.map_err(|error| damaged("map", error))?,
    }))
}

fn outdated(stored: u64, known: u64) -> Failure {
    Failure::Refused(tollgate_postgres::Error::Outdated(format!(
        "the map of the shards is version {stored}, not {known}"
    )))
}

fn slots(hashes: impl Iterator<Item = u64>) -> BTreeSet<i32> {
    // Below 256.
    hashes.map(|hash| (hash % SLOTS) as i32).collect()
}

/// Takes locks, in an order that cannot end in a deadlock.
async fn lock_slots(
    session: &mut Session,
    class: i32,
    slots: &BTreeSet<i32>,
) -> Result<(), Failure> {
    let slots: Vec<i32> = slots.iter().copied().collect();
    session
        .rows(
            "SELECT pg_advisory_xact_lock($1, slot) FROM unnest($2::integer[]) AS slot",
            &[&class, &slots],
        )
        .await?;
    Ok(())
}

impl super::PostgresLinkStore {
    /// Whether this database is one of several shards, and cannot be used alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn is_shard(&self) -> Result<bool, StoreError> {
        let is_shard = self.connections.read(|| async {
            let mut session = self.connections.session().await?;
            let row = session
                .one("SELECT to_regclass('link_shard') IS NOT NULL", &[])
                .await?;
            if !row.try_get::<_, bool>(0)? {
                return Ok(false);
            }
            Ok(version(&mut session).await? > 0)
        });
        Ok(is_shard.await?)
    }
}

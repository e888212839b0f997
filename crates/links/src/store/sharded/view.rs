//! The map that this process goes by, and the connections that write by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use tollgate_clock::Clock;

use super::error::ShardError;
use super::map::{Place, Placing, ShardMap};
use crate::LinkKey;
use crate::store::postgres::shard::{SETTING, ShardDb, ShardRow};
use crate::store::{PostgresAddress, PostgresLinkStore, PostgresOptions, StoreError};

/// A database that the configuration lists.
pub(super) struct Listed {
    pub(super) address: PostgresAddress,
    pub(super) db: ShardDb,
}

/// A shard, for one version of the map.
pub(super) struct Shard {
    pub(super) number: u16,
    pub(super) listed: Arc<Listed>,
    /// Its connections write by this version only.
    pub(super) store: PostgresLinkStore,
}

/// A version of the map, with the shards it names.
pub(super) struct View {
    pub(super) placing: Placing,
    pub(super) shards: BTreeMap<u16, Shard>,
}

impl Shard {
    pub(super) fn db(&self) -> &ShardDb {
        &self.listed.db
    }
}

impl View {
    /// Connects to the shards of a map.
    pub(super) async fn open(
        map: ShardMap,
        listed: BTreeMap<u16, Arc<Listed>>,
        clock: &Arc<dyn Clock>,
        options: &PostgresOptions,
    ) -> Result<Self, ShardError> {
        let placing = Placing::new(map)?;
        let version = placing.map.version;
        let opening = listed.into_iter().map(async |(number, listed)| {
            let address = listed.address.clone().with_setting(SETTING, version);
            let store = PostgresLinkStore::open(address, Arc::clone(clock), options).await?;
            Ok::<_, StoreError>((
                number,
                Shard {
                    number,
                    listed,
                    store,
                },
            ))
        });
        let shards = try_join_all(opening).await?.into_iter().collect();
        Ok(Self { placing, shards })
    }

    pub(super) fn version(&self) -> u64 {
        self.placing.map.version
    }

    pub(super) fn place(&self, key: &LinkKey) -> Place {
        self.placing.place(key)
    }

    /// The shard of a number.
    pub(super) fn shard(&self, number: u16) -> Result<&Shard, StoreError> {
        let shard = self.shards.get(&number);
        shard.ok_or_else(|| StoreError::Unexpected(format!("there is no shard s{number}")))
    }

    /// The shard with what there is only once.
    pub(super) fn home(&self) -> Result<&Shard, StoreError> {
        self.shard(self.placing.map.home)
    }

    /// All shards by their numbers.
    pub(super) fn dbs(&self) -> Vec<(u16, &ShardDb)> {
        let shards = self.shards.values();
        shards.map(|shard| (shard.number, shard.db())).collect()
    }

    /// Asks all shards at once. While links move it asks twice: a link that moves meanwhile is met by the second
    /// time at the latest, because it moves once.
    pub(super) async fn ask_all<'a, T, F>(
        &'a self,
        ask: impl Fn(&'a Shard) -> F,
    ) -> Result<Vec<(u16, T)>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut answers = Vec::new();
        for _ in 0..if self.placing.is_moving() { 2 } else { 1 } {
            let asked = join_all(self.shards.values().map(&ask)).await;
            for (number, answer) in self.shards.keys().zip(asked) {
                answers.push((*number, answer?));
            }
        }
        Ok(answers)
    }
}

/// What the listed databases know: the map that counts, and which database is which shard.
pub(super) struct Found {
    pub(super) map: ShardMap,
    pub(super) shards: BTreeMap<u16, Arc<Listed>>,
    /// Listed, but no shards: they are to be, or were.
    pub(super) spare: Vec<Arc<Listed>>,
}

/// Finds out which database is which shard; `None` if none is one.
pub(super) async fn find(listed: &[Arc<Listed>]) -> Result<Option<Found>, ShardError> {
    let rows = try_join_all(listed.iter().map(|one| one.db.row())).await?;
    let newest = rows.iter().flatten().max_by_key(|row| row.map.version);
    // Whoever founded the store was killed before it was one.
    let is_founded = rows.iter().flatten().any(|row| row.version > 0);
    let Some(newest) = newest.filter(|_| is_founded) else {
        return Ok(None);
    };
    let store = newest.map.store.clone();
    if let Some((_, other)) = rows
        .iter()
        .zip(listed)
        .find(|(row, _)| row.as_ref().is_some_and(|row| row.map.store != store))
    {
        return Err(ShardError::OfAnotherStore(other.db.place().to_owned()));
    }
    let is_home = |row: &&ShardRow| row.number == newest.map.home;
    // Changes begin at the home.
    let Some(home) = rows.iter().flatten().find(is_home) else {
        return Err(ShardError::NotListed(newest.map.home));
    };
    let map = home.map.clone();
    let (mut shards, mut spare) = (BTreeMap::new(), Vec::new());
    let members = map.members();
    for (row, one) in rows.iter().zip(listed) {
        match row {
            Some(row) if members.contains(&row.number) => {
                if let Some(twice) = shards.insert(row.number, Arc::clone(one)) {
                    return Err(ShardError::Twice(
                        twice.db.place().to_owned(),
                        one.db.place().to_owned(),
                    ));
                }
            }
            _ => spare.push(Arc::clone(one)),
        }
    }
    if let Some(missing) = members.iter().find(|member| !shards.contains_key(member)) {
        return Err(ShardError::NotListed(*missing));
    }
    Ok(Some(Found { map, shards, spare }))
}

/// Brings the map of all shards up to that of the home, where whoever changed it last was killed.
pub(super) async fn level(found: &Found) -> Result<(), StoreError> {
    // One after the other: who moves a link holds the lock of one and waits for that of another.
    for one in found.shards.values() {
        one.db.advance(&found.map).await?;
    }
    Ok(())
}

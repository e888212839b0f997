//! Links spread over several databases by their names.
//!
//! Which link is where follows from a map that is stored on every shard. Every transaction that writes
//! links says by which version of the map it goes, and a shard that knows another one refuses it: so two
//! instances never write by different maps, whatever they were told. Who is refused, or finds no
//! link where it should be, reads the map again.
//!
//! What there is only once is on the shard that is the home: what code strategies share, the journal
//! (`postgres/shard/journal.rs`), and the locks of those who look at several shards before they write.
//!
//! # While links move
//!
//! The map names the shards as they were and as they shall be. A link whose place changes is read at the new
//! place, then at the old one, then at the new one again. Who writes to it moves it first, and then
//! writes at the new place alone. Nobody writes at the old place any more, so what is left there only becomes less.

mod address;
mod error;
mod feed;
mod found;
mod insert;
mod leases;
mod list;
mod map;
mod rebalance;
mod sweep;
mod view;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tollgate_clock::{Clock, UnixMillis};

pub use self::address::ShardAddress;
pub use self::error::ShardError;
pub(in crate::store) use self::map::ShardMap;
pub use self::rebalance::{RebalanceOptions, Rebalanced, Rebalancer, ShardCount, ShardProgress};
use self::view::{Listed, View, find, level};
use super::links::nobody;
use super::postgres::shard::{ShardDb, connections_beside};
use super::{
    ClickGrant, Delete, Deleted, Edit, Insert, Inserted, LinkCopy, LinkStore, ListQuery, Page,
    PostgresOptions, PostgresStats, ReplicaReadStats, StoreError, Swept, Update, Updated,
};
use crate::{Link, LinkKey};

/// How often a piece of work is begun anew because the map has changed. A rebalance changes it twice.
const ATTEMPTS: u32 = 8;
/// Before the second attempt, and so much longer before each further one: shards learn of a change one after
/// the other.
const AGAIN: Duration = Duration::from_millis(10);

/// What a [`ShardedLinkStore`] has done so far, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardStats {
    /// Shards of the map.
    pub shards: u64,
    /// The version of the map.
    pub version: u64,
    /// Whether links move to other shards.
    pub moving: bool,
    /// Links that this instance moved because it wrote to them.
    pub moved: u64,
    /// Reads and writes that were begun anew because the map had changed.
    pub again: u64,
    /// Of the connections to all shards, added up.
    pub postgres: PostgresStats,
}

/// Links, their history, the feed of changes and what code strategies share, in several databases.
pub struct ShardedLinkStore {
    shared: Arc<Shared>,
}

/// What a [`ShardedLinkStore`] is made of.
struct Shared {
    listed: Vec<Arc<Listed>>,
    clock: Arc<dyn Clock>,
    options: PostgresOptions,
    /// Where the connections live, whoever asks for them.
    runtime: Handle,
    view: RwLock<Arc<View>>,
    /// Held while the map is read again.
    looking: tokio::sync::Mutex<()>,
    /// There is another map, or connections that listen anew.
    changed: Notify,
    /// For those who move links: each holds a connection and waits for a second one, so there are fewer than
    /// connections.
    movers: Semaphore,
    moved: AtomicU64,
    again: AtomicU64,
}

/// Does the work by the map of the moment, and by the next one if it was refused by then.
macro_rules! by_the_map {
    ($self:ident, $view:ident => $work:expr) => {{
        let mut attempt = 0;
        loop {
            let $view = $self.shared.view();
            let outcome: Result<_, StoreError> = async { $work }.await;
            match outcome {
                Err(StoreError::ShardsChanged(why)) => {
                    $self.shared.look_again(&$view, &mut attempt, why).await?;
                }
                other => break other,
            }
        }
    }};
}
use by_the_map;

impl ShardedLinkStore {
    /// Connects to all shards, and makes them if they are none. The connections live on the runtime this is
    /// called on; the options are those of each shard.
    ///
    /// # Errors
    /// See [`ShardError`]; no text shows a password.
    pub async fn open(
        addresses: Vec<ShardAddress>,
        clock: Arc<dyn Clock>,
        options: &PostgresOptions,
    ) -> Result<Self, ShardError> {
        let listed = connect(addresses, options).await?;
        let mut there = find(&listed).await?;
        if there.is_none() {
            found::found(&listed).await?;
            there = find(&listed).await?;
        }
        let there = there.ok_or(ShardError::None)?;
        level(&there).await?;
        for spare in &there.spare {
            let db = &spare.db;
            if db.has_links().await? {
                return Err(ShardError::NotEmpty(db.place().to_owned()));
            }
            if db.weight > 0 {
                tracing::warn!(
                    database = db.place(),
                    "no shard yet: `tollgate migrate rebalance` moves links there"
                );
            }
        }
        warn_of_weights(&there);
        let view = View::open(there.map, there.shards, &clock, options).await?;
        let movers = Semaphore::new(connections_beside(options.connections) - 1);
        Ok(Self {
            shared: Arc::new(Shared {
                listed,
                clock,
                options: options.clone(),
                runtime: Handle::current(),
                view: RwLock::new(Arc::new(view)),
                looking: tokio::sync::Mutex::default(),
                changed: Notify::new(),
                movers,
                moved: AtomicU64::new(0),
                again: AtomicU64::new(0),
            }),
        })
    }

    /// Where all shards are, without anything secret.
    #[must_use]
    pub fn place(&self) -> String {
        let places = self.shared.listed.iter().map(|one| one.db.place());
        places.collect::<Vec<_>>().join(" ")
    }

    /// What it has done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let view = self.shared.view();
        let mut postgres = PostgresStats {
            pool: super::postgres::PoolStats {
                connections: 0,
                idle: 0,
                opened: 0,
                failed: 0,
            },
            listening: true,
        };
        for shard in view.shards.values() {
            let stats = shard.store.stats();
            postgres.pool.connections += stats.pool.connections;
            postgres.pool.idle += stats.pool.idle;
            postgres.pool.opened += stats.pool.opened;
            postgres.pool.failed += stats.pool.failed;
            postgres.listening &= stats.listening;
        }
        ShardStats {
            shards: view.shards.len() as u64,
            version: view.version(),
            moving: view.placing.is_moving(),
            moved: self.shared.moved.load(Relaxed),
            again: self.shared.again.load(Relaxed),
            postgres,
        }
    }
}

impl ShardedLinkStore {
    /// What became of reads, if standbys are read; for metrics.
    #[must_use]
    pub fn replica_stats(&self) -> Option<ReplicaReadStats> {
        let view = self.shared.view();
        let each = view
            .shards
            .values()
            .filter_map(|shard| shard.store.replica_stats());
        each.reduce(|mut all, one| {
            all.servers.extend(one.servers);
            all.primary += one.primary;
            all.absent += one.absent;
            all.refused += one.refused;
            all
        })
    }

    /// These were changed, wherever they are.
    fn note<'a>(&self, keys: impl IntoIterator<Item = &'a LinkKey> + Clone) {
        for shard in self.shared.view().shards.values() {
            shard.store.note(keys.clone());
        }
    }
}

/// Connects to all databases of a list.
async fn connect(
    addresses: Vec<ShardAddress>,
    options: &PostgresOptions,
) -> Result<Vec<Arc<Listed>>, ShardError> {
    if addresses.is_empty() {
        return Err(ShardError::None);
    }
    let mut listed: Vec<Arc<Listed>> = Vec::with_capacity(addresses.len());
    for ShardAddress { address, weight } in addresses {
        let place = address.place().to_owned();
        if listed.iter().any(|one| one.db.place() == place) {
            return Err(ShardError::Twice(place.clone(), place));
        }
        let db = ShardDb::open(&address, weight, options).await?;
        listed.push(Arc::new(Listed { address, db }));
    }
    Ok(listed)
}

/// The stored map decides: what the list wants otherwise waits for a rebalance.
fn warn_of_weights(there: &view::Found) {
    let wanted = there.map.next.as_ref().unwrap_or(&there.map.shards);
    for member in wanted {
        let listed = there.shards.get(&member.number);
        if let Some(listed) = listed.filter(|one| one.db.weight != member.weight) {
            tracing::warn!(
                database = listed.db.place(),
                listed = listed.db.weight,
                stored = member.weight,
                "the list and the stored map differ in a weight: the stored one holds until `tollgate migrate rebalance`"
            );
        }
    }
}

impl Shared {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Reads the map again after somebody was refused by it; fails if that has happened too often.
    async fn look_again(
        self: &Arc<Self>,
        seen: &View,
        attempt: &mut u32,
        why: String,
    ) -> Result<(), StoreError> {
        self.again.fetch_add(1, Relaxed);
        *attempt += 1;
        if *attempt > ATTEMPTS {
            return Err(StoreError::Unavailable(format!(
                "the shards change all the time: {why}"
            )));
        }
        if *attempt > 1 {
            tokio::time::sleep(AGAIN * *attempt).await;
        }
        self.look(seen.version()).await
    }

    /// Reads the map again, unless another one than the version seen is known already.
    async fn look(self: &Arc<Self>, seen: u64) -> Result<(), StoreError> {
        let shared = Arc::clone(self);
        // It goes on if whoever waits is gone, on the runtime where connections live.
        let looking = self.runtime.spawn(async move {
            let _alone = shared.looking.lock().await;
            if shared.view().version() != seen {
                return Ok(());
            }
            let there = find(&shared.listed).await?.ok_or(ShardError::None)?;
            level(&there).await?;
            if there.map.version == seen {
                return Ok(());
            }
            let (version, moving) = (there.map.version, there.map.next.is_some());
            let view = View::open(there.map, there.shards, &shared.clock, &shared.options).await?;
            let view = Arc::new(view);
            *shared.view.write() = Arc::clone(&view);
            // What was changed while it was opened was noted for the one before.
            view.shards
                .values()
                .for_each(|shard| shard.store.note_all());
            shared.changed.notify_one();
            tracing::info!(version, moving, "another map of the shards");
            Ok(())
        });
        let looked: Result<(), ShardError> = looking
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        looked.map_err(|error| match error {
            ShardError::Store(error) => error,
            // Told here as well, because requests only say that the store is away.
            other => {
                tracing::error!(error = %other, "the map of the shards cannot be followed");
                StoreError::Unavailable(other.to_string())
            }
        })
    }

    /// Fails if a shard knows another map than this: what was not found there may be elsewhere.
    async fn still(&self, view: &View, shard: u16) -> Result<(), StoreError> {
        let stored = view.shard(shard)?.db().version().await?;
        let known = view.version();
        if stored == known {
            return Ok(());
        }
        Err(StoreError::ShardsChanged(format!(
            "the map of the shards is version {stored}, not {known}"
        )))
    }

    /// Moves links to where they belong before they are written to.
    async fn bring(&self, view: &View, keys: &[&LinkKey]) -> Result<(), StoreError> {
        if !view.placing.is_moving() {
            return Ok(());
        }
        let mut ways: BTreeMap<(u16, u16), Vec<LinkKey>> = BTreeMap::new();
        for key in keys {
            let place = view.place(key);
            if let Some(before) = place.before {
                let way = ways.entry((before, place.at)).or_default();
                way.push((*key).clone());
            }
        }
        for ((from, to), mut keys) in ways {
            keys.sort();
            keys.dedup();
            // It is never closed.
            let Ok(_mover) = self.movers.acquire().await else {
                continue;
            };
            let (from, to) = (view.shard(from)?.db(), view.shard(to)?.db());
            let moved = from.move_to(to, view.version(), &keys).await?;
            self.moved.fetch_add(moved, Relaxed);
        }
        Ok(())
    }
}

#[async_trait]
impl LinkStore for ShardedLinkStore {
    async fn insert(&self, inserts: Vec<Insert>) -> Result<Vec<Inserted>, StoreError> {
        let inserted = self.insert_all(&inserts).await;
        self.note(inserts.iter().map(|insert| &insert.link.key));
        inserted
    }

    async fn get(&self, key: &LinkKey) -> Result<Option<Link>, StoreError> {
        by_the_map!(self, view => {
            let place = view.place(key);
            let at = view.shard(place.at)?;
            if let Some(link) = at.store.get(key).await? {
                return Ok(Some(link));
            }
            if let Some(before) = place.before {
                if let Some(link) = view.shard(before)?.store.get(key).await? {
                    return Ok(Some(link));
                }
                // It was moved meanwhile, and a replica may not know yet.
                if let Some(link) = at.db().find(key).await? {
                    return Ok(Some(link));
                }
            }
            self.shared.still(&view, place.at).await?;
            Ok(None)
        })
    }

    async fn find(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        by_the_map!(self, view => {
            let place = view.place(key);
            if place.before.is_some() {
                // A standby of the old place may show what was changed, or deleted, at the new one.
                let link = self.get(key).await?;
                return Ok(LinkCopy { link, newest: true });
            }
            let copy = view.shard(place.at)?.store.find(key).await?;
            if copy.link.is_none() {
                self.shared.still(&view, place.at).await?;
            }
            Ok(copy)
        })
    }

    fn heard_of(&self, keys: &[LinkKey]) {
        self.note(keys);
    }

    async fn answers(&self) -> Result<(), StoreError> {
        if self.shared.options.replicas.is_none() {
            return self.get(&nobody()).await.map(drop);
        }
        let view = self.shared.view();
        view.shard(view.place(&nobody()).at)?.store.answers().await
    }

    async fn update(&self, update: Update) -> Result<Updated, StoreError> {
        let updated = by_the_map!(self, view => self.update_once(&view, &update).await);
        self.note([&update.key]);
        updated
    }

    async fn delete(&self, delete: Delete) -> Result<Deleted, StoreError> {
        let deleted = by_the_map!(self, view => self.delete_once(&view, &delete).await);
        self.note([&delete.key]);
        deleted
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        by_the_map!(self, view => self.list_once(&view, query).await)
    }

    async fn history(&self, key: &LinkKey, limit: usize) -> Result<Vec<Edit>, StoreError> {
        by_the_map!(self, view => {
            self.shared.bring(&view, &[key]).await?;
            let at = view.shard(view.place(key).at)?;
            let edits = at.store.history(key, limit).await?;
            self.shared.still(&view, at.number).await?;
            Ok(edits)
        })
    }

    async fn take_click(&self, key: &LinkKey) -> Result<ClickGrant, StoreError> {
        by_the_map!(self, view => {
            self.shared.bring(&view, &[key]).await?;
            view.shard(view.place(key).at)?.store.take_click(key).await
        })
    }

    async fn sweep(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let swept =
            by_the_map!(self, view => self.sweep_once(&view, before, tokens_before, limit).await)?;
        self.note(&swept.links);
        Ok(swept)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let view = self.shared.view();
        let counts = futures_util::future::try_join_all(
            view.shards.values().map(|shard| shard.store.count()),
        );
        Ok(counts.await?.into_iter().sum())
    }
}

//! Moving links to where the list of shards wants them, while instances serve.
//!
//! First the map is changed so that it names where links are to be, beside where they are; then all links whose
//! place changes are moved, in batches; then where they are to be is where they are. Each step can be
//! interrupted: what is stored tells where to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::ShardAddress;
use super::connect;
use super::error::ShardError;
use super::feed::write_journal;
use super::found::found;
use super::map::{Member, Placing, ShardMap, name};
use super::view::{Found, Listed, find, level};
use crate::LinkKey;
use crate::store::postgres::shard::{MAX_SHARDS, ShardDb};
use crate::store::{PostgresOptions, StoreError};

/// Names looked at with one statement.
const PAGE: usize = 1_000;
/// Tokens copied with one statement.
const TOKENS: i64 = 500;
/// How often a piece of work is tried while a shard is away.
const PATIENCE: u32 = 10;
/// Between two such attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than any rebalance.
const LOCKED: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How links are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebalanceOptions {
    /// Links moved in one commit. Whoever writes to a link that is to be moved waits for a commit at most.
    pub batch: usize,
    /// Between two commits, so that others are served in the meantime.
    pub pause: Duration,
}

impl Default for RebalanceOptions {
    fn default() -> Self {
        Self {
            batch: 100,
            pause: Duration::ZERO,
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardProgress {
    /// Links looked at.
    pub seen: u64,
    /// Links to look at, about.
    pub of: u64,
    /// Links moved.
    pub moved: u64,
}

/// What a rebalance has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalanced {
    /// Links it has moved. Those that instances moved, because they wrote to them, are not among them.
    pub moved: u64,
    /// The version of the map now.
    pub version: u64,
    /// The shards, with their links.
    pub shards: Vec<ShardCount>,
}

/// A shard, and how many links it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardCount {
    /// What the map calls it.
    pub name: String,
    /// Where it is, without anything secret.
    pub place: String,
    /// How much of the links it has to have.
    pub weight: u32,
    /// How many it has. An estimate if they are many.
    pub links: u64,
}

/// Moves links between shards.
pub struct Rebalancer {
    listed: Vec<Arc<Listed>>,
    feed_capacity: u64,
}

impl Rebalancer {
    /// Connects to all shards: those that have links, and those that shall have some. A weight of 0 takes a shard's
    /// links away.
    ///
    /// # Errors
    /// See [`ShardError`]; no text shows a password.
    pub async fn open(
        addresses: Vec<ShardAddress>,
        options: &PostgresOptions,
    ) -> Result<Self, ShardError> {
        Ok(Self {
            listed: connect(addresses, options).await?,
            feed_capacity: options.feed_capacity,
        })
    }

    /// Finishes what another one began, and then moves links to where the list wants them.
    ///
    /// # Errors
    /// See [`ShardError`]. What is done stays done, and the next run goes on from there.
    pub async fn run(
        &self,
        options: &RebalanceOptions,
        tell: impl Fn(ShardProgress),
    ) -> Result<Rebalanced, ShardError> {
        let there = self.find().await?;
        let home = Arc::clone(home_of(&there)?);
        let Some(lock) = home.db.lock_rebalance(LOCKED).await? else {
            return Err(ShardError::Busy);
        };
        let moved = self.steps(options, &tell).await;
        if let Err(error) = home.db.unlock_rebalance(lock).await {
            tracing::debug!(%error, "the lock ends with its connection");
        }
        let moved = moved?;
        let there = self.find().await?;
        let mut shards = Vec::new();
        for (number, one) in &there.shards {
            let member = there
                .map
                .shards
                .iter()
                .find(|member| member.number == *number);
            shards.push(ShardCount {
                name: name(*number),
                place: one.db.place().to_owned(),
                weight: member.map_or(0, |member| member.weight),
                links: one.db.estimated().await?,
            });
        }
        Ok(Rebalanced {
            moved,
            version: there.map.version,
            shards,
        })
    }

    async fn steps(
        &self,
        options: &RebalanceOptions,
        tell: &impl Fn(ShardProgress),
    ) -> Result<u64, ShardError> {
        let mut moved = 0;
        loop {
            let there = self.find().await?;
            level(&there).await?;
            if there.map.next.is_some() {
                moved += self.finish(there, options, tell).await?;
            } else if !self.begin(there).await? {
                return Ok(moved);
            }
        }
    }

    async fn find(&self) -> Result<Found, ShardError> {
        if let Some(there) = find(&self.listed).await? {
            return Ok(there);
        }
        found(&self.listed).await?;
        find(&self.listed).await?.ok_or(ShardError::None)
    }

    /// Changes the map to name where links are to be. Answers whether there is anything to move.
    async fn begin(&self, there: Found) -> Result<bool, ShardError> {
        let Found { map, shards, spare } = there;
        let mut next: Vec<Member> = shards
            .iter()
            .map(|(number, one)| Member {
                number: *number,
                weight: one.db.weight,
            })
            .collect();
        let spare: Vec<Arc<Listed>> = spare.into_iter().filter(|one| one.db.weight > 0).collect();
        let mut last_number = map.last_number;
        let mut new = Vec::new();
        for one in spare {
            last_number += 1;
            if last_number >= MAX_SHARDS {
                return Err(ShardError::TooMany);
            }
            let weight = one.db.weight;
            new.push((last_number, one));
            next.push(Member {
                number: last_number,
                weight,
            });
        }
        next.retain(|member| member.weight > 0);
        next.sort();
        let mut now = map.shards.clone();
        now.sort();
        if next == now {
            return Ok(false);
        }
        if next.is_empty() {
            return Err(ShardError::None);
        }
        let map = ShardMap {
            version: map.version + 1,
            last_number,
            next: Some(next),
            ..map
        };
        // Refuses weights of which no ring can be made.
        Placing::new(map.clone())?;
        let mut from = 0;
        for one in shards.values() {
            from = from.max(one.db.last_id().await?);
        }
        for (number, one) in &new {
            let mut setup = one.db.begin_setup().await?;
            let fresh = setup.look().await?;
            if fresh.has_links {
                return Err(ShardError::NotEmpty(one.db.place().to_owned()));
            }
            setup.forget_feed().await?;
            setup
                .make(*number, &map, map.version, from.max(fresh.last_id))
                .await?;
            setup.commit().await?;
        }
        advance(&map, &shards).await?;
        Ok(true)
    }

    /// Moves all links whose place changes, and then changes the map to say that they are there.
    async fn finish(
        &self,
        there: Found,
        options: &RebalanceOptions,
        tell: &impl Fn(ShardProgress),
    ) -> Result<u64, ShardError> {
        let Found { map, shards, .. } = there;
        let Some(next) = map.next.clone() else {
            return Ok(0);
        };
        let placing = Placing::new(map.clone())?;
        let mut of = 0;
        for member in &map.shards {
            of += one(&shards, member.number)?.db.estimated().await?;
        }
        let mut moving = Moving {
            placing: &placing,
            shards: &shards,
            options,
            tell,
            progress: ShardProgress {
                seen: 0,
                of,
                moved: 0,
            },
        };
        // Nobody writes to the old places any more: once a pass finds nothing there, nothing comes.
        while moving.pass().await? > 0 {}
        let moved = moving.progress.moved;
        let stays =
            |number: u16| number == map.home || next.iter().any(|member| member.number == number);
        let left: Vec<u16> = shards.keys().copied().filter(|at| !stays(*at)).collect();
        let home = one(&shards, map.home)?;
        for number in &left {
            copy_tokens(&one(&shards, *number)?.db, &home.db).await?;
        }
        let done = ShardMap {
            version: map.version + 1,
            shards: next,
            next: None,
            ..map.clone()
        };
        advance(&done, &shards).await?;
        let dbs: Vec<(u16, &ShardDb)> = shards.iter().map(|(at, one)| (*at, &one.db)).collect();
        write_journal(&home.db, &dbs, self.feed_capacity).await?;
        for number in left {
            home.db.forget_source(number).await?;
        }
        Ok(moved)
    }
}

/// Links that are being moved.
struct Moving<'a, T> {
    placing: &'a Placing,
    shards: &'a BTreeMap<u16, Arc<Listed>>,
    options: &'a RebalanceOptions,
    tell: &'a T,
    progress: ShardProgress,
}

impl<T: Fn(ShardProgress)> Moving<'_, T> {
    /// Looks at all names on all old places, and moves what does not belong there. Answers how many names
    /// did not.
    async fn pass(&mut self) -> Result<usize, ShardError> {
        let mut misplaced = 0;
        for member in &self.placing.map.shards {
            let from = &one(self.shards, member.number)?.db;
            let mut after = 0;
            loop {
                let (keys, last) = patiently(|| from.names(after, PAGE)).await?;
                if keys.is_empty() {
                    break;
                }
                after = last;
                let seen = self.progress.seen + keys.len() as u64;
                misplaced += self.move_from(member.number, keys).await?;
                self.progress.seen = seen;
                self.progress.of = self.progress.of.max(seen);
                (self.tell)(self.progress);
            }
            after = 0;
            loop {
                let (keys, last) = patiently(|| from.past_names(after, PAGE)).await?;
                if keys.is_empty() {
                    break;
                }
                after = last;
                misplaced += self.move_from(member.number, keys).await?;
            }
        }
        Ok(misplaced)
    }

    /// Moves those of some names that do not belong on a shard.
    async fn move_from(&mut self, number: u16, keys: Vec<LinkKey>) -> Result<usize, ShardError> {
        let from = &one(self.shards, number)?.db;
        let mut ways: BTreeMap<u16, BTreeSet<LinkKey>> = BTreeMap::new();
        for key in keys {
            let at = self.placing.place(&key).at;
            if at != number {
                ways.entry(at).or_default().insert(key);
            }
        }
        let mut misplaced = 0;
        for (at, keys) in ways {
            let to = &one(self.shards, at)?.db;
            let keys: Vec<LinkKey> = keys.into_iter().collect();
            misplaced += keys.len();
            for batch in keys.chunks(self.options.batch.max(1)) {
                let version = self.placing.map.version;
                let moved = patiently(|| from.move_to(to, version, batch)).await?;
                self.progress.moved += moved;
                (self.tell)(self.progress);
                if !self.options.pause.is_zero() {
                    tokio::time::sleep(self.options.pause).await;
                }
            }
        }
        Ok(misplaced)
    }
}

fn one(shards: &BTreeMap<u16, Arc<Listed>>, number: u16) -> Result<&Arc<Listed>, ShardError> {
    shards.get(&number).ok_or(ShardError::NotListed(number))
}

fn home_of(there: &Found) -> Result<&Arc<Listed>, ShardError> {
    one(&there.shards, there.map.home)
}

/// Stores a map on all shards. At the home first: whatever others find elsewhere, they go by what is there.
async fn advance(map: &ShardMap, shards: &BTreeMap<u16, Arc<Listed>>) -> Result<(), ShardError> {
    one(shards, map.home)?.db.advance(map).await?;
    for shard in shards.values() {
        shard.db.advance(map).await?;
    }
    Ok(())
}

/// Copies the tokens of a shard that is left: where links are now, others look for them.
async fn copy_tokens(from: &ShardDb, to: &ShardDb) -> Result<(), ShardError> {
    let mut after = Vec::new();
    while let Some(last) = patiently(|| from.copy_tokens(to, &after, TOKENS)).await? {
        after = last;
    }
    Ok(())
}

/// Tries again while a shard is away. Each piece of work can be done twice.
async fn patiently<T, F>(work: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 1;
    loop {
        match work().await {
            Err(error @ StoreError::Unavailable(_)) if attempt < PATIENCE => {
                tracing::warn!(%error, "a shard is away: trying again");
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

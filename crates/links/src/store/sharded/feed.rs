//! What those learn who follow: changes in the order of the home's journal, links that are made, and links that
//! expire.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{select_all, try_join_all};
use tollgate_clock::UnixMillis;

use super::list::once_each;
use super::view::View;
use super::{ShardedLinkStore, by_the_map};
use crate::Link;
use crate::store::columns::{Stored, page};
use crate::store::postgres::lifecycle::behind;
use crate::store::postgres::shard::{Positions, ShardDb, Wanted};
use crate::store::{ChangeFeed, ChangeSeq, Changes, Expiry, Lifecycle, LinkStore as _, StoreError};

/// How often the journal is asked for more in one call. What is left is read by the next one.
const ROUNDS: usize = 100;

/// Brings to the journal of the home what shards have noted.
pub(super) async fn write_journal(
    home: &ShardDb,
    shards: &[(u16, &ShardDb)],
    capacity: u64,
) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let known = home.journal_sources().await?;
        let asked = shards.iter().map(|(number, shard)| {
            let at = known.iter().find(|(known, _)| known == number);
            shard.fetch(*number, at.map_or(0, |(_, seq)| *seq))
        });
        let mut fetched = try_join_all(asked).await?;
        fetched.retain(|one| one.upto != one.after);
        if fetched.is_empty() {
            break;
        }
        home.append(&fetched, capacity).await?;
    }
    Ok(())
}

#[async_trait]
impl ChangeFeed for ShardedLinkStore {
    async fn changes(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        by_the_map!(self, view => {
            // Every follower comes by here about once a second: so an instance that is idle learns of
            // another map.
            self.shared.still(&view, view.placing.map.home).await?;
            let (home, shards) = (view.home()?.db(), view.dbs());
            write_journal(home, &shards, self.shared.options.feed_capacity).await?;
            let changes = home.journal(after).await?;
            if changes.lost || after.is_none() {
                view.shards.values().for_each(|shard| shard.store.note_all());
            }
            self.heard_of(&changes.keys);
            Ok(changes)
        })
    }

    async fn changed(&self) {
        let view = self.shared.view();
        let told = view
            .shards
            .values()
            .map(|shard| shard.store.changed().boxed());
        let told = told.chain([self.shared.changed.notified().boxed()]);
        select_all(told).await;
    }
}

#[async_trait]
impl Lifecycle for ShardedLinkStore {
    async fn made(&self, after: Option<i64>, limit: usize) -> Result<(Vec<Link>, i64), StoreError> {
        by_the_map!(self, view => self.made_once(&view, after, limit).await)
    }

    async fn expired(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError> {
        by_the_map!(self, view => {
            let asked = view
                .ask_all(|shard| shard.db().expiring(after, until, limit))
                .await?;
            self.shared.still(&view, view.placing.map.home).await?;
            let found = asked.into_iter().flat_map(|(shard, found)| {
                found.into_iter().map(move |stored| (shard, stored))
            });
            let mut found = once_each(&view, found);
            found.sort_by_key(|one| (one.link.spec.expires_at, one.id));
            found.truncate(limit);
            // Never back, should the clock be.
            let end = after.max(Expiry::behind(until));
            Ok(page(found, limit, |last| behind(last, until), end))
        })
    }
}

impl ShardedLinkStore {
    async fn made_once(
        &self,
        view: &View,
        after: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Link>, i64), StoreError> {
        let home = view.home()?.db();
        let begun = match after {
            Some(after) => home.mark(after).await?,
            None => None,
        };
        let asked = view.shards.values().map(async |shard| {
            let upto = shard.db().made_upto().await?;
            Ok::<_, StoreError>((shard.number, upto))
        });
        let upto: Vec<(u16, (i64, i64))> = try_join_all(asked).await?;
        let Some(begun) = begun else {
            let now = upto.into_iter().map(|(shard, (newest, _))| (shard, newest));
            let mark = home.keep_mark(&now.collect()).await?;
            return Ok((Vec::new(), mark));
        };
        let mut wanted: Vec<Wanted> = upto
            .iter()
            .map(|(shard, (_, upto))| Wanted {
                shard: *shard,
                // A shard that came later has made no link before.
                after: begun.get(shard).copied().unwrap_or(0),
                upto: *upto,
            })
            .collect();
        // What a shard has made that is none any more is elsewhere.
        let gone = begun
            .iter()
            .filter(|(shard, _)| !view.shards.contains_key(shard));
        wanted.extend(gone.map(|(shard, after)| Wanted {
            shard: *shard,
            after: *after,
            upto: i64::MAX,
        }));
        wanted.retain(|wanted| wanted.upto > wanted.after);
        wanted.sort_by_key(|wanted| wanted.shard);
        let asked = view
            .ask_all(|shard| shard.db().made_by(&wanted, limit))
            .await?;
        self.shared.still(view, view.placing.map.home).await?;
        let found = asked.into_iter().flat_map(|(at, found)| {
            found
                .into_iter()
                .map(move |(shard, stored)| (at, shard, stored))
        });
        let (links, reached) = first(view, found, wanted, limit);
        let mut positions = begun.clone();
        positions.extend(reached);
        if positions == begun {
            return Ok((Vec::new(), after.unwrap_or_default()));
        }
        Ok((links, home.keep_mark(&positions).await?))
    }
}

/// At most `limit` links, and how far each shard is read by that.
fn first(
    view: &View,
    found: impl Iterator<Item = (u16, u16, Stored)>,
    wanted: Vec<Wanted>,
    limit: usize,
) -> (Vec<Link>, Positions) {
    let mut makers: HashMap<i64, u16> = HashMap::new();
    let found = found.map(|(at, shard, stored)| {
        makers.insert(stored.id, shard);
        (at, stored)
    });
    let mut found = once_each(view, found);
    found.sort_by_key(|one| (makers.get(&one.id).copied(), one.id));
    let mut positions = Positions::new();
    let (mut taken, mut found) = (Vec::new(), found.into_iter().peekable());
    for wanted in wanted {
        let (mut seen, mut last) = (0, wanted.after);
        while let Some(stored) = found.next_if(|one| makers.get(&one.id) == Some(&wanted.shard)) {
            seen += 1;
            if taken.len() < limit {
                last = stored.id;
                taken.push(stored);
            } else {
                seen = limit;
            }
        }
        // A shard that has more, or may have, is read up to the last that was taken.
        let reached = if seen < limit { wanted.upto } else { last };
        positions.insert(wanted.shard, reached);
    }
    taken.sort_by_key(|one| (one.link.created_at, one.id));
    (
        taken.into_iter().map(|stored| stored.link).collect(),
        positions,
    )
}

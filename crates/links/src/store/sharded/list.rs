//! Listings: every shard gives its page behind the same position, and what comes first of all is the page. The
//! numbers of links differ on all shards and move with them, so a position means the same everywhere.

use std::collections::HashMap;

use super::ShardedLinkStore;
use super::view::View;
use crate::LinkKey;
use crate::store::columns::Stored;
use crate::store::cursor::Position;
use crate::store::postgres::list::position_of;
use crate::store::{ListOrder, ListQuery, Page, StoreError};

impl ShardedLinkStore {
    pub(super) async fn list_once(
        &self,
        view: &View,
        query: &ListQuery,
    ) -> Result<Page, StoreError> {
        let after = match &query.cursor {
            Some(cursor) => Some(Position::read(cursor, query.order)?),
            None => None,
        };
        let after = after.as_ref();
        let asked = view.ask_all(|shard| shard.db().page(query, after)).await?;
        self.shared.still(view, view.placing.map.home).await?;
        let more = asked.iter().any(|(_, (_, more))| *more);
        let found = asked
            .into_iter()
            .flat_map(|(shard, (found, _))| found.into_iter().map(move |stored| (shard, stored)));
        let mut found = once_each(view, found);
        sort(&mut found, query.order);
        let limit = query.page_links();
        let more = more || found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| position_of(query.order, last).to_cursor());
        let links = found.into_iter().map(|stored| stored.link).collect();
        Ok(Page { links, next })
    }
}

/// A link that is on two shards, because it is being moved, or was met twice, counts once: as it is where it
/// belongs.
pub(super) fn once_each(view: &View, found: impl Iterator<Item = (u16, Stored)>) -> Vec<Stored> {
    if !view.placing.is_moving() {
        return found.map(|(_, stored)| stored).collect();
    }
    let mut known: HashMap<LinkKey, (bool, Stored)> = HashMap::new();
    for (shard, stored) in found {
        let belongs = view.place(&stored.link.key).at == shard;
        let before = known.get(&stored.link.key);
        if before.is_none_or(|(belonged, _)| belongs || !belonged) {
            known.insert(stored.link.key.clone(), (belongs, stored));
        }
    }
    known.into_values().map(|(_, stored)| stored).collect()
}

fn sort(found: &mut [Stored], order: ListOrder) {
    match order {
        ListOrder::CreatedAscending | ListOrder::CreatedDescending => {
            found.sort_by_key(|one| (one.link.created_at, one.id));
        }
        ListOrder::CodeAscending | ListOrder::CodeDescending => found.sort_by(|one, other| {
            let (one, other) = (&one.link.key, &other.link.key);
            (&one.code, &one.domain).cmp(&(&other.code, &other.domain))
        }),
    }
    if matches!(
        order,
        ListOrder::CreatedDescending | ListOrder::CodeDescending
    ) {
        found.reverse();
    }
}

//! Founding a store of several shards: on empty databases, or on one with links and empty ones.

use std::sync::Arc;

use super::error::ShardError;
use super::map::{Member, ShardMap};
use super::view::Listed;
use crate::store::StoreError;
use crate::store::postgres::shard::{Fresh, MAX_SHARDS, Setup};

/// Makes databases shards that are none yet. Several instances may do it at once: one of them does it, the
/// others wait. Links stay where they are: if one database has some, it alone is a shard at first.
pub(super) async fn found(listed: &[Arc<Listed>]) -> Result<(), ShardError> {
    if listed.len() >= usize::from(MAX_SHARDS) {
        return Err(ShardError::TooMany);
    }
    let mut order: Vec<usize> = (0..listed.len()).collect();
    // The same everywhere, whatever the order of the list, so that two who do it do not wait for each
    // other.
    order.sort_by_key(|&at| listed[at].db.place());
    let mut setups: Vec<Option<(Setup<'_>, Fresh)>> = listed.iter().map(|_| None).collect();
    for at in order {
        let mut setup = listed[at].db.begin_setup().await?;
        let fresh = setup.look().await?;
        setups[at] = Some((setup, fresh));
    }
    let mut setups: Vec<(Setup<'_>, Fresh)> = setups.into_iter().flatten().collect();
    if setups.iter().any(|(_, fresh)| is_home(fresh)) {
        // Somebody else was faster.
        return Ok(());
    }
    let with_links: Vec<usize> = (0..setups.len())
        .filter(|&at| setups[at].1.has_links)
        .collect();
    let place = |at: usize| listed[at].db.place().to_owned();
    let shards: Vec<usize> = match with_links.as_slice() {
        [] => (0..setups.len()).collect(),
        [one] => vec![*one],
        [one, other, ..] => {
            return Err(ShardError::SeveralHaveLinks(place(*one), place(*other)));
        }
    };
    let number = |at: usize| at as u16 + 1;
    let members = shards.iter().map(|&at| Member {
        number: number(at),
        weight: listed[at].db.weight,
    });
    let members: Vec<Member> = members.filter(|member| member.weight > 0).collect();
    let Some(home) = members.first().map(|member| member.number) else {
        return Err(ShardError::None);
    };
    let map = ShardMap {
        store: name_of_store()?,
        version: 1,
        home,
        last_number: number(listed.len() - 1),
        shards: members,
        next: None,
    };
    let from = setups.iter().map(|(_, fresh)| fresh.last_id).max();
    let from = from.unwrap_or_default();
    let is_member = |at: usize| map.members().contains(&number(at));
    // The home last: until it is one, the others are none that anybody may write to, and all begins anew.
    let mut last = None;
    for (at, (mut setup, _)) in setups.drain(..).enumerate() {
        if !is_member(at) {
            continue;
        }
        if number(at) == home {
            setup.make(home, &map, map.version, from).await?;
            setup.make_home(home, from).await?;
            last = Some(setup);
        } else {
            setup.forget_feed().await?;
            setup.make(number(at), &map, 0, from).await?;
            setup.commit().await?;
        }
    }
    if let Some(home) = last {
        home.commit().await?;
    }
    Ok(())
}

/// Whether a database is the home of a store, whose founding is complete then.
fn is_home(fresh: &Fresh) -> bool {
    fresh
        .row
        .as_ref()
        .is_some_and(|row| row.number == row.map.home)
}

/// Tells stores apart, for good.
fn name_of_store() -> Result<String, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Unexpected(format!("no randomness: {error}")))?;
    Ok(base16ct::lower::encode_string(&bytes))
}

//! Which shards there are, and on which of them a link is. The map is stored on every shard; what is
//! decided by it is decided the same way everywhere.

use serde::{Deserialize, Serialize};
use tollgate_ring::{Ring, RingError};

use crate::LinkKey;

/// A shard, as the map names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::store) struct Member {
    /// Its number, which it keeps for good, and no other ever has.
    pub(in crate::store) number: u16,
    /// How much of the links it has.
    pub(in crate::store) weight: u32,
}

/// The shards of a store, as they are and, while links move, as they shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct ShardMap {
    /// Tells these shards from those of another store.
    pub(in crate::store) store: String,
    /// One more with each change. Writers by another one are refused.
    pub(in crate::store) version: u64,
    /// The shard with what there is only once: counters, pool, the journal.
    pub(in crate::store) home: u16,
    /// The highest number given to a shard.
    pub(in crate::store) last_number: u16,
    /// Where links are, or were before they moved.
    pub(in crate::store) shards: Vec<Member>,
    /// Where they move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) next: Option<Vec<Member>>,
}

/// Where a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Place {
    /// The shard that has it, or gets it.
    pub(in crate::store) at: u16,
    /// Where it may be still, while links move.
    pub(in crate::store) before: Option<u16>,
}

/// A map, ready to be asked.
pub(in crate::store) struct Placing {
    pub(in crate::store) map: ShardMap,
    rings: (Ring, Option<Ring>),
}

impl ShardMap {
    /// The numbers of all shards that may have links, or have to be asked.
    pub(in crate::store) fn members(&self) -> Vec<u16> {
        let next = self.next.iter().flatten();
        let mut numbers: Vec<u16> = self
            .shards
            .iter()
            .chain(next)
            .map(|member| member.number)
            .chain([self.home])
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

impl Placing {
    pub(in crate::store) fn new(map: ShardMap) -> Result<Self, RingError> {
        let rings = (
            ring(&map.shards)?,
            map.next.as_deref().map(ring).transpose()?,
        );
        Ok(Self { map, rings })
    }

    pub(in crate::store) fn place(&self, key: &LinkKey) -> Place {
        let name = [
            key.domain.as_str().as_bytes(),
            b"/",
            key.code.as_str().as_bytes(),
        ]
        .concat();
        let was = number(self.rings.0.node(&name));
        let is = self
            .rings
            .1
            .as_ref()
            .map_or(was, |ring| number(ring.node(&name)));
        Place {
            at: is,
            before: (was != is).then_some(was),
        }
    }

    /// Whether links move.
    pub(in crate::store) const fn is_moving(&self) -> bool {
        self.map.next.is_some()
    }
}

/// The name of a shard.
pub(in crate::store) fn name(number: u16) -> String {
    format!("s{number}")
}

fn ring(members: &[Member]) -> Result<Ring, RingError> {
    Ring::new(
        members
            .iter()
            .map(|member| (name(member.number), member.weight)),
    )
}

/// Reads [`name`], which is all that is ever on a ring.
fn number(name: &str) -> u16 {
    name[1..].parse().unwrap_or_default()
}

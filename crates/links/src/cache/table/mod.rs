//! What the cache remembers, in little memory: records of [bytes](record), not objects with pointers.
//!
//! Shards of it are locked apart. Whoever asks locks one for the time of a look; answers are copied out of it.

mod log;
mod record;
mod shard;
#[cfg(test)]
mod tests;
mod traces;

use std::hash::{BuildHasher, Hasher as _};
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::RwLock;

pub(super) use self::record::Times;
use self::shard::{MOST_BYTES, Shard};
use crate::{CachedLink, Link};

type Hasher = foldhash::fast::RandomState;

/// Shards of a large cache, unless one of them would be too large to address.
const SHARDS: u64 = 64;
/// A smaller one has fewer.
const SHARD_BYTES: u64 = 1 << 20;
/// Segments of a shard.
const SEGMENTS: u64 = 64;
/// A segment takes the longest target.
const LEAST_SEGMENT: u64 = 16 << 10;
const MOST_SEGMENT: u64 = 64 << 10;

/// See the module.
pub(super) struct Table {
    hasher: Hasher,
    shards: Box<[CachePadded<RwLock<Shard>>]>,
}

/// What is remembered about a name.
pub(super) struct Kept {
    pub(super) times: Times,
    /// The link; `None` if there is none of this name.
    pub(super) link: Option<CachedLink>,
}

/// A name, and its hash.
struct Name<'a> {
    domain: &'a str,
    code: &'a str,
    hash: u64,
}

impl Table {
    /// An empty one that will never take more than about so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        let wanted = (max_bytes / SHARD_BYTES).clamp(1, SHARDS);
        let needed = max_bytes.div_ceil(MOST_BYTES / 2);
        // A power of two, and not more of them than wanted, unless they are needed.
        let shards = (1 << wanted.ilog2()).max(needed.next_power_of_two());
        let shard_bytes = max_bytes / shards;
        let segment = (shard_bytes / SEGMENTS).clamp(LEAST_SEGMENT, MOST_SEGMENT);
        let segment = 1_usize << segment.ilog2();
        let hasher = Hasher::default();
        let shard = |_| {
            let shard = Shard::new(hasher.clone(), shard_bytes as usize, segment);
            CachePadded::new(RwLock::new(shard))
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher,
        }
    }

    /// What is remembered about a name; it counts as asked for.
    pub(super) fn get(&self, domain: &str, code: &str) -> Option<Kept> {
        let name = self.name(domain, code);
        self.shard(&name).read().get(&name)
    }

    /// Remembers a link or its absence. What does not fit is not remembered, and neither is what was known before.
    pub(super) fn keep(&self, domain: &str, code: &str, times: Times, link: Option<&Arc<Link>>) {
        let name = self.name(domain, code);
        self.shard(&name).write().keep(&name, times, link);
    }

    pub(super) fn forget(&self, domain: &str, code: &str) {
        let name = self.name(domain, code);
        self.shard(&name).write().forget(&name);
    }

    /// Forgets everything. A record that is kept meanwhile may stay or not.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.write().clear();
        }
    }

    /// True for one who asks, until the name is kept anew or [given back](Self::unclaim).
    pub(super) fn claim(&self, domain: &str, code: &str) -> bool {
        let name = self.name(domain, code);
        self.shard(&name).read().claim(&name)
    }

    pub(super) fn unclaim(&self, domain: &str, code: &str) {
        let name = self.name(domain, code);
        self.shard(&name).read().unclaim(&name);
    }

    /// Records, and the bytes of everything.
    pub(super) fn size(&self) -> (u64, u64) {
        let sizes = self.shards.iter().map(|shard| {
            let shard = shard.read();
            (shard.entries() as u64, shard.bytes() as u64)
        });
        sizes.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn name<'a>(&self, domain: &'a str, code: &'a str) -> Name<'a> {
        let hash = hash_of(&self.hasher, domain.as_bytes(), code.as_bytes());
        Name { domain, code, hash }
    }

    fn shard(&self, name: &Name<'_>) -> &RwLock<Shard> {
        // The index of a shard takes the bits at both ends.
        let bits = (name.hash >> 32) as usize;
        &self.shards[bits & (self.shards.len() - 1)]
    }
}

fn hash_of(hasher: &Hasher, domain: &[u8], code: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(domain);
    // In no text, so that no part of one runs into the other.
    state.write_u8(0xff);
    state.write(code);
    state.finish()
}

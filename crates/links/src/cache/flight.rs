//! Store reads under way, at most one for each link that counts.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::{Loaded, Lookup};
use crate::LinkKey;
use crate::store::StoreError;

/// Locks the reads are spread over.
const SHARDS: usize = 16;

/// What a read brought.
pub(super) type Outcome = Result<Loaded, StoreError>;

/// Where an outcome arrives; closed without one if the read was dropped.
pub(super) type Waiting = watch::Receiver<Option<Outcome>>;

type Shard = HashMap<LinkKey, Flight>;

/// All reads under way. What is done under the lock of a read is seen as one step by joining,
/// landing and disowning.
pub(super) struct Flights {
    // Blocking mutexes, because nothing awaits while one is held.
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    last_id: AtomicU64,
}

struct Flight {
    id: u64,
    waiting: Waiting,
}

/// What joining a read leads to.
pub(super) enum Joined {
    /// It had ended just before.
    Landed(Lookup),
    /// Another's read is under way.
    Follow(Waiting),
    /// There was none: the caller has to start it.
    Lead(Ticket, Waiting),
}

/// The duty to read. Dropping it tells those who wait that nothing comes.
pub(super) struct Ticket {
    flights: Arc<Flights>,
    key: LinkKey,
    id: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            last_id: AtomicU64::new(0),
        }
    }

    /// Joins the read of this link, or begins one unless `landed` has an answer already.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &LinkKey,
        landed: impl FnOnce() -> Option<Lookup>,
    ) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key) {
            return Joined::Follow(flight.waiting.clone());
        }
        // Under the lock, so that no read can land between the question and the new flight.
        if let Some(lookup) = landed() {
            return Joined::Landed(lookup);
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let (outcome, waiting) = watch::channel(None);
        let flight = Flight {
            id,
            waiting: waiting.clone(),
        };
        shard.insert(key.clone(), flight);
        let ticket = Ticket {
            flights: Arc::clone(self),
            key: key.clone(),
            id,
            outcome,
        };
        Joined::Lead(ticket, waiting)
    }

    /// Makes the read under way count for nothing but those who wait for it already, and does
    /// `also` in the same step.
    pub(super) fn disown(&self, key: &LinkKey, also: impl FnOnce()) {
        let mut shard = self.shard(key);
        shard.remove(key);
        also();
    }

    /// Disowns every read.
    pub(super) fn disown_all(&self, also: impl FnOnce()) {
        // Always in the same order, so that two callers cannot hold one each and wait for ever.
        let mut shards: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        for shard in &mut shards {
            shard.clear();
        }
        also();
    }

    fn shard(&self, key: &LinkKey) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock()
    }

    /// Ends a flight; returns the lock still held if it was not disowned.
    fn remove(&self, key: &LinkKey, id: u64) -> Option<MutexGuard<'_, Shard>> {
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|flight| flight.id == id) {
            shard.remove(key);
            return Some(shard);
        }
        None
    }
}

impl Ticket {
    pub(super) fn key(&self) -> &LinkKey {
        &self.key
    }

    /// Ends the flight: keeps the outcome, unless it was disowned, and tells those who wait.
    pub(super) fn land(self, outcome: Outcome, keep: impl FnOnce(&LinkKey, &Outcome)) {
        if let Some(_step) = self.flights.remove(&self.key, self.id) {
            keep(&self.key, &outcome);
        }
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // After landing there is nothing left to remove.
        drop(self.flights.remove(&self.key, self.id));
    }
}

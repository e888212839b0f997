//! One request that is charged to several keys: all or none.

use parking_lot::MutexGuard;
use spin::mutex::SpinMutexGuard;

use super::MemoryStore;
use super::cell::KeyHash;
use super::overflow::Overflow;
use super::shard::Shard;
use super::table::Place;
use crate::store::Charge;
use crate::{Decision, Limiter, LimiterState, Moment, Shaped};

/// Whose state a charge steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Key(KeyHash),
    /// No place for the key: what all keys of its limiter share.
    Shared(Limiter),
}

/// A copy of a state, stepped by all charges that have the same owner.
struct Copied {
    owner: Owner,
    limiter: Limiter,
    state: LimiterState,
    /// The last decision that charged it.
    charged: Option<Decision>,
}

/// The shards that a request needs, locked in the order of their numbers, and the cells of its keys, which
/// decisions of one key find without a shard's lock.
struct Locked<'a> {
    shards: Vec<(usize, SpinMutexGuard<'a, Shard>)>,
    cells: Vec<(KeyHash, usize, Place)>,
}

impl<'a> Locked<'a> {
    fn new(store: &'a MemoryStore, hashes: &[KeyHash]) -> Self {
        let mut numbers: Vec<usize> = hashes.iter().map(|hash| store.number(*hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let shards = numbers.into_iter().map(|n| (n, store.shard(n)));
        Self {
            shards: shards.collect(),
            cells: Vec::with_capacity(hashes.len()),
        }
    }

    fn shard(&mut self, number: usize) -> Option<&mut Shard> {
        let at = self.shards.binary_search_by_key(&number, |(n, _)| *n);
        Some(&mut self.shards[at.ok()?].1)
    }

    /// The shard and the place of a key whose cell is locked.
    fn cell(&mut self, hash: KeyHash) -> Option<(&mut Shard, Place)> {
        let (_, number, at) = *self.cells.iter().find(|(of, ..)| *of == hash)?;
        Some((self.shard(number)?, at))
    }

    /// Locks the cell of a key; false if it has none.
    fn lock(&mut self, hash: KeyHash, number: usize, limiter: &Limiter) -> bool {
        if self.cell(hash).is_some() {
            return true;
        }
        let Some(shard) = self.shard(number) else {
            return false;
        };
        let Some(at) = shard.find(hash, limiter) else {
            return false;
        };
        shard.hold(at);
        self.cells.push((hash, number, at));
        true
    }

    /// As [`cell`](Self::cell), for who lets it go.
    fn take_cell(&mut self, hash: KeyHash) -> Option<(&mut Shard, Place)> {
        let found = self.cells.iter().position(|(of, ..)| *of == hash)?;
        let (_, number, at) = self.cells.swap_remove(found);
        Some((self.shard(number)?, at))
    }

    fn let_cells_go(&mut self) {
        for (_, number, at) in std::mem::take(&mut self.cells) {
            if let Some(shard) = self.shard(number) {
                shard.let_go(at);
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.let_cells_go();
    }
}

/// See [`LimitStore::decide`](crate::store::LimitStore::decide).
pub(super) fn decide(store: &MemoryStore, charges: &[Charge]) -> Vec<Shaped> {
    let hashes: Vec<KeyHash> = charges
        .iter()
        .map(|charge| store.hash(charge.key.as_bytes()))
        .collect();
    let now = store.time.now();
    let mut locked = Locked::new(store, &hashes);
    // One moment for all of them, not before that of any decision they follow.
    let turned = locked.shards.iter_mut().map(|(_, shard)| shard.turn(now));
    let now = turned.max().unwrap_or(now);
    for (_, shard) in &mut locked.shards {
        shard.turn(now);
    }
    Request {
        store,
        charges,
        hashes,
        locked,
        overflow: None,
        copies: Vec::with_capacity(charges.len()),
        now,
    }
    .decide()
}

struct Request<'a> {
    store: &'a MemoryStore,
    charges: &'a [Charge],
    hashes: Vec<KeyHash>,
    locked: Locked<'a>,
    /// Locked after the shards, once it is needed, and until the end.
    overflow: Option<MutexGuard<'a, Overflow>>,
    copies: Vec<Copied>,
    now: Moment,
}

impl Request<'_> {
    fn overflow(&mut self) -> &mut Overflow {
        self.overflow
            .get_or_insert_with(|| self.store.overflow.lock())
    }

    fn decide(mut self) -> Vec<Shaped> {
        let owners: Vec<Owner> = (0..self.charges.len()).map(|at| self.owner(at)).collect();
        let mut answers = vec![None; self.charges.len()];
        // Those that bind first: the others get the room that these leave.
        for binds in [true, false] {
            for (at, charge) in self.charges.iter().enumerate() {
                if charge.binds == binds {
                    answers[at] = Some(self.step(owners[at], charge));
                }
            }
        }
        let answers: Vec<Shaped> = answers.into_iter().flatten().collect();
        let passes =
            |(charge, answer): (&Charge, &Shaped)| !charge.binds || answer.decision.allowed();
        let all_pass = self.charges.iter().zip(&answers).all(passes);
        let answers = if all_pass {
            self.commit();
            answers
        } else {
            self.without_charges(&owners, answers)
        };
        self.locked.let_cells_go();
        self.note_refusals(&owners, &answers);
        answers
    }

    /// Whose state this charge steps, as far as is known before anything is charged.
    fn owner(&mut self, at: usize) -> Owner {
        let (hash, now) = (self.hashes[at], self.now);
        let limiter = &self.charges[at].limiter;
        let number = self.store.number(hash);
        let has_place = self.locked.lock(hash, number, limiter);
        let mut has_room = || {
            let shard = self.locked.shard(number);
            shard.is_none_or(|shard| shard.has_room(hash, limiter, now))
        };
        if has_place || has_room() {
            Owner::Key(hash)
        } else {
            Owner::Shared(*limiter)
        }
    }

    /// The state that is kept now.
    fn load(&mut self, owner: Owner) -> LimiterState {
        match owner {
            Owner::Shared(limiter) => self.overflow().load(&limiter),
            Owner::Key(hash) => {
                let kept = self.locked.cell(hash);
                kept.map_or(LimiterState::New, |(shard, at)| shard.load_held(at))
            }
        }
    }

    /// Steps the copy.
    fn step(&mut self, owner: Owner, charge: &Charge) -> Shaped {
        let at = match self.copies.iter().position(|copy| copy.owner == owner) {
            Some(at) => at,
            None => {
                let state = self.load(owner);
                self.copies.push(Copied {
                    owner,
                    limiter: charge.limiter,
                    state,
                    charged: None,
                });
                self.copies.len() - 1
            }
        };
        let copy = &mut self.copies[at];
        let shaped = charge.limiter.shape(&mut copy.state, self.now, charge.cost);
        if shaped.decision.charges(charge.cost) {
            copy.charged = Some(shaped.decision);
            copy.limiter = charge.limiter;
        }
        shaped
    }

    /// A key that refuses is busy, and not to be evicted.
    fn note_refusals(&mut self, owners: &[Owner], answers: &[Shaped]) {
        for ((owner, answer), charge) in owners.iter().zip(answers).zip(self.charges) {
            if let Owner::Key(hash) = owner
                && answer.decision.retry_after().is_some()
                && let Some(shard) = self.locked.shard(self.store.number(*hash))
                && let Some(at) = shard.find(*hash, &charge.limiter)
            {
                shard.refused(at);
            }
        }
    }

    /// Keeps the copies that were charged: first those of keys that have a place, for a new one may take it.
    fn commit(&mut self) {
        let now = self.now;
        let mut new = Vec::new();
        for copy in std::mem::take(&mut self.copies) {
            let Some(decision) = copy.charged else {
                continue;
            };
            match copy.owner {
                Owner::Shared(limiter) => {
                    let reset_after = decision.reset_after();
                    self.overflow()
                        .store(&limiter, copy.state, reset_after, now);
                }
                Owner::Key(hash) => match self.locked.take_cell(hash) {
                    Some((shard, at)) => {
                        shard.keep_held(at, copy.state.into_packed(), &decision, now);
                    }
                    None => new.push((hash, copy, decision)),
                },
            }
        }
        self.locked.let_cells_go();
        for (hash, copy, decision) in new {
            let state = copy.state.into_packed();
            let shard = self.locked.shard(self.store.number(hash));
            if shard.is_some_and(|shard| !shard.add(hash, state, &decision, now)) {
                // Another new key took the last place: charge what can be.
                let used = decision.limit() - decision.remaining().min(decision.limit());
                let _ = self.overflow().shape(&copy.limiter, now, used);
            }
        }
    }

    /// The verdicts as they are, with what remains when nothing is charged.
    fn without_charges(&mut self, owners: &[Owner], mut answers: Vec<Shaped>) -> Vec<Shaped> {
        for (at, answer) in answers.iter_mut().enumerate() {
            let limiter = &self.charges[at].limiter;
            let mut kept = self.load(owners[at]);
            let peek = limiter.shape(&mut kept, self.now, 0);
            answer.decision = Decision::new(
                answer.decision.verdict(),
                answer.decision.limit(),
                peek.decision.remaining(),
                peek.decision.reset_after(),
            );
        }
        answers
    }
}

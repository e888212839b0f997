//! One request that is charged to several keys: all or none.

use parking_lot::MutexGuard;
use spin::mutex::SpinMutexGuard;

use super::MemoryStore;
use super::cell::KeyHash;
use super::overflow::Overflow;
use super::shard::Shard;
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

/// The shards that a request needs, locked in the order of their numbers.
struct Locked<'a> {
    shards: Vec<(usize, SpinMutexGuard<'a, Shard>)>,
}

impl<'a> Locked<'a> {
    fn new(store: &'a MemoryStore, hashes: &[KeyHash]) -> Self {
        let mut numbers: Vec<usize> = hashes.iter().map(|hash| store.number(*hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let shards = numbers.into_iter().map(|n| (n, store.shard(n)));
        Self {
            shards: shards.collect(),
        }
    }

    fn shard(&mut self, number: usize) -> Option<&mut Shard> {
        let at = self.shards.binary_search_by_key(&number, |(n, _)| *n);
        Some(&mut self.shards[at.ok()?].1)
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
        if all_pass {
            self.commit();
        }
        self.note_refusals(&owners, &answers);
        if all_pass {
            answers
        } else {
            self.without_charges(&owners, answers)
        }
    }

    /// Whose state this charge steps, as far as is known before anything is charged.
    fn owner(&mut self, at: usize) -> Owner {
        let (hash, now) = (self.hashes[at], self.now);
        let limiter = &self.charges[at].limiter;
        let room = self
            .locked
            .shard(self.store.number(hash))
            .is_none_or(|shard| {
                shard.find(hash, limiter).is_some() || shard.has_room(hash, limiter, now)
            });
        if room {
            Owner::Key(hash)
        } else {
            Owner::Shared(*limiter)
        }
    }

    /// The state that is kept now.
    fn load(&mut self, owner: Owner, limiter: &Limiter) -> LimiterState {
        match owner {
            Owner::Shared(limiter) => self.overflow().load(&limiter),
            Owner::Key(hash) => {
                let number = self.store.number(hash);
                let found = self.locked.shard(number).and_then(|shard| {
                    let at = shard.find(hash, limiter)?;
                    Some(shard.load(at))
                });
                found.unwrap_or_default()
            }
        }
    }

    /// Steps the copy.
    fn step(&mut self, owner: Owner, charge: &Charge) -> Shaped {
        let at = match self.copies.iter().position(|copy| copy.owner == owner) {
            Some(at) => at,
            None => {
                let state = self.load(owner, &charge.limiter);
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
        if charge.cost > 0 && shaped.decision.allowed() {
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

    /// Keeps the copies that were charged.
    fn commit(&mut self) {
        let now = self.now;
        for copy in std::mem::take(&mut self.copies) {
            let Some(decision) = copy.charged else {
                continue;
            };
            let hash = match copy.owner {
                Owner::Key(hash) => hash,
                Owner::Shared(limiter) => {
                    let reset_after = decision.reset_after();
                    self.overflow()
                        .store(&limiter, copy.state, reset_after, now);
                    continue;
                }
            };
            let Some(shard) = self.locked.shard(self.store.number(hash)) else {
                continue;
            };
            let state = copy.state.into_packed();
            if let Some(at) = shard.find(hash, &copy.limiter) {
                shard.keep(at, state, &decision, now);
            } else if !shard.add(hash, state, &decision, now) {
                // Another new key of this request took the last place: charge what can be.
                let used = decision.limit() - decision.remaining().min(decision.limit());
                let _ = self.overflow().shape(&copy.limiter, now, used);
            }
        }
    }

    /// The verdicts as they are, with what remains when nothing is charged.
    fn without_charges(&mut self, owners: &[Owner], mut answers: Vec<Shaped>) -> Vec<Shaped> {
        for (at, answer) in answers.iter_mut().enumerate() {
            let limiter = &self.charges[at].limiter;
            let mut kept = self.load(owners[at], limiter);
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

//! Tokens taken ahead from a store that is shared: see [`Leased`].

mod hand;
mod purse;
mod stats;

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tollgate_clock::Clock;

use self::hand::Hand;
use self::purse::{Lease, Purse};
use self::stats::Counters;
pub use self::stats::LeaseStats;
use super::{Charge, LimitKey, LimitStore, Refund, StoreError};
use crate::{Limiter, Shaped};

const SHARDS: usize = 64;
/// More keys than this are not told apart as busy or not: the rest is decided by the store.
const MOST_KEYS_IN_SHARD: usize = 512;
/// So many keys are asked about at once.
const BATCH: usize = 16;

/// How large leases are, and how long they last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How long a lease is to last: it has as many tokens as were used in such a time.
    pub aim: Duration,
    /// After what time tokens are given back that were not used.
    pub life: Duration,
    /// An instance holds at most one in so many tokens of a limit.
    pub share: u64,
}

impl LeaseOptions {
    pub(crate) const DEFAULT: Self = Self {
        aim: Duration::from_millis(50),
        life: Duration::from_millis(250),
        share: 16,
    };
}

impl Default for LeaseOptions {
    /// For 50 ms, at most 250 ms, a sixteenth of the limit.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Decides busy keys on tokens that it took from a shared store before.
///
/// For charges that are [`leased`](Charge::leased). While a key is busy here, tokens for it are
/// charged in the store ahead of requests, some at once, by [`run`](Self::run) in the background;
/// requests use them up without asking the store. Everything else is decided by the store, and so is
/// what the tokens at hand are not enough for, for the part that is missing.
///
/// - **No more passes in all**: every token is charged in the store, by its clock, before it is
///   used, and given back at most once. What differs is only when it is used: up to
///   [`life`](LeaseOptions::life), `L`, after it was charged. Never more are admitted in an interval
///   than the limit lets through in it, and the tokens that were held at its beginning. So, with a
///   rate of `r` and a burst of `b`, at most `b + r × L + r × t` in any interval of length `t` by
///   GCRA, token bucket and leaky bucket. By fixed windows and sliding counters nothing is admitted
///   that they would not admit: a lease ends with its window.
/// - **Fairness**: an instance holds at most one in [`share`](LeaseOptions::share) tokens of a limit,
///   and no lease takes more than an eighth of what is left. That much others may miss, until it is
///   used or given back: at most `L` later, and as soon as the key was idle for twice
///   [`aim`](LeaseOptions::aim). The last tokens are decided by the store, one by one; so are all of
///   a limit of less than four times `share`.
/// - **Refusals** of the store are remembered until the time that it told, while a key is asked for:
///   until then it would not decide otherwise, unless something is given back.
/// - **Memory** is taken by keys that were asked for in the last tenth of a second, at most 32,768; what
///   comes beyond them is decided by the store.
/// - **What is told** of a request decided here is what the store last said, with the tokens at hand:
///   what others did since is not in it.
/// - **Failure**: leases are used up while the store is away; a lease that is asked for when the store
///   fails may be charged and never arrive, and is then missing until it has drained or its window is
///   over.
///
/// All limits of a request are charged or none, as always. A [`LeakyQueue`](crate::LeakyQueue) is
/// never leased: its delays are places in line.
pub struct Leased<S> {
    store: S,
    options: LeaseOptions,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<LimitKey, Purse>>]>,
    /// Keys that need a lease.
    wanted: Mutex<Vec<LimitKey>>,
    wake: Notify,
    /// Tokens to give back.
    returns: Mutex<Vec<Refund>>,
    closed: AtomicBool,
    counters: Counters,
}

impl<S: LimitStore> Leased<S> {
    /// Leases from `store`, and measures the life of leases by `clock`.
    pub fn new(store: S, options: LeaseOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            options,
            clock,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            wanted: Mutex::default(),
            wake: Notify::new(),
            returns: Mutex::default(),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// The store that it leases from.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// What has become of its tokens. Takes one lock after the other.
    #[must_use]
    pub fn stats(&self) -> LeaseStats {
        let shards = self.shards.iter();
        let held = shards.map(|shard| shard.lock().values().map(Purse::held).sum::<u64>());
        self.counters.read(held.sum())
    }

    /// Takes leases and gives them back until `end`; then gives all of them back. Without it, all is
    /// decided by the store.
    pub async fn run(&self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut ticks = tokio::time::interval(self.options.aim);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // In this order: a key that always wants more does not keep the rest from being given back.
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = ticks.tick() => self.tend().await,
                () = self.wake.notified() => self.refill().await,
            }
        }
        self.close().await;
    }

    /// Takes the leases that are needed now. For who does not [`run`](Self::run) it.
    pub async fn refill(&self) {
        let keys = std::mem::take(&mut *self.wanted.lock());
        let now = self.clock.monotonic();
        let mut asks: HashMap<Vec<u8>, Vec<Charge>> = HashMap::new();
        for key in keys {
            let mut shard = self.shard(&key);
            let Some(purse) = shard.get_mut(&key) else {
                continue;
            };
            if let Some(cost) = purse.asks(now, &self.options) {
                let charge = Charge {
                    limiter: *purse.limiter(),
                    cost,
                    // One that has no room does not keep the others from theirs.
                    binds: false,
                    leased: false,
                    key: key.clone(),
                };
                // Keys of a domain are in one place.
                asks.entry(key.group().to_vec()).or_default().push(charge);
            }
        }
        let batches = asks.values().flat_map(|charges| charges.chunks(BATCH));
        join_all(batches.map(|charges| self.lease(charges))).await;
    }

    async fn lease(&self, charges: &[Charge]) {
        let sent = self.clock.monotonic();
        let answers = self.store.decide(charges).await;
        let answers = answers.as_deref().unwrap_or_default();
        for (at, charge) in charges.iter().enumerate() {
            let answer = answers.get(at);
            let charged = answer.and_then(|answer| {
                Refund::of(std::slice::from_ref(charge), std::slice::from_ref(answer)).pop()
            });
            if let Some(charged) = &charged {
                Counters::add(&self.counters.leases, 1);
                Counters::add(&self.counters.leased, charged.units());
            }
            let closed = self.closed.load(Ordering::SeqCst);
            let mut shard = self.shard(&charge.key);
            let purse = shard.get_mut(&charge.key);
            match (purse.filter(|it| *it.limiter() == charge.limiter), answer) {
                (Some(purse), Some(answer)) if !closed => {
                    purse.leased(sent, charged, answer, &self.options);
                }
                (Some(purse), None) => purse.failed(sent.saturating_add(self.options.aim)),
                // Nobody is there to use it.
                _ => self.returns.lock().extend(charged),
            }
        }
    }

    /// Gives back what has ended and what is not used, and forgets keys that are not busy any more.
    /// For who does not [`run`](Self::run) it.
    pub async fn tend(&self) {
        let now = self.clock.monotonic();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, purse| {
                self.give_up(now, purse.ended(now));
                if purse.is_idle(now, &self.options) {
                    self.give_up(now, purse.emptied());
                }
                !purse.is_worthless(now, &self.options)
            });
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
        self.give_back().await;
    }

    /// Gives everything back. From then on the store decides everything. For who does not
    /// [`run`](Self::run) it.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let now = self.clock.monotonic();
        for shard in &self.shards {
            for purse in shard.lock().values_mut() {
                self.give_up(now, purse.emptied());
            }
        }
        self.give_back().await;
    }

    async fn give_back(&self) {
        let refunds = std::mem::take(&mut *self.returns.lock());
        let mut places: HashMap<Vec<u8>, Vec<Refund>> = HashMap::new();
        for refund in refunds {
            let place = places.entry(refund.key().group().to_vec());
            place.or_default().push(refund);
        }
        let batches = places.values().flat_map(|refunds| refunds.chunks(BATCH));
        join_all(batches.map(async |refunds| {
            let units = refunds.iter().map(Refund::units).sum();
            let counter = match self.store.refund(refunds).await {
                Ok(()) => &self.counters.returned,
                Err(_) => &self.counters.lost,
            };
            Counters::add(counter, units);
        }))
        .await;
    }

    /// Sees to it that leases are given back that nobody can use any more.
    fn give_up(&self, now: Duration, leases: Vec<Lease>) {
        for lease in leases {
            let units = lease.left();
            match lease.into_refund(now) {
                Some(refund) => self.returns.lock().push(refund),
                None => Counters::add(&self.counters.lost, units),
            }
        }
    }

    fn shard(&self, key: &LimitKey) -> MutexGuard<'_, HashMap<LimitKey, Purse>> {
        let hash = self.hasher.hash_one(key);
        self.shards[hash as usize % SHARDS].lock()
    }

    /// Does something with the purse of a key, which has no leases that have ended. A new key gets one
    /// if there is room.
    fn with<T>(
        &self,
        key: &LimitKey,
        limiter: &Limiter,
        now: Duration,
        work: impl FnOnce(&mut Purse) -> T,
    ) -> Option<T> {
        let mut shard = self.shard(key);
        let full = shard.len() >= MOST_KEYS_IN_SHARD;
        let purse = match shard.entry(key.clone()) {
            Entry::Occupied(found) => {
                let purse = found.into_mut();
                if purse.limiter() != limiter {
                    // Another policy is in force.
                    self.give_up(now, purse.emptied());
                    *purse = Purse::new(*limiter);
                }
                purse
            }
            Entry::Vacant(_) if full || self.closed.load(Ordering::SeqCst) => return None,
            Entry::Vacant(vacant) => vacant.insert(Purse::new(*limiter)),
        };
        purse.touch(now);
        let ended = purse.ended(now);
        if !ended.is_empty() {
            self.give_up(now, ended);
        }
        Some(work(purse))
    }

    /// Puts tokens back that a request did not use.
    fn put_back(&self, charge: &Charge, now: Duration, taken: Vec<Lease>) {
        let mut taken = Some(taken);
        self.with(&charge.key, &charge.limiter, now, |purse| {
            purse.put_back(taken.take().into_iter().flatten());
        });
        // Nobody can use them now.
        self.give_up(now, taken.unwrap_or_default());
    }

    /// Asks for a lease in the background.
    fn want(&self, key: &LimitKey) {
        self.wanted.lock().push(key.clone());
        self.wake.notify_one();
    }
}

#[async_trait]
impl<S: LimitStore> LimitStore for Leased<S> {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        if !charges.iter().any(|charge| charge.leased) {
            return self.store.decide(charges).await;
        }
        let mut hand = Hand::take(self, charges);
        if let Some(answers) = hand.decide_alone() {
            Counters::add(&self.counters.local, 1);
            return Ok(answers);
        }
        Counters::add(&self.counters.exact, 1);
        let asks = hand.asks();
        let sent = self.clock.monotonic();
        let answers = self.store.decide(&asks).await?;
        hand.decide_with(sent, answers)
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.store.refund(refunds).await
    }
}

impl<S: fmt::Debug> fmt::Debug for Leased<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("store", &self.store)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

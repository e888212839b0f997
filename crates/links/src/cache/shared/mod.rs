//! The second cache tier: in a Redis, which instances share, between the memory of each and the store.
//!
//! - *One round trip* answers a miss of the memory: it brings the value, or the lock of the entry. The
//!   requests of an instance share one connection.
//! - *One read of the store in the whole fleet*: who has the lock reads, the others wait for the value. A
//!   lock ends by itself, and nobody waits for ever.
//! - *Early refresh*, as in memory, by the clock of Redis.
//! - *No old state comes back*: only who has held the lock since before the store was read may write, and
//!   an edit takes the lock away together with the value. A new link is written by who made it, under a
//!   lock taken before the store was asked.
//! - *Whoever edits tells all*: instances drop the link from their memory. What Redis could not be told is
//!   told later, and until then what it says of that link counts for nothing.
//! - *While Redis is away* the store is asked, as if there were no such tier.
//!
//! - *Copies of the store* may be behind an edit that an instance has not read of yet. What it wrote to Redis
//!   from one, it removes when it reads of the edit, and tells all of it once more.
//!
//! Links with `max_clicks` are not kept here: each click is a commit in the store anyway.

mod led;
mod news;
mod owed;
mod script;
mod value;
mod write_through;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tollgate_clock::Clock;
pub use tollgate_redis::RedisUrlError;
use tollgate_redis::{Breaker, BreakerOptions, BreakerStats};

use self::led::Led;
use self::owed::Owed;
use self::script::{Found, Script, Server, Token};
pub use self::write_through::WriteThrough;
use super::counters::Counter;
use super::dice::Dice;
use super::{LinkCache, LinkSource, Loaded, Tier};
use crate::store::{LinkCopy, LinkStore, StoreError};
use crate::{Link, LinkKey};

/// How often who waits for the value of another looks for it, at first and later.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_LATER: Duration = Duration::from_millis(50);
/// Calls of one batch that are under way at once: the last one shall not have waited for long.
const AT_ONCE: usize = 64;
/// How often what Redis could not be told is tried again.
const SETTLE_EVERY: Duration = Duration::from_millis(250);
/// A connection on which no news come for so long is asked whether it still stands.
const SILENCE: Duration = Duration::from_secs(2);
/// Between two tries to listen.
const LISTEN_AGAIN: Duration = Duration::from_millis(250);

/// How a [`SharedCache`] uses its Redis.
#[derive(Debug, Clone)]
pub struct SharedCacheOptions {
    /// What all keys, and the channel, begin with. Instances with the same prefix share their entries. No
    /// braces.
    pub prefix: String,
    /// How long an entry lasts, counted from the read of the store. Entries get 90 to 100 % of it.
    pub ttl: Duration,
    /// How long the absence of a link is kept.
    pub negative_ttl: Duration,
    /// XFetch's beta: above 1 refreshes earlier, 0 never early.
    pub early_refresh: f64,
    /// How long one call may take, connecting included.
    pub deadline: Duration,
    /// How long a lock lasts whose holder is gone: longer than a read of the store takes.
    pub lock: Duration,
    /// How long an instance waits for the read of another before it reads by itself.
    pub patience: Duration,
    /// When it counts as away.
    pub breaker: BreakerOptions,
    /// Seeds jitter, early refreshes, and the tokens by which instances tell each other's locks apart:
    /// another one in each process.
    pub seed: u64,
}

impl SharedCacheOptions {
    /// Prefix `tollgate:`, entries of an hour, their absence for five seconds, calls of at most 50 ms, locks of
    /// three seconds for which others wait a second.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            prefix: "tollgate:".to_owned(),
            ttl: Duration::from_secs(3_600),
            negative_ttl: Duration::from_secs(5),
            early_refresh: 1.0,
            deadline: Duration::from_millis(50),
            lock: Duration::from_secs(3),
            patience: Duration::from_secs(1),
            breaker: BreakerOptions::default(),
            seed,
        }
    }
}

/// Counters since start, for metrics. All but the first two only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedCacheStats {
    /// Whether news of other instances arrive.
    pub listening: bool,
    /// Links that Redis could not be told to forget yet.
    pub owed: u64,
    /// Reads that Redis answered.
    pub hits: u64,
    /// Reads that it did not answer, so that this instance read the store for all.
    pub misses: u64,
    /// Reads that waited for the lock of another instance.
    pub waits: u64,
    /// Those among them that waited in vain.
    pub waits_in_vain: u64,
    /// Refreshes of entries before their end.
    pub early_refreshes: u64,
    /// Reads of the store, for whatever reason.
    pub store_reads: u64,
    /// Values written.
    pub writes: u64,
    /// Values that were not written, because the link was edited meanwhile, or the lock had ended.
    pub writes_refused: u64,
    /// Links that Redis was told to forget.
    pub forgotten: u64,
    /// News from other instances.
    pub news: u64,
    /// Values that another version of the program has written, or nobody.
    pub unreadable: u64,
    /// Whether Redis is asked, and what became of the calls.
    pub breaker: BreakerStats,
}

#[derive(Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    waits: Counter,
    waits_in_vain: Counter,
    early_refreshes: Counter,
    store_reads: Counter,
    writes: Counter,
    writes_refused: Counter,
    forgotten: Counter,
    news: Counter,
    unreadable: Counter,
}

/// A cache of links in a Redis that instances share, in front of a store.
pub struct SharedCache {
    /// For refreshes, which go on when nobody waits for them.
    me: Weak<Self>,
    store: Arc<dyn LinkStore>,
    script: Script,
    options: SharedCacheOptions,
    clock: Arc<dyn Clock>,
    dice: Dice,
    /// By which its own news are known.
    name: u64,
    owed: Owed,
    led: Led,
    listening: AtomicBool,
    counters: Counters,
}

impl SharedCache {
    /// A cache at `url`, which is one of those that [`tollgate_redis::Client`] takes, in front of `store`.
    /// [`run`](Self::run) has to go on beside it.
    ///
    /// Tries to connect, and logs if it cannot: a Redis that is away is no error, as it may come.
    ///
    /// # Errors
    /// [`RedisUrlError`], if the URL is none of these.
    pub async fn connect(
        url: &str,
        options: SharedCacheOptions,
        store: Arc<dyn LinkStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, RedisUrlError> {
        let shared = Self::over(script::redis(url)?, options, store, clock);
        if let Err(error) = shared.script.ready().await {
            tracing::warn!(%error, "links are not shared in Redis until it can be reached");
        }
        Ok(shared)
    }

    fn over(
        server: Box<dyn Server>,
        options: SharedCacheOptions,
        store: Arc<dyn LinkStore>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let breaker = Breaker::new(
            "the shared cache of links",
            options.breaker,
            Arc::clone(&clock),
        );
        let script = Script::new(server, &options, breaker);
        let dice = Dice::new(options.seed);
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            store,
            script,
            options,
            clock,
            name: dice.bits(),
            dice,
            owed: Owed::default(),
            led: Led::default(),
            listening: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> SharedCacheStats {
        let counters = &self.counters;
        SharedCacheStats {
            listening: self.listening.load(Ordering::Relaxed),
            owed: self.owed.count() as u64,
            hits: counters.hits.read(),
            misses: counters.misses.read(),
            waits: counters.waits.read(),
            waits_in_vain: counters.waits_in_vain.read(),
            early_refreshes: counters.early_refreshes.read(),
            store_reads: counters.store_reads.read(),
            writes: counters.writes.read(),
            writes_refused: counters.writes_refused.read(),
            forgotten: counters.forgotten.read(),
            news: counters.news.read(),
            unreadable: counters.unreadable.read(),
            breaker: self.script.breaker().stats(),
        }
    }

    /// Drops from `cache` what other instances tell of, and tells Redis what it could not be told, until
    /// `end`.
    pub async fn run(&self, cache: &LinkCache, end: impl Future<Output = ()>) {
        tokio::select! {
            // As only the end ends, the order is nobody's disadvantage.
            biased;
            () = end => {}
            () = self.listen(cache) => {}
            () = self.settle(cache) => {}
        }
        self.listening.store(false, Ordering::Relaxed);
    }

    /// Without end.
    async fn listen(&self, cache: &LinkCache) {
        let mut told = false;
        loop {
            let error = match self.script.subscribe().await {
                Ok(mut news) => {
                    self.listening.store(true, Ordering::Relaxed);
                    if std::mem::take(&mut told) {
                        tracing::info!("news of links arrive again");
                    }
                    loop {
                        match news.next(SILENCE).await {
                            Ok(message) => self.hear(cache, &message),
                            Err(error) => break error,
                        }
                    }
                }
                Err(error) => error,
            };
            // What was lost meanwhile is in the feed of the store.
            self.listening.store(false, Ordering::Relaxed);
            self.owed.shake();
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "news of links do not arrive: edits are learnt of from the store");
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    fn hear(&self, cache: &LinkCache, message: &[u8]) {
        if let Some((from, key)) = news::decode(message)
            && from != self.name
        {
            self.counters.news.add();
            self.store.heard_of(std::slice::from_ref(&key));
            cache.invalidate(&key);
        }
    }

    /// Without end.
    async fn settle(&self, cache: &LinkCache) {
        let mut ticks = interval(SETTLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for batch in self.owed.due(self.now()).chunks(AT_ONCE) {
                if !self.tell(batch, true).await {
                    break;
                }
                // What was read of them meanwhile may have been old.
                for key in batch {
                    cache.invalidate(key);
                }
            }
        }
    }

    /// Removes entries from Redis; whether all are removed. The others are owed.
    async fn tell(&self, keys: &[LinkKey], others: bool) -> bool {
        let told = in_batches(keys, |key| self.tell_of(key, others)).await;
        told.into_iter().all(|told| told)
    }

    async fn tell_of(&self, key: &LinkKey, others: bool) -> bool {
        let begun = self.owed.begin();
        let message = others.then(|| news::encode(self.name, key));
        match self.script.forget(key, message.as_deref()).await {
            Ok(()) => {
                self.counters.forgotten.add();
                self.owed.told(key, begun, self.now());
                true
            }
            Err(_) => {
                self.owed.owe(key.clone(), self.now(), self.longest());
                self.owed.shake();
                false
            }
        }
    }

    /// What is in Redis by now has ended after this.
    fn longest(&self) -> Duration {
        self.options.ttl.max(self.options.negative_ttl)
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn token(&self) -> Token {
        Token::new(self.dice.bits())
    }

    /// How long an entry lasts, if there is to be one.
    fn lasts(&self, link: Option<&Link>) -> Option<Duration> {
        let Self { options, clock, .. } = self;
        let (lasts, at_most) = match link.map(|link| &link.spec) {
            None => (options.negative_ttl, Duration::MAX),
            Some(spec) if spec.max_clicks.is_some() => return None,
            Some(spec) => match spec.expires_at.map(|end| end.since(clock.now())) {
                None => (options.ttl, Duration::MAX),
                Some(Duration::ZERO) => (options.negative_ttl, Duration::MAX),
                Some(left) => (options.ttl, left),
            },
        };
        Some(self.dice.jitter(lasts).min(at_most)).filter(whole)
    }

    async fn read_store(&self, key: &LinkKey) -> Result<LinkCopy, StoreError> {
        self.counters.store_reads.add();
        self.store.find(key).await
    }

    /// As if there were no Redis.
    async fn without(&self, key: &LinkKey) -> Result<Loaded, StoreError> {
        let link = self.read_store(key).await?.link.map(Arc::new);
        Ok(Loaded {
            link,
            tier: Tier::Store,
            good_for: Duration::MAX,
        })
    }

    /// Reads the store for all instances, under a lock, and writes what it says.
    async fn lead(&self, key: &LinkKey, token: &Token) -> Result<Loaded, StoreError> {
        let begun = self.now();
        let LinkCopy { link, newest } = match self.read_store(key).await {
            Ok(found) => found,
            Err(error) => {
                let _ = self.script.free(key, token).await;
                return Err(error);
            }
        };
        let took = self.now().saturating_sub(begun);
        if !newest {
            self.led.note(key);
        }
        let good_for = self.write(key, token, link.as_ref(), took, None).await;
        Ok(Loaded {
            link: link.map(Arc::new),
            tier: Tier::Store,
            good_for,
        })
    }

    /// Writes what the store said, if the lock is still held; how long that may be believed.
    async fn write(
        &self,
        key: &LinkKey,
        token: &Token,
        link: Option<&Link>,
        took: Duration,
        message: Option<&[u8]>,
    ) -> Duration {
        let value = value::encode(link, took);
        let (Some(lasts), Some(value)) = (self.lasts(link), value) else {
            let _ = self.script.free(key, token).await;
            return Duration::MAX;
        };
        match self.script.put(key, token, &value, lasts, message).await {
            Ok(true) => {
                self.counters.writes.add();
                lasts
            }
            Ok(false) => {
                self.counters.writes_refused.add();
                // It may have been edited since the store was read.
                Duration::ZERO
            }
            // Redis does not say whether it was edited; those who edit say so, and the feed does.
            Err(_) => Duration::MAX,
        }
    }

    /// An entry that Redis has. `None` if it cannot be read.
    fn found(&self, key: &LinkKey, left: Duration, value: &[u8]) -> Option<Loaded> {
        let Some((link, took)) = value::decode(key, value) else {
            self.counters.unreadable.add();
            return None;
        };
        self.counters.hits.add();
        let reach = took.as_secs_f64() * self.options.early_refresh * -self.dice.unit().ln();
        if left.as_secs_f64() <= reach
            && let Some(me) = self.me.upgrade()
        {
            let key = key.clone();
            tokio::spawn(async move { me.refresh(&key).await });
        }
        Some(Loaded {
            link: link.map(Arc::new),
            tier: Tier::Shared,
            good_for: left,
        })
    }

    /// Reads the store although there is an entry, if no other instance does.
    async fn refresh(&self, key: &LinkKey) {
        let token = self.token();
        if let Ok(Found::Locked) = self.script.refresh(key, &token).await {
            self.counters.early_refreshes.add();
            if let Err(error) = self.lead(key, &token).await {
                tracing::debug!(%key, %error, "a link could not be refreshed");
            }
        }
    }
}

/// The outcomes of a call for each of many, in order.
async fn in_batches<'a, T, F: Future>(all: &'a [T], call: impl Fn(&'a T) -> F) -> Vec<F::Output> {
    let mut outcomes = Vec::with_capacity(all.len());
    for batch in all.chunks(AT_ONCE) {
        outcomes.extend(join_all(batch.iter().map(&call)).await);
    }
    outcomes
}

/// Redis counts in whole milliseconds.
fn whole(lasts: &Duration) -> bool {
    *lasts >= Duration::from_millis(1)
}

#[async_trait]
impl LinkSource for SharedCache {
    async fn load(&self, key: &LinkKey) -> Result<Loaded, StoreError> {
        if self.owed.covers(key, self.now()) {
            return self.without(key).await;
        }
        let token = self.token();
        let begun = self.now();
        let mut look = LOOK_FIRST;
        loop {
            let left = match self.script.read(key, &token).await {
                Ok(Found::Value(left, value)) => match self.found(key, left, &value) {
                    Some(loaded) => return Ok(loaded),
                    None => return self.without(key).await,
                },
                Ok(Found::Locked) => {
                    self.counters.misses.add();
                    return self.lead(key, &token).await;
                }
                Ok(Found::LockedByAnother(left)) => left,
                Err(_) => {
                    self.owed.shake();
                    return self.without(key).await;
                }
            };
            if look == LOOK_FIRST {
                self.counters.waits.add();
            }
            if self.now().saturating_sub(begun) >= self.options.patience {
                self.counters.waits_in_vain.add();
                return self.without(key).await;
            }
            sleep(look.min(left)).await;
            look = (2 * look).min(LOOK_LATER);
        }
    }

    async fn forget(&self, keys: &[LinkKey]) {
        // The others read the same feed, but may have believed what was written from a copy of the store.
        let (led, rest): (Vec<_>, Vec<_>) =
            keys.iter().cloned().partition(|key| self.led.holds(key));
        self.tell(&led, true).await;
        self.tell(&rest, false).await;
    }

    fn distrust(&self) {
        self.owed.distrust(self.now(), self.longest());
    }
}

impl fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCache")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

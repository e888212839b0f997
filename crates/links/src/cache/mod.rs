//! The first cache tier: in this process, in front of the store, or of a cache that instances share.
//!
//! - *Bounded in bytes*, in a table of records without pointers; a scan through codes nobody
//!   follows does not push out those everybody does.
//! - *Single flight*: whoever misses joins the store read under way for that link. The read is a
//!   task of its own, so a caller who gives up stops nobody, and when the runtime it runs on ends,
//!   the others begin again on theirs.
//! - *Early refresh* (XFetch; Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache
//!   Stampede Prevention, 2015): the nearer the end of its freshness and the dearer its read, the
//!   likelier a hit renews an entry in the background, so that a hot link never misses.
//! - *Stale if error*: while the store fails, links past their freshness are served for a while.
//! - *Invalidation* removes the entry and disowns the read under way, whose answer may be older:
//!   neither can bring the old state back.

mod counters;
mod dice;
mod flight;
mod freshness;
mod held;
#[cfg(test)]
mod probe_store;
#[cfg(feature = "redis")]
mod shared;
mod source;
mod table;
mod weight;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tollgate_clock::Clock;

use self::counters::Counters;
use self::dice::Dice;
use self::flight::{Flights, Joined, Outcome, Ticket};
use self::freshness::Freshness;
use self::held::Held;
use self::table::{Kept, Table, Times};
#[cfg(feature = "redis")]
pub use tollgate_redis::{BreakerOptions, BreakerState, BreakerStats};

#[cfg(feature = "redis")]
pub use self::shared::{SharedCache, SharedCacheOptions, SharedCacheStats, WriteThrough};
pub use self::source::{LinkSource, Loaded, StoreSource};
use crate::store::{LinkStore, StoreError};
use crate::{CachedLink, Code, Domain, LinkKey};

/// How long a link is served stale before the store is tried again for it, so that an outage costs
/// one failing read a second and link instead of one a request.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often a lookup begins again because the read it waited for ended without an answer.
const MAX_JOINS: usize = 8;

/// Bounds and times of the cache; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// The most bytes all entries may take, bookkeeping included.
    pub max_bytes: u64,
    /// How long a link is fresh. Entries get 90 to 100 % of it, so that they do not expire together.
    pub ttl: Duration,
    /// How long the absence of a link is believed.
    pub negative_ttl: Duration,
    /// How long past its freshness a link may be served while the store is away.
    pub stale_if_error: Duration,
    /// XFetch's beta: above 1 refreshes earlier, 0 never early.
    pub early_refresh: f64,
    /// Seeds the jitter and the early refreshes.
    pub seed: u64,
}

/// Which tier answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process's cache, fresh.
    Memory,
    /// This process's cache, past its freshness, because the store is away.
    Stale,
    /// The cache that instances share.
    Shared,
    /// The store.
    Store,
}

/// An answer of the cache.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The link; `None` if there is none of this name.
    pub link: Option<CachedLink>,
    /// Who knew.
    pub tier: Tier,
}

/// Counters since start, for metrics. All but the first two only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries now.
    pub entries: u64,
    /// Bytes now, as the bound counts them.
    pub bytes: u64,
    /// Lookups answered from memory.
    pub hits: u64,
    /// Lookups that had to ask the store or wait for somebody who asks.
    pub misses: u64,
    /// Reads of what is behind: the store, or the cache that instances share. Early refreshes included.
    pub loads: u64,
    /// Lookups that waited for another's read.
    pub coalesced: u64,
    /// Refreshes before the end of freshness.
    pub early_refreshes: u64,
    /// Answers past freshness because the store failed.
    pub stale: u64,
    /// Reads that failed.
    pub load_errors: u64,
}

/// Cache-aside with eviction by frequency, single flight, negative entries, probabilistic early
/// refresh and stale-if-error.
pub struct LinkCache {
    options: CacheOptions,
    source: Arc<dyn LinkSource>,
    clock: Arc<dyn Clock>,
    table: Table,
    held: Held,
    flights: Arc<Flights>,
    dice: Dice,
    counters: Counters,
}

impl LinkCache {
    /// An empty cache in front of `store`.
    #[must_use]
    pub fn new(
        options: CacheOptions,
        store: Arc<dyn LinkStore>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::over(options, Arc::new(StoreSource(store)), clock)
    }

    /// An empty cache in front of another source of links.
    #[must_use]
    pub fn over(
        options: CacheOptions,
        source: Arc<dyn LinkSource>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            table: Table::new(options.max_bytes),
            held: Held::default(),
            dice: Dice::new(options.seed),
            options,
            source,
            clock,
            flights: Arc::new(Flights::new()),
            counters: Counters::default(),
        })
    }

    /// The answer if it is in memory: fresh, or stale while the store is known to be away. Never
    /// waits. May start a refresh in the background if it is called inside a Tokio runtime.
    #[must_use]
    pub fn peek(self: &Arc<Self>, domain: &Domain, code: &Code) -> Option<Lookup> {
        let kept = self.table.get(domain.as_str(), code.as_str())?;
        let now = self.now();
        match self.freshness(&kept, now) {
            Freshness::Fresh => {
                if self.wants_refresh(domain, code, kept.times, now) {
                    self.refresh(LinkKey {
                        domain: domain.clone(),
                        code: code.clone(),
                    });
                }
                self.counters.hits.add();
                Some(kept.lookup(Tier::Memory))
            }
            Freshness::Stale if self.held.is_held(domain, code, now) => {
                self.counters.stale.add();
                Some(kept.lookup(Tier::Stale))
            }
            Freshness::Stale | Freshness::Over => None,
        }
    }

    /// The answer from memory or the store. Must be called inside a Tokio runtime. A caller who
    /// stops waiting stops nobody else.
    ///
    /// # Errors
    /// When the store fails and nothing servable is cached.
    pub async fn get(self: &Arc<Self>, key: LinkKey) -> Result<Lookup, StoreError> {
        if let Some(lookup) = self.peek(&key.domain, &key.code) {
            return Ok(lookup);
        }
        self.counters.misses.add();
        for _ in 0..MAX_JOINS {
            let mut waiting = match self.flights.join(&key, || self.fresh(&key)) {
                Joined::Landed(lookup) => return Ok(lookup),
                Joined::Follow(waiting) => {
                    self.counters.coalesced.add();
                    waiting
                }
                Joined::Lead(ticket, waiting) => {
                    self.launch(ticket);
                    waiting
                }
            };
            // An error means that the task was dropped, with its runtime: somebody has to begin
            // again.
            let outcome = match waiting.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                Err(_) => None,
            };
            match outcome {
                Some(Ok(Loaded { link, tier, .. })) => {
                    let link = link.map(CachedLink::Whole);
                    return Ok(Lookup { link, tier });
                }
                Some(Err(error)) => return self.stale(&key).ok_or(error),
                None => {}
            }
        }
        Err(StoreError::Unavailable(format!(
            "{MAX_JOINS} store reads ended without an answer"
        )))
    }

    /// Forgets a link, or its absence; a store read under way will not bring the old state back.
    pub fn invalidate(&self, key: &LinkKey) {
        self.flights.disown(key, || {
            self.table.forget(key.domain.as_str(), key.code.as_str());
            self.held.release(key);
        });
    }

    /// As [`invalidate`](Self::invalidate), of links that somebody edited or deleted: what instances share
    /// forgets them first.
    pub async fn forget(&self, keys: &[LinkKey]) {
        self.source.forget(keys).await;
        for key in keys {
            self.invalidate(key);
        }
    }

    /// Forgets everything, as nobody knows what was edited or deleted. What instances share is not trusted
    /// either, until all that is in it by now has ended.
    pub fn distrust(&self) {
        self.source.distrust();
        self.clear();
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.flights.disown_all(|| {
            self.table.clear();
            self.held.clear();
        });
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (entries, bytes) = self.table.size();
        CacheStats {
            entries,
            bytes,
            ..self.counters.read()
        }
    }

    /// Nanoseconds on the monotonic clock.
    fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    fn freshness(&self, kept: &Kept, now: u64) -> Freshness {
        let stale_for = match kept.link {
            Some(_) => nanos(self.options.stale_if_error),
            // It may have been made meanwhile: better no answer than "not found".
            None => 0,
        };
        kept.times.freshness(now, stale_for)
    }

    /// True for one caller only, until the refresh fails.
    fn wants_refresh(&self, domain: &Domain, code: &Code, times: Times, now: u64) -> bool {
        times.want_refresh(now, self.options.early_refresh, &self.dice)
            && !self.held.is_held(domain, code, now)
            && self.table.claim(domain.as_str(), code.as_str())
    }

    /// What a flight that has just landed left here.
    fn fresh(&self, key: &LinkKey) -> Option<Lookup> {
        let kept = self.kept(key)?;
        (self.freshness(&kept, self.now()) == Freshness::Fresh).then(|| kept.lookup(Tier::Memory))
    }

    /// What may be served although the store failed.
    fn stale(&self, key: &LinkKey) -> Option<Lookup> {
        let kept = self.kept(key)?;
        match self.freshness(&kept, self.now()) {
            Freshness::Fresh => Some(kept.lookup(Tier::Memory)),
            Freshness::Stale => {
                self.counters.stale.add();
                Some(kept.lookup(Tier::Stale))
            }
            Freshness::Over => None,
        }
    }

    fn kept(&self, key: &LinkKey) -> Option<Kept> {
        self.table.get(key.domain.as_str(), key.code.as_str())
    }

    /// Reads an entry anew while it is still served.
    fn refresh(self: &Arc<Self>, key: LinkKey) {
        // Nothing counts as landed: the entry is fresh, and shall be renewed all the same.
        if let Joined::Lead(ticket, _) = self.flights.join(&key, || None) {
            self.counters.early_refreshes.add();
            self.launch(ticket);
        }
    }

    /// Reads from the source, in a task of its own. Without a runtime the ticket is dropped, which
    /// tells those who wait.
    fn launch(self: &Arc<Self>, ticket: Ticket) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let cache = Arc::clone(self);
        runtime.spawn(async move {
            cache.counters.loads.add();
            let begun = cache.now();
            let outcome = cache.source.load(ticket.key()).await;
            let took = cache.now().saturating_sub(begun);
            match &outcome {
                // Nothing has failed, and whoever refused has counted it.
                Ok(_) | Err(StoreError::Overloaded) => {}
                Err(error) => {
                    cache.counters.load_errors.add();
                    tracing::debug!(key = %ticket.key(), %error, "a link could not be read");
                }
            }
            ticket.land(outcome, |key, outcome| cache.keep(key, outcome, took));
        });
    }

    /// Keeps what a read brought that nobody disowned; runs under the lock of its flight.
    fn keep(&self, key: &LinkKey, outcome: &Outcome, took: u64) {
        let now = self.now();
        match outcome {
            Ok(Loaded { good_for, .. }) if good_for.is_zero() => {}
            Ok(Loaded { link, good_for, .. }) => {
                let ttl = match link {
                    Some(_) => self.options.ttl,
                    None => self.options.negative_ttl,
                };
                let fresh_for = self.dice.jitter(ttl).min(*good_for);
                let times = Times {
                    fresh_until: now.saturating_add(nanos(fresh_for)),
                    took,
                };
                let (domain, code) = (key.domain.as_str(), key.code.as_str());
                self.table.keep(domain, code, times, link.as_ref());
                self.held.release(key);
            }
            Err(_) => {
                if self.kept(key).is_some() {
                    self.held
                        .hold(key, now.saturating_add(nanos(RETRY_AFTER)), now);
                    self.table.unclaim(key.domain.as_str(), key.code.as_str());
                }
            }
        }
    }
}

impl Kept {
    fn lookup(self, tier: Tier) -> Lookup {
        Lookup {
            link: self.link,
            tier,
        }
    }
}

/// 584 years of nanoseconds fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

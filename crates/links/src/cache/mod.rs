//! The first cache tier: in this process, in front of the store, or of a cache that instances share.
//!
//! - *Bounded in bytes* with W-TinyLFU admission (Einziger, Friedman, Manes 2017), so that a scan
//!   through codes nobody follows does not push out those everybody does.
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
mod entry;
mod flight;
#[cfg(test)]
mod probe_store;
#[cfg(feature = "redis")]
mod shared;
mod source;
mod weight;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::Equivalent;
use tokio::runtime::Handle;
use tollgate_clock::Clock;

use self::counters::Counters;
use self::dice::Dice;
use self::entry::{Entry, Freshness};
use self::flight::{Flights, Joined, Outcome, Ticket};
#[cfg(feature = "redis")]
pub use tollgate_redis::{BreakerOptions, BreakerState, BreakerStats};

#[cfg(feature = "redis")]
pub use self::shared::{SharedCache, SharedCacheOptions, SharedCacheStats, WriteThrough};
pub use self::source::{LinkSource, Loaded, StoreSource};
use crate::store::{LinkStore, StoreError};
use crate::{Code, Domain, Link, LinkKey};

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
    pub link: Option<Arc<Link>>,
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

/// Cache-aside with W-TinyLFU admission, single flight, negative entries, probabilistic early
/// refresh and stale-if-error.
pub struct LinkCache {
    options: CacheOptions,
    source: Arc<dyn LinkSource>,
    clock: Arc<dyn Clock>,
    entries: moka::sync::Cache<LinkKey, Arc<Entry>, foldhash::fast::RandomState>,
    flights: Arc<Flights>,
    /// Counts the calls of [`LinkCache::clear`]; entries of earlier generations count as absent.
    generation: AtomicU64,
    dice: Dice,
    counters: Counters,
}

/// A [`LinkKey`] by reference: looking up takes no allocation.
struct KeyRef<'a> {
    domain: &'a Domain,
    code: &'a Code,
}

impl Hash for KeyRef<'_> {
    // As `LinkKey` derives it: moka finds a key only by an equal hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.domain.hash(state);
        self.code.hash(state);
    }
}

impl Equivalent<LinkKey> for KeyRef<'_> {
    fn equivalent(&self, key: &LinkKey) -> bool {
        *self.code == key.code && *self.domain == key.domain
    }
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
            entries: moka::sync::Cache::builder()
                .max_capacity(options.max_bytes)
                .weigher(|key, entry: &Arc<Entry>| weight::of(key, entry.link()))
                // Seeded by chance, as the standard one, but for short keys several times faster.
                .build_with_hasher(foldhash::fast::RandomState::default()),
            dice: Dice::new(options.seed),
            options,
            source,
            clock,
            flights: Arc::new(Flights::new()),
            generation: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }

    /// The answer if it is in memory: fresh, or stale while the store is known to be away. Never
    /// waits. May start a refresh in the background if it is called inside a Tokio runtime.
    #[must_use]
    pub fn peek(self: &Arc<Self>, domain: &Domain, code: &Code) -> Option<Lookup> {
        let entry = self.entry(&KeyRef { domain, code })?;
        let now = self.now();
        match entry.freshness(now) {
            Freshness::Fresh => {
                if entry.wants_refresh(now, self.options.early_refresh, &self.dice) {
                    self.refresh(LinkKey {
                        domain: domain.clone(),
                        code: code.clone(),
                    });
                }
                self.counters.hits.add();
                Some(entry.lookup(Tier::Memory))
            }
            Freshness::HeldStale => {
                self.counters.stale.add();
                Some(entry.lookup(Tier::Stale))
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
                Some(Ok(Loaded { link, tier, .. })) => return Ok(Lookup { link, tier }),
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
        self.flights.disown(key, || self.entries.invalidate(key));
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
            // moka invalidates by time stamp, and two moments may share one; generations do not.
            self.generation.fetch_add(1, Ordering::AcqRel);
            self.entries.invalidate_all();
        });
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        // moka counts sizes when it does its housekeeping.
        self.entries.run_pending_tasks();
        CacheStats {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            ..self.counters.read()
        }
    }

    /// Nanoseconds on the monotonic clock.
    fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    fn entry(&self, key: &KeyRef<'_>) -> Option<Arc<Entry>> {
        self.entries
            .get(key)
            .filter(|entry| entry.generation() == self.generation.load(Ordering::Acquire))
    }

    /// What a flight that has just landed left here.
    fn fresh(&self, key: &LinkKey) -> Option<Lookup> {
        let entry = self.entry(&KeyRef::from(key))?;
        (entry.freshness(self.now()) == Freshness::Fresh).then(|| entry.lookup(Tier::Memory))
    }

    /// What may be served although the store failed.
    fn stale(&self, key: &LinkKey) -> Option<Lookup> {
        let entry = self.entry(&KeyRef::from(key))?;
        match entry.freshness(self.now()) {
            Freshness::Fresh => Some(entry.lookup(Tier::Memory)),
            Freshness::HeldStale | Freshness::Stale => {
                self.counters.stale.add();
                Some(entry.lookup(Tier::Stale))
            }
            Freshness::Over => None,
        }
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
                let fresh_until = now.saturating_add(nanos(fresh_for));
                let stale_until = match link {
                    Some(_) => fresh_until.saturating_add(nanos(self.options.stale_if_error)),
                    // It may have been made meanwhile: better no answer than "not found".
                    None => fresh_until,
                };
                let generation = self.generation.load(Ordering::Acquire);
                let entry = Entry::new(link.clone(), generation, fresh_until, stale_until, took);
                self.entries.insert(key.clone(), Arc::new(entry));
            }
            Err(_) => {
                if let Some(entry) = self.entry(&KeyRef::from(key)) {
                    entry.hold(now.saturating_add(nanos(RETRY_AFTER)));
                }
            }
        }
    }
}

impl<'a> From<&'a LinkKey> for KeyRef<'a> {
    fn from(key: &'a LinkKey) -> Self {
        Self {
            domain: &key.domain,
            code: &key.code,
        }
    }
}

/// 584 years of nanoseconds fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

//! Budgets over all regions, beside the limits of each: see [`Budgets`].

mod entry;
mod hold;
#[cfg(feature = "redis")]
mod redis;
mod stats;
mod total;

use std::collections::HashMap;
use std::collections::hash_map::{Entry as Place, RandomState};
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tollgate_clock::Clock;

use self::entry::Entry;
pub(crate) use self::entry::Standing;
pub(crate) use self::hold::{Hold, Spent};
#[cfg(feature = "redis")]
pub use self::redis::RedisTotals;
pub use self::stats::BudgetStats;
use self::stats::Counters;
pub use self::total::{Report, SharedTotals, Total};
use crate::Quota;
use crate::store::LimitKey;

const SHARDS: usize = 64;
/// So many keys are reported at once.
const BATCH: usize = 256;

/// How often instances tell each other, and of how many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetOptions {
    /// The pause between two rounds of reports.
    pub every: Duration,
    /// The most keys whose budget is followed.
    pub max_keys: usize,
}

impl Default for BudgetOptions {
    /// A second, and 100,000 keys.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            max_keys: 100_000,
        }
    }
}

/// What all instances of all regions together may admit, beside the limits that each region decides.
///
/// A [rule](crate::policy::Rule::global_budget) may have a budget. Each instance counts by itself what
/// it admits of a key. In the background it reports that to [totals](SharedTotals) which all share, and is told what all of them
/// admitted; no decision waits for it. A request for which nothing is left, as far as this instance
/// knows, is refused until the window is over.
///
/// - **The bound**: in one window of the shared clock all instances together admit at most the budget,
///   and what each of them admits between two of its reports that are answered, one after the other.
///   These are [`every`](BudgetOptions::every) and the time of a round apart, which is at most the
///   deadline of the store for each 256 keys. An instance that is alone admits the budget exactly. Never
///   more is admitted than the limits of the regions let through.
/// - **Why**: when the total reaches the budget, each instance is told so by its next report. What was
///   admitted and is not in the total then is what each admitted since its last report, and until the next.
/// - **Time** is that of the shared totals. Each instance counts what it admits while it cannot know
///   which window it is, for as long as an answer took, in both.
/// - **Requests that are being decided** hold their units, so that concurrent ones cannot pass the
///   budget. If the store of the region then refuses one, others may have been refused for its units.
/// - **Failure**: while totals cannot be reached, an instance goes on with what it knows and spends: `n` of
///   them then admit up to `n` budgets in a window, if their regions do. A report whose answer is lost is made again and may count twice,
///   which leaves less of the budget, never more. What shared totals lose, an instance remembers until the window is over.
///   An instance that is killed takes with it what it did not report: that much more may be admitted.
/// - **Memory** is taken by keys that were used in their window, at most
///   [`max_keys`](BudgetOptions::max_keys); the budget of what comes beyond is not enforced here.
pub struct Budgets {
    options: BudgetOptions,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<LimitKey, Entry>>]>,
    eras: AtomicU64,
    counters: Counters,
}

impl Budgets {
    /// Budgets of which nothing is known. `clock` measures windows between reports; what it says of the
    /// time of day counts only until the first.
    pub fn new(options: BudgetOptions, clock: Arc<dyn Clock>) -> Self {
        let shards = options.max_keys.clamp(1, SHARDS);
        Self {
            options,
            clock,
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            eras: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// What has become of them. Takes one lock after the other.
    #[must_use]
    pub fn stats(&self) -> BudgetStats {
        let keys = self.shards.iter().map(|shard| shard.lock().len() as u64);
        self.counters.read(keys.sum())
    }

    /// Makes a round of reports every so often until `end`, and a last one then. Without it, each instance
    /// knows of itself only.
    ///
    /// With the feature `redis`.
    #[cfg(feature = "redis")]
    pub async fn run(&self, totals: &dyn SharedTotals, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut ticks = tokio::time::interval(self.options.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = ticks.tick() => self.sync(totals).await,
            }
        }
        self.sync(totals).await;
    }

    /// Makes one round of reports. For who does not [`run`](Self::run) it.
    pub async fn sync(&self, totals: &dyn SharedTotals) {
        let began = self.clock.monotonic();
        let reports = self.reports(began);
        for batch in reports.chunks(BATCH) {
            let sent = self.clock.monotonic();
            let answers = totals.report(batch).await;
            let received = self.clock.monotonic();
            let mut answers = answers.into_iter();
            for report in batch {
                match answers.next() {
                    Some(Ok(total)) => self.told(report, Some(&total), sent, received),
                    Some(Err(_)) | None => self.told(report, None, sent, received),
                }
            }
        }
        let took = self.clock.monotonic().saturating_sub(began).as_nanos();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        let counters = &self.counters;
        counters.last_round_nanos.store(took, Ordering::Relaxed);
        Counters::add(&counters.rounds);
    }

    /// What there is to report, and forgets what nobody needs.
    fn reports(&self, now: Duration) -> Vec<Report> {
        let lately = now.saturating_sub(self.options.every * 2);
        let mut reports = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|key, entry| {
                entry.roll(now, &mut || self.era());
                reports.extend(entry.report(key, lately));
                !entry.is_worthless(lately)
            });
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
        reports
    }

    fn told(&self, report: &Report, total: Option<&Total>, sent: Duration, received: Duration) {
        let counters = &self.counters;
        Counters::add(match total {
            Some(_) => &counters.reports,
            None => &counters.failures,
        });
        let mut shard = self.shard(&report.key);
        let entry = shard.get_mut(&report.key);
        let Some(entry) = entry.filter(|entry| entry.window() == report.window) else {
            return;
        };
        entry.roll(received, &mut || self.era());
        match total {
            Some(total) => entry.told(total, sent, received, || self.era()),
            None => entry.unanswered(),
        }
    }

    /// Keeps the cost of a request, if that is left of the budget of a key; with a cost of 0, asks
    /// whether anything is. None if the key is not followed.
    ///
    /// # Errors
    /// How things are, if it is not left.
    pub(crate) fn hold(
        &self,
        key: &LimitKey,
        quota: Quota,
        cost: u64,
    ) -> Option<Result<Hold<'_>, Standing>> {
        let now = self.clock.monotonic();
        let held = self.with(key, quota, now, |entry| {
            let standing = entry.standing(now);
            if standing.left < cost.max(1) {
                return Err(standing);
            }
            entry.hold(cost);
            Ok(entry.standing(now))
        });
        let Some(held) = held else {
            Counters::add(&self.counters.unheld);
            return None;
        };
        Some(held.map(|standing| Hold {
            budgets: self,
            key: key.clone(),
            quota,
            units: cost,
            standing,
        }))
    }

    /// Notes that a request was refused by a budget.
    pub(crate) fn count_refusal(&self) {
        Counters::add(&self.counters.refusals);
    }

    /// Takes back what was not used, as far as nobody was told of it and its window is not over.
    pub(crate) fn give_back(&self, spent: &Spent) {
        let now = self.clock.monotonic();
        if let Some(entry) = self.shard(&spent.key).get_mut(&spent.key) {
            entry.roll(now, &mut || self.era());
            entry.give_back(spent.units, spent.era);
        }
    }

    fn spend(&self, key: &LimitKey, quota: Quota, units: u64) -> u64 {
        let now = self.clock.monotonic();
        let spent = self.with(key, quota, now, |entry| entry.spend(units, now));
        // What is held is never forgotten, so there is an entry.
        spent.unwrap_or(0)
    }

    fn release(&self, key: &LimitKey, units: u64) {
        if let Some(entry) = self.shard(key).get_mut(key) {
            entry.release(units);
        }
    }

    /// Does something with the entry of a key, in the window of the moment. A new key gets one if
    /// there is room.
    fn with<T>(
        &self,
        key: &LimitKey,
        quota: Quota,
        now: Duration,
        work: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let window = quota.window();
        let fresh = || {
            let wall = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
            let told_by = now.saturating_add(self.options.every * 2);
            Entry::new(window, now, wall, told_by, self.era())
        };
        let most = self.options.max_keys.div_ceil(self.shards.len());
        let mut shard = self.shard(key);
        let full = shard.len() >= most;
        let entry = match shard.entry(key.clone()) {
            Place::Occupied(found) => {
                let entry = found.into_mut();
                if entry.window() != window {
                    // Another policy is in force, whose windows are others.
                    let mut other = fresh();
                    other.take_over(entry);
                    *entry = other;
                }
                entry
            }
            Place::Vacant(_) if full => return None,
            Place::Vacant(vacant) => vacant.insert(fresh()),
        };
        entry.roll(now, &mut || self.era());
        entry.ask(quota.limit(), now);
        Some(work(entry))
    }

    fn era(&self) -> u64 {
        self.eras.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn shard(&self, key: &LimitKey) -> MutexGuard<'_, HashMap<LimitKey, Entry>> {
        let hash = self.hasher.hash_one(key);
        self.shards[hash as usize % self.shards.len()].lock()
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets")
            .field("options", &self.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

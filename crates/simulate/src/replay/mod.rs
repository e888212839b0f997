//! Access logs through policies.
//!
//! Each line becomes the request that it was, with the descriptors that a front end would have made of it, and is
//! decided by the service that decides in production, in a store in memory whose clock the log sets.
//!
//! - **Several logs** are merged by time, so logs of a fleet are read side by side, and rotated ones in any order.
//! - **Lines out of order** are decided at the latest time that was seen: a clock never runs backwards. Logs are
//!   written when requests end, so some are.
//! - **Times of whole seconds** are spread evenly over their second, in the order of the lines ([`Times::Spread`]);
//!   taken as written, all of a second would come at once.
//! - **Memory** is bounded: the store by its options, keys and peaks by sampling (see [`keys`] and [`demand`]), a
//!   second of the log by [`MOST_HELD`] lines.

pub mod demand;
mod feed;
mod good;
pub mod keys;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::{Entry, PolicySet, Resolved};
use tollgate_limit::service::{CheckRequest, Code, LimitService};
use tollgate_limit::store::{LimitStore, MemoryOptions, MemoryStore};
use xxhash_rust::xxh3::Xxh3;

use self::demand::{Demand, Share};
use self::feed::{Feed, Pending};
use self::keys::Keys;
use crate::at_once::at_once;
use crate::log::{Fields, Log};
pub use good::{Good, GoodError};
pub use report::{
    BadLine, GoodReport, KeysReport, LinesReport, Report, RuleReport, StoreReport, Suggestion,
    Worst,
};

/// The most lines of one second that are held back to be spread over it. Of a busier second, each so many are
/// spread over half of what is left of it.
pub const MOST_HELD: usize = 1 << 16;

const SECOND: i64 = 1_000_000_000;
/// Any will do: nobody chooses keys to meet in a log that is written.
const SEED: u64 = 0x7011_9a7e;

/// How lines are decided.
#[derive(Debug, Clone)]
pub struct Options {
    /// The domain of the policies.
    pub domain: String,
    /// The descriptors of a request, as the front end that it came through is set up.
    pub by: Vec<Vec<Attribute>>,
    /// Where values are in lines of JSON.
    pub fields: Fields,
    /// Who should never be refused.
    pub good: Vec<Good>,
    /// How many of the keys refused most are told.
    pub worst: usize,
    /// How many bad lines are told.
    pub bad_lines: usize,
    /// For which share of keys limits are to be proposed.
    pub suggest: Option<Share>,
    /// What times of whole seconds mean.
    pub times: Times,
}

/// What times of whole seconds mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// The lines of a second came evenly spread over it.
    #[default]
    Spread,
    /// They came at once, as it began.
    AsWritten,
}

/// Why a log could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read, or is damaged.
    #[error("{log} cannot be read, after line {line}")]
    Read {
        /// Which log.
        log: String,
        /// The last line before.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// The policies have no such domain.
    #[error("the policies have no domain {domain:?}, but {}", .domains.join(", "))]
    NoDomain {
        /// The one that was asked for.
        domain: String,
        /// Those that they have.
        domains: Vec<String>,
    },
}

/// Replays logs.
///
/// # Errors
/// [`ReplayError`]. Lines that are no requests are counted, and are no error.
pub fn replay(
    policies: PolicySet,
    options: &Options,
    logs: Vec<Log>,
) -> Result<Report, ReplayError> {
    let domains = policies.domains();
    if !domains.contains(&&*options.domain) {
        return Err(ReplayError::NoDomain {
            domain: options.domain.clone(),
            domains: domains.into_iter().map(str::to_owned).collect(),
        });
    }
    let policies = Arc::new(policies);
    let mut feed = Feed::new(logs, options, Arc::clone(&policies))?;
    let mut next = feed.next()?;
    let start = next.as_ref().map_or(0, |first| first.nanos);
    let mut replay = Replay::new(policies, options, start);
    let mut held = Held::default();
    while let Some(pending) = next {
        if pending.exact || options.times == Times::AsWritten {
            held.release(&mut replay);
            replay.decide(pending.nanos, pending);
        } else {
            held.take(pending, &mut replay);
        }
        next = feed.next()?;
    }
    held.release(&mut replay);
    Ok(replay.report(feed.lines()))
}

/// Lines of one second.
#[derive(Default)]
struct Held {
    /// Where what is left of the second begins, and where it ends.
    from: i64,
    to: i64,
    lines: Vec<Pending>,
}

impl Held {
    fn take(&mut self, pending: Pending, replay: &mut Replay<'_>) {
        if pending.nanos >= self.to || self.to == 0 {
            self.release(replay);
            let second = pending.nanos.div_euclid(SECOND) * SECOND;
            (self.from, self.to) = (second, second + SECOND);
        } else if self.lines.len() == MOST_HELD {
            let half = self.from + (self.to - self.from) / 2;
            self.spread(half, replay);
        }
        self.lines.push(pending);
    }

    fn release(&mut self, replay: &mut Replay<'_>) {
        self.spread(self.to, replay);
    }

    fn spread(&mut self, to: i64, replay: &mut Replay<'_>) {
        let count = self.lines.len().max(1) as i64;
        let length = to - self.from;
        for (place, pending) in self.lines.drain(..).enumerate() {
            // At most a second times MOST_HELD: it fits.
            replay.decide(self.from + length * place as i64 / count, pending);
        }
        self.from = to;
    }
}

/// What is known of one rule.
struct Tally {
    requests: u64,
    refused: u64,
    would_refuse: u64,
    good: u64,
    good_refused: u64,
    keys: Keys,
    demand: Option<Demand>,
}

struct Replay<'o> {
    options: &'o Options,
    policies: Arc<PolicySet>,
    service: LimitService,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    /// The time of the clock, and of the first and the last request.
    now: i64,
    first: Option<i64>,
    request: CheckRequest,
    tallies: Vec<Tally>,
    requests: u64,
    refused: u64,
    uncounted: u64,
    delayed: u64,
    longest_delay: Duration,
    good: u64,
    good_refused: u64,
}

impl<'o> Replay<'o> {
    fn new(policies: Arc<PolicySet>, options: &'o Options, start: i64) -> Self {
        let millis = start.div_euclid(1_000_000);
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(millis)));
        let options_of_store = MemoryOptions::with_seed(SEED);
        let store = Arc::new(MemoryStore::new(options_of_store, Arc::clone(&clock) as _));
        let counting: Arc<dyn LimitStore> = Arc::clone(&store) as _;
        let service = LimitService::new(Arc::clone(&policies), Arc::clone(&counting), counting);
        let rules = policies.rules().iter();
        let mine = rules
            .clone()
            .filter(|rule| *rule.domain == *options.domain)
            .count();
        let tallies = rules.map(|rule| Tally {
            requests: 0,
            refused: 0,
            would_refuse: 0,
            good: 0,
            good_refused: 0,
            keys: Keys::among(mine),
            demand: options.suggest.and_then(|_| Demand::of(rule, mine)),
        });
        Self {
            options,
            tallies: tallies.collect(),
            policies,
            service,
            store,
            clock,
            now: millis * 1_000_000,
            first: None,
            request: CheckRequest {
                domain: options.domain.clone(),
                descriptors: Vec::new(),
                hits: 1,
            },
            requests: 0,
            refused: 0,
            uncounted: 0,
            delayed: 0,
            longest_delay: Duration::ZERO,
            good: 0,
            good_refused: 0,
        }
    }

    fn decide(&mut self, at: i64, pending: Pending) {
        if let Ok(passed) = u64::try_from(at - self.now) {
            self.clock.advance(Duration::from_nanos(passed));
            self.now = at;
        }
        self.first.get_or_insert(self.now);
        self.requests += 1;
        self.good += u64::from(pending.good);
        self.request.descriptors = pending.descriptors;
        if self.request.descriptors.is_empty() {
            self.uncounted += 1;
            return;
        }
        // Neither the domain nor the descriptors are empty.
        let Ok(answer) = at_once(self.service.check(&self.request)) else {
            return;
        };
        self.refused += u64::from(!answer.allowed);
        self.good_refused += u64::from(pending.good && !answer.allowed);
        if !answer.delay.is_zero() {
            self.delayed += 1;
            self.longest_delay = self.longest_delay.max(answer.delay);
        }
        let mut counted = false;
        let both = self.request.descriptors.iter().zip(&answer.statuses);
        for (descriptor, status) in both {
            let Some(rule) = &status.rule else { continue };
            if status.code == Code::Replaced {
                continue;
            }
            let Some(tally) = self.tallies.get_mut(rule.number()) else {
                continue;
            };
            counted = true;
            let over = status.refuses() || status.would_refuse;
            tally.requests += 1;
            tally.refused += u64::from(status.refuses());
            tally.would_refuse += u64::from(status.would_refuse);
            tally.good += u64::from(pending.good);
            tally.good_refused += u64::from(pending.good && over);
            tally.keys.note(hash(&descriptor.entries), over);
            if let Some(demand) = &mut tally.demand
                && let Resolved::Limited { key, .. } =
                    self.policies.resolve(&self.options.domain, descriptor)
            {
                let moment = u64::try_from(self.now).unwrap_or(0);
                demand.note(key.as_bytes(), moment, rule.cost);
            }
        }
        self.uncounted += u64::from(!counted);
    }

    fn report(self, lines: LinesReport) -> Report {
        let rules = self.policies.rules().iter().zip(&self.tallies);
        let mine =
            rules.filter(|(rule, _)| *rule.domain == *self.options.domain && !rule.is_brought());
        let share = self.options.suggest;
        let stats = self.store.stats();
        let worst = self.service.top_denied(self.options.worst);
        let worst = worst.into_iter().map(|denied| Worst {
            policy: denied.policy.to_string(),
            key: shown(&denied.entries),
            refused: denied.count,
            error: denied.error,
        });
        Report {
            domain: self.options.domain.clone(),
            lines,
            from: self.first.map(millis),
            to: self.first.map(|_| millis(self.now)),
            requests: self.requests,
            refused: self.refused,
            uncounted: self.uncounted,
            delayed: self.delayed,
            longest_delay_ms: u64::try_from(self.longest_delay.as_millis()).unwrap_or(u64::MAX),
            good: (!self.options.good.is_empty()).then_some(GoodReport {
                requests: self.good,
                refused: self.good_refused,
            }),
            rules: mine
                .map(|(rule, tally)| RuleReport {
                    policy: rule.name.to_string(),
                    path: rule.path.to_string(),
                    limit: rule.allowance().map(|allowance| allowance.requests()),
                    window_ms: rule.allowance().map(|allowance| {
                        u64::try_from(allowance.window().as_millis()).unwrap_or(u64::MAX)
                    }),
                    algorithm: rule
                        .limiter()
                        .map(|limiter| limiter.kind().name().to_owned()),
                    shadow: !rule.binds(),
                    requests: tally.requests,
                    refused: tally.refused,
                    would_refuse: tally.would_refuse,
                    keys: tally.keys.report(),
                    good: (!self.options.good.is_empty()).then_some(GoodReport {
                        requests: tally.good,
                        refused: tally.good_refused,
                    }),
                    suggestions: share
                        .zip(tally.demand.as_ref())
                        .map(|(share, demand)| demand.suggest(share))
                        .unwrap_or_default(),
                })
                .collect(),
            worst: worst.collect(),
            share: share.map(Share::get),
            store: StoreReport {
                keys: stats.keys as u64,
                bytes: stats.bytes as u64,
                evictions: stats.evictions,
                overflowed: stats.overflowed,
            },
        }
    }
}

fn millis(nanos: i64) -> UnixMillis {
    UnixMillis::from_millis(nanos.div_euclid(1_000_000))
}

fn hash(entries: &[Entry]) -> u64 {
    if let [one] = entries {
        return xxhash_rust::xxh3::xxh3_64_with_seed(one.value.as_bytes(), SEED);
    }
    let mut hasher = Xxh3::new();
    for entry in entries {
        hasher.update(entry.value.as_bytes());
        hasher.update(&[0]);
    }
    hasher.digest()
}

fn shown(entries: &[Entry]) -> String {
    let texts: Vec<String> = entries
        .iter()
        .map(|e| format!("{}={}", e.key, e.value))
        .collect();
    texts.join(",")
}

/// How many lines of each format.
type Formats = BTreeMap<crate::log::Format, u64>;

//! Deciding requests by policies, with a store of counters.
//!
//! A request is a domain and some descriptors, each of which is counted by at most one rule. It
//! passes if no limit is over that binds; then it is charged to all of its limits, and to none
//! otherwise.
//!
//! - **Peeks.** Hits of 0 charge nothing and ask whether anything is left: the limit is over if
//!   nothing is, and then the request is refused as a whole. A request that both peeks and charges
//!   asks the store twice, first for the peeks, so that it is still charged to all or none; what
//!   others charge in between is not seen by its peeks.
//! - **Blocked** rules, which let nothing through, refuse without asking for a charge.
//! - **Shadow mode and quota mode** never refuse. They are charged, where they have room, with
//!   requests that pass.
//! - **Budgets** over all regions refuse before the store is asked for a charge, once they are used
//!   up; what a request was charged is counted in them. See [`Budgets`].
//! - **Replaced** rules do not count.
//! - **A store that fails** leaves it to each rule: `open` lets through, `closed` refuses, `local`
//!   asks the store of this process, for its share of the limit. If that fails too, `local` lets through: it is chosen so that
//!   a store that is away stops nothing.

mod answer;
mod budgeted;
mod denied;
mod outcome;
mod plan;
#[cfg(feature = "hold")]
mod queues;
mod receipt;
mod settle;
mod stats;
mod times;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tollgate_clock::Clock;

pub use answer::{CheckAnswer, CheckError, CheckRequest, Code, Status};
pub use denied::{Audit, Denial, Denied};
#[cfg(feature = "hold")]
pub use queues::Place;
pub use receipt::Receipt;
pub use stats::{RuleStats, Stats};
pub use times::{DECISION_TIME_BOUNDS, DecisionTimes};
pub use turn::QueueId;

use crate::budget::Budgets;
use crate::policy::{OnStoreFailure, PolicyError, PolicySet};
use crate::store::LimitStore;
use denied::TopDenied;
use plan::Step;
use settle::Judge;
use stats::Board;

/// Decides requests by the policies of the moment.
pub struct LimitService {
    reign: RwLock<Arc<Reign>>,
    /// Held while policies change, so that no request waits for the counters to be carried over.
    changing: Mutex<()>,
    store: Arc<dyn LimitStore>,
    fallback: Arc<dyn LimitStore>,
    on_store_failure: OnStoreFailure,
    instances: Box<dyn Fn() -> u64 + Send + Sync>,
    budgets: Option<Arc<Budgets>>,
    unmatched: AtomicU64,
    unknown_domain: AtomicU64,
    top_denied: TopDenied,
    audit: Option<Arc<dyn Audit>>,
    stopwatch: Option<Arc<dyn Clock>>,
    #[cfg(feature = "hold")]
    queues: queues::Queues,
}

/// Policies in force, with the counters of their rules.
struct Reign {
    policies: Arc<PolicySet>,
    board: Board,
}

impl LimitService {
    /// A service with these policies, that counts in `store`. `fallback` is a store inside of this
    /// process, which counts while `store` fails, for rules that say `local`.
    pub fn new(
        policies: impl Into<Arc<PolicySet>>,
        store: Arc<dyn LimitStore>,
        fallback: Arc<dyn LimitStore>,
    ) -> Self {
        let policies = policies.into();
        let board = Board::new(&policies, None);
        Self {
            reign: RwLock::new(Arc::new(Reign { policies, board })),
            changing: Mutex::new(()),
            store,
            fallback,
            on_store_failure: OnStoreFailure::Local,
            instances: Box::new(|| 1),
            budgets: None,
            unmatched: AtomicU64::new(0),
            unknown_domain: AtomicU64::new(0),
            top_denied: TopDenied::new(),
            audit: None,
            stopwatch: None,
            #[cfg(feature = "hold")]
            queues: queues::Queues::default(),
        }
    }

    /// What rules do on a failure of the store that do not say so themselves; `local` by default.
    #[must_use]
    pub fn with_on_store_failure(self, on_store_failure: OnStoreFailure) -> Self {
        Self {
            on_store_failure,
            ..self
        }
    }

    /// How many instances share the store. While it fails, rules that say `local` let through
    /// this one's share of their limit: [`Limiter::share`](crate::Limiter::share).
    #[must_use]
    pub fn with_instances(self, instances: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            instances: Box::new(instances),
            ..self
        }
    }

    /// Enforces the [budgets](crate::policy::Rule::global_budget) of rules, which are not enforced
    /// otherwise. Whoever makes the service makes their [reports](Budgets::sync).
    #[must_use]
    pub fn with_budgets(self, budgets: Arc<Budgets>) -> Self {
        Self {
            budgets: Some(budgets),
            ..self
        }
    }

    /// Tells `audit` of every limit that is over.
    #[must_use]
    pub fn with_audit(self, audit: Arc<dyn Audit>) -> Self {
        Self {
            audit: Some(audit),
            ..self
        }
    }

    /// Measures how long decisions take, by this clock, for [`RuleStats::times`]. It is read twice for
    /// each request.
    #[must_use]
    pub fn with_stopwatch(self, clock: Arc<dyn Clock>) -> Self {
        Self {
            stopwatch: Some(clock),
            ..self
        }
    }

    /// The descriptors that were refused most since the start, or would have been in shadow mode:
    /// at most `most`, the most refused first.
    #[must_use]
    pub fn top_denied(&self, most: usize) -> Vec<Denied> {
        self.top_denied.top(most)
    }

    /// The policies of the moment.
    #[must_use]
    pub fn policies(&self) -> Arc<PolicySet> {
        Arc::clone(&self.reign().policies)
    }

    /// Puts other policies in force. What was counted stays, for descriptors that still have a
    /// limit by the same algorithm; so do the statistics of rules that still stand at their place.
    pub fn replace_policies(&self, policies: PolicySet) {
        let _changing = self.changing.lock();
        let before = self.reign();
        let board = Board::new(&policies, Some((&before.policies, &before.board)));
        let policies = Arc::new(policies);
        *self.reign.write() = Arc::new(Reign { policies, board });
    }

    /// Reads a policy file and puts it in force.
    ///
    /// # Errors
    /// What is wrong with the file; the policies stay as they were then.
    pub fn reload(&self, name: &str, yaml: &str) -> Result<(), PolicyError> {
        self.replace_policies(PolicySet::parse(name, yaml)?);
        Ok(())
    }

    /// How many rules in force have a global budget that this service does not enforce: all of them, if it
    /// has no [budgets](Self::with_budgets).
    #[must_use]
    pub fn unenforced_budgets(&self) -> usize {
        if self.budgets.is_some() {
            return 0;
        }
        let policies = self.policies();
        let rules = policies.rules().iter();
        rules.filter(|rule| rule.global_budget.is_some()).count()
    }

    /// Decides a request, and charges what it takes to all of its limits or to none.
    ///
    /// # Errors
    /// For a request that names no domain or nothing to count by. A store that fails is no error:
    /// each rule says what happens then.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckAnswer, CheckError> {
        if request.domain.is_empty() {
            return Err(CheckError::NoDomain);
        }
        if request.descriptors.is_empty() {
            return Err(CheckError::NoDescriptors);
        }
        let began = self.stopwatch.as_ref().map(|clock| clock.monotonic());
        let reign = self.reign();
        let steps = plan::steps(&reign.policies, request);
        let judge = Judge {
            store: &*self.store,
            fallback: &*self.fallback,
            on_store_failure: self.on_store_failure,
            instances: &*self.instances,
            budgets: self.budgets.as_deref(),
        };
        let (outcomes, spent) = judge.settle(&steps).await;
        let answer = outcome::answer(&steps, &outcomes, spent);
        let took = began.zip(self.stopwatch.as_ref());
        let took = took.map(|(began, clock)| clock.monotonic().saturating_sub(began));
        self.count(&reign.board, &steps, &answer, took);
        self.report(request, &answer);
        Ok(answer)
    }

    /// Gives back what a request was charged that was told to wait and left before its turn. Its
    /// places in queues are free for later requests; those behind it keep the times they were told.
    ///
    /// If the store fails, the places stay taken until their time has passed.
    pub async fn refund(&self, receipt: Receipt) {
        // Whoever left learns nothing from a failure; the breaker of the store tells of it.
        let _ = self.store.refund(&receipt.stored).await;
        let _ = self.fallback.refund(&receipt.local).await;
        if let Some(budgets) = &self.budgets {
            receipt.spent.iter().for_each(|it| budgets.give_back(it));
        }
    }

    /// What was decided since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let reign = self.reign();
        Stats {
            unmatched: stats::read(&self.unmatched),
            unknown_domain: stats::read(&self.unknown_domain),
            rules: reign.board.read(&reign.policies),
        }
    }

    fn reign(&self) -> Arc<Reign> {
        Arc::clone(&self.reign.read())
    }

    fn report(&self, request: &CheckRequest, answer: &CheckAnswer) {
        for (descriptor, status) in request.descriptors.iter().zip(&answer.statuses) {
            let Some(rule) = &status.rule else { continue };
            if !status.refuses() && !status.would_refuse {
                continue;
            }
            let entries = &descriptor.entries;
            self.top_denied.note(rule, entries);
            if let Some(audit) = &self.audit {
                audit.denied(&Denial {
                    rule,
                    entries,
                    status,
                });
            }
        }
    }

    fn count(&self, board: &Board, steps: &[Step], answer: &CheckAnswer, took: Option<Duration>) {
        for (step, status) in steps.iter().zip(&answer.statuses) {
            let Some(rule) = &status.rule else {
                stats::count(match step {
                    Step::Unknown => &self.unknown_domain,
                    _ => &self.unmatched,
                });
                continue;
            };
            let Some(counters) = board.of(rule) else {
                continue;
            };
            if status.failure.is_some() {
                stats::count(&counters.errors);
            }
            match status.code {
                _ if status.would_refuse => stats::count(&counters.would_deny),
                Code::Allowed | Code::Unlimited => stats::count(&counters.allowed),
                Code::OverLimit => stats::count(&counters.denied),
                Code::Unmatched | Code::Replaced => continue,
            }
            if let Some(took) = took {
                counters.times.observe(took);
            }
        }
    }
}

impl fmt::Debug for LimitService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitService")
            .field("policies", &self.policies())
            .field("on_store_failure", &self.on_store_failure)
            .finish_non_exhaustive()
    }
}

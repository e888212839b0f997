use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::times::{DecisionTimes, Histogram};
use crate::policy::{PolicySet, Rule};

/// How often what was decided: once for each descriptor of a request, whatever it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Descriptors of a known domain without a rule.
    pub unmatched: u64,
    /// Descriptors of a domain that is not known.
    pub unknown_domain: u64,
    /// Every rule of the policies of the moment, in the order of the file.
    pub rules: Vec<RuleStats>,
}

/// How often one rule decided what.
///
/// Never less than before, until the rule leaves its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleStats {
    /// The rule.
    pub rule: Arc<Rule>,
    /// There was room.
    pub allowed: u64,
    /// There was none, and the request was refused.
    pub denied: u64,
    /// There was none, but the rule is in shadow mode or quota mode.
    pub would_deny: u64,
    /// The store failed. What was decided then is counted as well.
    pub errors: u64,
    /// How long that took. Empty if the service measures no times.
    pub times: DecisionTimes,
}

/// The counters of one rule.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) allowed: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) would_deny: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) times: Histogram,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The counters of every rule of a set of policies, by the number of the rule.
#[derive(Debug)]
pub(super) struct Board(Vec<Arc<Counters>>);

impl Board {
    /// Counters for `policies`; those of rules that stood at the same place in `before` go on.
    pub(super) fn new(policies: &PolicySet, before: Option<(&PolicySet, &Self)>) -> Self {
        let known: HashMap<(&str, &str), &Arc<Counters>> = before
            .into_iter()
            .flat_map(|(policies, board)| policies.rules().iter().zip(&board.0))
            .map(|(rule, counters)| ((&*rule.domain, &*rule.path), counters))
            .collect();
        let of = |rule: &Arc<Rule>| known.get(&(&*rule.domain, &*rule.path)).copied();
        let rules = policies.rules().iter();
        Self(
            rules
                .map(|rule| of(rule).cloned().unwrap_or_default())
                .collect(),
        )
    }

    pub(super) fn of(&self, rule: &Rule) -> Option<&Counters> {
        self.0.get(rule.index).map(AsRef::as_ref)
    }

    pub(super) fn read(&self, policies: &PolicySet) -> Vec<RuleStats> {
        let rules = policies.rules().iter().zip(&self.0);
        rules
            .map(|(rule, counters)| RuleStats {
                rule: Arc::clone(rule),
                allowed: read(&counters.allowed),
                denied: read(&counters.denied),
                would_deny: read(&counters.would_deny),
                errors: read(&counters.errors),
                times: counters.times.read(),
            })
            .collect()
    }
}

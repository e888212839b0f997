use std::sync::Arc;

use crate::policy::Rule;

/// How often what was decided: once for each descriptor of a request, whatever it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Descriptors without a rule.
    pub unmatched: u64,
    /// Descriptors of a domain that is not known.
    pub unknown_domain: u64,
    /// Every rule of the policies of the moment, in the order of the file.
    pub rules: Vec<RuleStats>,
}

/// How often one rule decided what.
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
    /// The store failed.
    pub errors: u64,
}

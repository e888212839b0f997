use std::sync::Arc;
use std::time::Duration;

use super::Receipt;
use crate::policy::{Allowance, Descriptor, OnStoreFailure, Rule};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRequest {
    /// Whose rules.
    pub domain: String,
    /// What the request is; each is counted by itself.
    pub descriptors: Vec<Descriptor>,
    /// How much it takes, where a descriptor does not say so itself. 0 peeks: front ends of
    /// protocols in which it means 1 translate it.
    pub hits: u64,
}

/// Why a request was not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The domain is empty.
    #[error("the request names no domain: give the domain of the policies")]
    NoDomain,
    /// There is no descriptor.
    #[error("the request has no descriptors: give at least one")]
    NoDescriptors,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct CheckAnswer {
    /// Whether the request passes: no limit that binds is over. If not, nothing was charged.
    pub allowed: bool,
    /// How long to hold the request before it goes on: the longest delay of its queues. Zero if it
    /// is refused.
    pub delay: Duration,
    /// One for each descriptor, in their order.
    pub statuses: Vec<Status>,
    /// What it was charged, if it is delayed.
    pub receipt: Receipt,
}

impl CheckAnswer {
    /// How long until the request would pass, as far as its own limits tell; none if it passed, can
    /// never pass, or if nobody knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let over = self.statuses.iter().filter(|status| status.refuses());
        over.map(|status| status.retry_after)
            .try_fold(None, |longest, after| Some(longest.max(Some(after?))))
            .flatten()
    }
}

/// What was decided about one descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// By which rule; none if there is none.
    pub rule: Option<Arc<Rule>>,
    /// What came of it.
    pub code: Code,
    /// The requests and the window to show.
    pub limit: Option<Allowance>,
    /// The greatest cost that would pass now, in hits times the cost of the rule. None without a
    /// limit, and if the store failed.
    pub remaining: Option<u64>,
    /// How long until the counter is as if it had never been used. None without a limit, and if the
    /// store failed.
    pub reset_after: Option<Duration>,
    /// How long until the same request would pass this limit. None if it passed, if it never can,
    /// and if the store failed. For what was only peeked at, an upper bound.
    pub retry_after: Option<Duration>,
    /// Whether the limit is over, and would have refused the request if it were not in shadow mode
    /// or quota mode.
    pub would_refuse: bool,
    /// What the rule does on a failure of the store, if that decided.
    pub failure: Option<OnStoreFailure>,
}

impl Status {
    /// The name of the rule.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.rule.as_deref().map(|rule| &*rule.name)
    }

    /// Whether this refuses the request.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.code == Code::OverLimit
    }
}

/// What came of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// There was room, or the rule does not bind.
    Allowed,
    /// There was no room.
    OverLimit,
    /// No rule is for it, or its domain is unknown.
    Unmatched,
    /// Its rule has no limit.
    Unlimited,
    /// Its rule does not count, because the rule of another descriptor replaces it.
    Replaced,
}

use std::sync::Arc;
use std::time::Duration;

use super::Allowance;
use crate::{Limiter, Quota};

/// The path of the rule for limits that requests bring. No descriptor has it.
pub(super) const BROUGHT: &str = "^request";

/// One limit of a policy file, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What answers call it: the name that the file gives, or else the path.
    pub name: Arc<str>,
    /// Whose rule it is.
    pub domain: Arc<str>,
    /// Where it stands in its domain: the keys and values of its descriptors, such as
    /// `message_type=marketing|to_number`. No two rules of a domain have the same.
    pub path: Arc<str>,
    /// How much it lets through.
    pub ceiling: Ceiling,
    /// `shadow_mode`: it counts and says what it would do, and never refuses.
    pub shadow: bool,
    /// `quota_mode`: it never refuses either; front ends report what is used up to whoever chooses
    /// where a request goes.
    pub quota_mode: bool,
    /// What happens to a request for which there is no room now.
    pub on_exceed: OnExceed,
    /// The longest that a request waits; none if as long as there is room in the queue.
    pub max_delay: Option<Duration>,
    /// What happens while the store fails; none for the default of the service.
    pub on_store_failure: Option<OnStoreFailure>,
    /// Whether instances may decide on leased tokens.
    pub precision: Precision,
    /// What all regions together let through in its window: `global_budget`. It is enforced by a
    /// service that has [`Budgets`](crate::budget::Budgets).
    pub global_budget: Option<Quota>,
    /// What one hit costs; at least 1.
    pub cost: u64,
    /// Names of rules that do not count where this one does.
    pub replaces: Vec<Arc<str>>,
    /// Whether metrics tell the values of a descriptor apart.
    pub detailed_metric: bool,
    pub(crate) named: bool,
    pub(crate) index: usize,
}

impl Rule {
    /// The limiter that decides; none if the rule lets everything or nothing through.
    #[must_use]
    pub const fn limiter(&self) -> Option<Limiter> {
        match self.ceiling {
            Ceiling::Limited { limiter, .. } => Some(limiter),
            Ceiling::Unlimited | Ceiling::Blocked { .. } => None,
        }
    }

    /// The requests and the window to show; none if it is unlimited.
    #[must_use]
    pub const fn allowance(&self) -> Option<Allowance> {
        match self.ceiling {
            Ceiling::Unlimited => None,
            Ceiling::Blocked { window } => Some(Allowance::Nothing(window)),
            Ceiling::Limited { quota, .. } => Some(Allowance::Quota(quota)),
        }
    }

    /// Whether it stands for the limits that requests bring, and not in a file.
    #[must_use]
    pub fn is_brought(&self) -> bool {
        &*self.path == BROUGHT
    }

    /// Its place in [`PolicySet::rules`](super::PolicySet::rules).
    #[must_use]
    pub const fn number(&self) -> usize {
        self.index
    }

    /// Whether it can refuse a request.
    #[must_use]
    pub const fn binds(&self) -> bool {
        !self.shadow && !self.quota_mode
    }
}

/// How much a rule lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceiling {
    /// Everything: `unlimited`.
    Unlimited,
    /// Nothing: `requests_per_unit: 0`.
    Blocked {
        /// What is shown as the window.
        window: Duration,
    },
    /// As much as the limiter says.
    Limited {
        /// What the file gives: requests and window.
        quota: Quota,
        /// What decides.
        limiter: Limiter,
    },
}

/// What happens to a request for which there is no room now: `on_exceed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnExceed {
    /// `reject`: it is refused.
    #[default]
    Reject,
    /// `delay`: it is allowed, and told how long to wait; who asked has to wait.
    Delay,
    /// `queue`: the same, but the front end waits before it answers.
    Queue,
}

/// What happens while the store fails: `on_store_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnStoreFailure {
    /// `open`: requests pass.
    Open,
    /// `closed`: requests are refused.
    Closed,
    /// `local`: this process counts by itself.
    Local,
}

/// Where a decision is taken: `precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// `exact`: by the store, for each request.
    #[default]
    Exact,
    /// `leased`: by the instance, on tokens that it took from the store before.
    Leased,
}

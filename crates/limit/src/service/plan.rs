//! What the descriptors of a request have to pass.

use std::collections::HashSet;
use std::sync::Arc;

use super::{CheckRequest, Code};
use crate::policy::{PolicySet, Precision, Resolved, Rule};
use crate::store::{Charge, LimitKey};
use crate::{Limiter, MAX_LIMIT};

/// One descriptor, before anything is asked of a store.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing to ask: the code is known.
    Known { code: Code, rule: Option<Arc<Rule>> },
    /// The domain is unknown.
    Unknown,
    /// Nothing passes.
    Blocked { rule: Arc<Rule> },
    /// The store decides.
    Ask(Question),
}

/// One limit to ask a store about.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) rule: Arc<Rule>,
    pub(super) cost: u64,
    pub(super) key: LimitKey,
    limiter: Limiter,
}

impl Question {
    /// What to ask: the real cost, or only how things are; by the whole limit, or by the share of it
    /// that is left to one of so many instances.
    pub(super) fn charge(&self, manner: Manner, instances: u64) -> Charge {
        Charge {
            key: self.key.clone(),
            limiter: self.limiter.share(instances),
            cost: match manner {
                Manner::Charge => self.cost,
                Manner::Peek => 0,
            },
            binds: self.rule.binds(),
            // Delays are places in line, which cannot be taken ahead.
            leased: self.rule.precision == Precision::Leased
                && !matches!(self.limiter, Limiter::LeakyQueue(_)),
        }
    }
}

/// Whether a question is to be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Charge,
    /// The request is refused anyway, or nobody knows yet.
    Peek,
}

/// The steps of a request, one for each descriptor.
pub(super) fn steps(policies: &PolicySet, request: &CheckRequest) -> Vec<Step> {
    let mut steps: Vec<Step> = request
        .descriptors
        .iter()
        .map(|descriptor| {
            let hits = descriptor.hits.unwrap_or(request.hits);
            step(policies.resolve(&request.domain, descriptor), hits)
        })
        .collect();
    replace(&mut steps);
    steps
}

fn step(resolved: Resolved, hits: u64) -> Step {
    match resolved {
        Resolved::UnknownDomain => Step::Unknown,
        Resolved::Unmatched => Step::Known {
            code: Code::Unmatched,
            rule: None,
        },
        Resolved::Unlimited { rule } => Step::Known {
            code: Code::Unlimited,
            rule: Some(rule),
        },
        Resolved::Blocked { rule } => Step::Blocked { rule },
        Resolved::Limited { rule, key, limiter } => Step::Ask(Question {
            // Above the greatest limit, one number is as good as another.
            cost: hits.saturating_mul(rule.cost).min(MAX_LIMIT + 1),
            rule,
            key,
            limiter,
        }),
    }
}

/// Takes out the rules whose name another rule of the request replaces.
fn replace(steps: &mut [Step]) {
    let rules = steps.iter().filter_map(Step::rule);
    let replaced: HashSet<Arc<str>> = rules.flat_map(|rule| rule.replaces.clone()).collect();
    if replaced.is_empty() {
        return;
    }
    for step in steps {
        let rule = step
            .rule()
            .filter(|rule| rule.named && replaced.contains(&rule.name));
        if let Some(rule) = rule.map(Arc::clone) {
            *step = Step::Known {
                code: Code::Replaced,
                rule: Some(rule),
            };
        }
    }
}

impl Step {
    pub(super) fn rule(&self) -> Option<&Arc<Rule>> {
        match self {
            Self::Known { rule, .. } => rule.as_ref(),
            Self::Unknown => None,
            Self::Blocked { rule } => Some(rule),
            Self::Ask(question) => Some(&question.rule),
        }
    }

    pub(super) fn question(&self) -> Option<&Question> {
        match self {
            Self::Ask(question) => Some(question),
            Self::Known { .. } | Self::Unknown | Self::Blocked { .. } => None,
        }
    }
}

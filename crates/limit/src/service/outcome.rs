//! From what a store said to what is answered.

use std::sync::Arc;
use std::time::Duration;

use super::budgeted::Budgeted;
use super::plan::{Manner, Question, Step};
use super::{CheckAnswer, Code, Receipt, Status};
use crate::Shaped;
use crate::budget::{Spent, Standing};
use crate::policy::{Allowance, OnStoreFailure, Rule};

/// What came of one question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// What a store said, and to what question. None if none said anything.
    pub(super) said: Option<(Shaped, Manner)>,
    /// What the rule does on a failure, if the store failed.
    pub(super) failure: Option<OnStoreFailure>,
    /// Among how many instances the limit was divided for it.
    pub(super) instances: u64,
    /// What the budget says, if there is one.
    pub(super) budget: Option<Budgeted>,
}

impl Outcome {
    /// Whether the limit or the budget is over for this question.
    pub(super) fn over(&self, question: &Question) -> bool {
        self.budget.is_some_and(|budget| budget.over) || self.limit_over(question)
    }

    fn limit_over(&self, question: &Question) -> bool {
        match self.said {
            None => self.failure == Some(OnStoreFailure::Closed),
            Some((shaped, manner)) => match (question.cost, manner) {
                (0, _) => shaped.decision.remaining() == 0,
                (_, Manner::Charge) => !shaped.decision.allowed(),
                (cost, Manner::Peek) => shaped.decision.remaining() < cost,
            },
        }
    }

    fn status(&self, question: &Question) -> Status {
        let over = self.limit_over(question);
        let decision = self.said.map(|(shaped, _)| shaped.decision);
        let retry_after = self.said.filter(|_| over).and_then(|(shaped, manner)| {
            let decision = shaped.decision;
            match manner {
                Manner::Charge if question.cost > 0 => decision.retry_after(),
                _ if question.cost > decision.limit() => None,
                _ => Some(decision.reset_after()),
            }
        });
        let status = Status {
            remaining: decision.map(|decision| decision.remaining()),
            reset_after: decision.map(|decision| decision.reset_after()),
            retry_after,
            failure: self.failure,
            ..ruled(&question.rule, self.over(question))
        };
        match &self.budget {
            Some(budget) if budget.over => budget.over_in(status, question, over),
            Some(budget) => budget.beside(status),
            None => status,
        }
    }

    /// How long the charge has to wait for its turn.
    fn delay(&self, question: &Question) -> Duration {
        match self.said {
            Some((shaped, Manner::Charge)) if question.cost > 0 && question.rule.binds() => {
                shaped.delay
            }
            _ => Duration::ZERO,
        }
    }
}

impl Budgeted {
    /// The status of a question that the budget refuses, and perhaps the limit as well: the budget is
    /// what is shown.
    fn over_in(&self, status: Status, question: &Question, limit_over: bool) -> Status {
        let Standing { left, ends_after } = self.standing;
        let retry_after = match limit_over {
            true => status.retry_after.map(|after| after.max(ends_after)),
            false => Some(ends_after),
        };
        Status {
            limit: Some(Allowance::Quota(self.quota)),
            remaining: Some(
                status
                    .remaining
                    .map_or(left, |remaining| remaining.min(left)),
            ),
            reset_after: Some(ends_after),
            retry_after: retry_after.filter(|_| question.cost <= self.quota.limit()),
            ..status
        }
    }

    /// The status of a question that the budget lets pass: what remains is what both leave.
    fn beside(&self, status: Status) -> Status {
        match (status.remaining, status.reset_after) {
            (Some(remaining), Some(reset_after)) if self.standing.left < remaining => Status {
                remaining: Some(self.standing.left),
                reset_after: Some(reset_after.max(self.standing.ends_after)),
                ..status
            },
            _ => status,
        }
    }
}

/// The answer to a request: `outcomes` has one for each question in `steps`, in their order, and
/// `spent` is what it took of budgets.
pub(super) fn answer(steps: &[Step], outcomes: &[Outcome], spent: Vec<Spent>) -> CheckAnswer {
    let questions = steps.iter().filter_map(Step::question);
    let asked = questions.zip(outcomes);
    let mut outcomes = outcomes.iter();
    let mut delay = Duration::ZERO;
    let statuses: Vec<Status> = steps
        .iter()
        .map(|step| match step {
            Step::Known { code, rule } => Status {
                rule: rule.clone(),
                ..Status::bare(*code)
            },
            Step::Unknown => Status::bare(Code::Unmatched),
            Step::Blocked { rule } => Status {
                remaining: Some(0),
                ..ruled(rule, true)
            },
            Step::Ask(question) => match outcomes.next() {
                Some(outcome) => {
                    delay = delay.max(outcome.delay(question));
                    outcome.status(question)
                }
                None => Status::bare(Code::Unmatched),
            },
        })
        .collect();
    let allowed = !statuses.iter().any(Status::refuses);
    let delay = if allowed { delay } else { Duration::ZERO };
    let mut receipt = Receipt::default();
    if !delay.is_zero() {
        asked.for_each(|(question, outcome)| receipt.add(question, outcome));
        receipt.spent = spent;
    }
    CheckAnswer {
        allowed,
        delay,
        statuses,
        receipt,
    }
}

fn ruled(rule: &Arc<Rule>, over: bool) -> Status {
    let code = if over && rule.binds() {
        Code::OverLimit
    } else {
        Code::Allowed
    };
    Status {
        rule: Some(Arc::clone(rule)),
        limit: rule.allowance(),
        would_refuse: over && !rule.binds(),
        ..Status::bare(code)
    }
}

impl Status {
    fn bare(code: Code) -> Self {
        Self {
            rule: None,
            code,
            limit: None,
            remaining: None,
            reset_after: None,
            retry_after: None,
            would_refuse: false,
            failure: None,
        }
    }
}

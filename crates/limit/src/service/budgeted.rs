//! What budgets over all regions say to a request.

use super::outcome::Outcome;
use super::plan::Question;
use crate::Quota;
use crate::budget::{Budgets, Hold, Spent, Standing};

/// What the budget of one question says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budgeted {
    pub(super) quota: Quota,
    pub(super) standing: Standing,
    /// Whether it is used up for this question.
    pub(super) over: bool,
}

/// What is kept of budgets while a request is decided.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    budgets: Option<&'a Budgets>,
    /// The number of the question, and what its budget says. Of questions with a budget only.
    said: Vec<(usize, Quota, Result<Hold<'a>, Standing>)>,
    refuses: bool,
}

impl<'a> Kept<'a> {
    /// Keeps what these questions cost, if their budgets have it.
    pub(super) fn of(budgets: Option<&'a Budgets>, questions: &[&Question]) -> Self {
        let mut kept = Self {
            budgets,
            said: Vec::new(),
            refuses: false,
        };
        let Some(budgets) = budgets else {
            return kept;
        };
        for (at, question) in questions.iter().enumerate() {
            let Some(quota) = question.rule.global_budget else {
                continue;
            };
            if let Some(said) = budgets.hold(&question.key, quota, question.cost) {
                kept.refuses |= said.is_err() && question.rule.binds();
                kept.said.push((at, quota, said));
            }
        }
        kept
    }

    /// Whether a budget that binds is used up.
    pub(super) const fn refuses(&self) -> bool {
        self.refuses
    }

    /// Adds to the outcomes what budgets say, and takes from them what the request uses. What.
    pub(super) fn settle(self, questions: &[&Question], outcomes: &mut [Outcome]) -> Vec<Spent> {
        let mut both = questions.iter().zip(&*outcomes);
        let refused =
            self.refuses || both.any(|(question, it)| question.rule.binds() && it.over(question));
        let mut spent = Vec::new();
        for (at, quota, said) in self.said {
            let (Some(question), Some(outcome)) = (questions.get(at), outcomes.get_mut(at)) else {
                continue;
            };
            let used = !refused && question.cost > 0 && !outcome.over(question);
            outcome.budget = Some(match said {
                Err(standing) => {
                    if let (Some(budgets), true) = (self.budgets, question.rule.binds()) {
                        budgets.count_refusal();
                    }
                    Budgeted {
                        quota,
                        standing,
                        over: true,
                    }
                }
                Ok(hold) => {
                    let mut standing = hold.standing();
                    if used {
                        spent.push(hold.spend());
                    } else {
                        standing.left = standing.left.saturating_add(question.cost);
                    }
                    Budgeted {
                        quota,
                        standing,
                        over: false,
                    }
                }
            });
        }
        spent
    }
}

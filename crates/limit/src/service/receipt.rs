use super::outcome::Outcome;
use super::plan::{Manner, Question};
use crate::budget::Spent;
use crate::store::Refund;

/// What a request was charged that has to wait for its turn.
///
/// If it leaves before, [`LimitService::refund`](super::LimitService::refund) gives that back, once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Charged in the store.
    pub(super) stored: Vec<Refund>,
    /// Charged in this process, because the store failed.
    pub(super) local: Vec<Refund>,
    /// Taken of budgets.
    pub(super) spent: Vec<Spent>,
}

impl Receipt {
    /// Whether there is nothing to give back: the request did not have to wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.local.is_empty()
    }

    pub(super) fn add(&mut self, question: &Question, outcome: &Outcome) {
        let Some((shaped, manner @ Manner::Charge)) = outcome.said else {
            return;
        };
        let refund = Refund::of(&[question.charge(manner, outcome.instances)], &[shaped]);
        match outcome.failure {
            None => self.stored.extend(refund),
            Some(_) => self.local.extend(refund),
        }
    }
}

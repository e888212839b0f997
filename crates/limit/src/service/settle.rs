//! Asking the stores, so that a request is charged to all of its limits or to none.

use super::budgeted::Kept;
use super::outcome::Outcome;
use super::plan::{Manner, Question, Step};
use crate::Shaped;
use crate::budget::{Budgets, Spent};
use crate::policy::OnStoreFailure;
use crate::store::{Charge, LimitStore, StoreError};

/// Who is asked.
pub(super) struct Judge<'a> {
    pub(super) store: &'a dyn LimitStore,
    pub(super) fallback: &'a dyn LimitStore,
    pub(super) on_store_failure: OnStoreFailure,
    /// How many instances share the store.
    pub(super) instances: &'a (dyn Fn() -> u64 + Send + Sync),
    /// What all regions together may admit.
    pub(super) budgets: Option<&'a Budgets>,
}

impl Judge<'_> {
    /// One outcome for each question of the steps, in their order, and what was taken of budgets.
    pub(super) async fn settle(&self, steps: &[Step]) -> (Vec<Outcome>, Vec<Spent>) {
        let questions: Vec<&Question> = steps.iter().filter_map(Step::question).collect();
        if questions.is_empty() {
            return (Vec::new(), Vec::new());
        }
        if steps.iter().any(blocks) {
            return (self.ask(&questions, Manner::Peek).await, Vec::new());
        }
        let kept = Kept::of(self.budgets, &questions);
        let mut outcomes = match kept.refuses() {
            true => self.ask(&questions, Manner::Peek).await,
            false => self.charge(&questions).await,
        };
        let spent = kept.settle(&questions, &mut outcomes);
        (outcomes, spent)
    }

    async fn charge(&self, questions: &[&Question]) -> Vec<Outcome> {
        // The store lets every peek pass, and would charge the rest.
        let gate = |one: &Question| one.cost == 0 && one.rule.binds();
        let charges: Vec<&Question> = questions.iter().copied().filter(|one| !gate(one)).collect();
        if charges.len() == questions.len() || charges.iter().all(|one| one.cost == 0) {
            return self.ask(questions, Manner::Charge).await;
        }
        let peeked = self.ask(questions, Manner::Peek).await;
        let mut both = questions.iter().zip(&peeked);
        if both.any(|(one, outcome)| gate(one) && outcome.over(one)) {
            return peeked;
        }
        // What the peeks found holds, though others may have charged since, and this request does.
        let mut charged = self.ask(&charges, Manner::Charge).await.into_iter();
        let both = questions.iter().zip(peeked);
        both.map(|(one, outcome)| match gate(one) {
            true => outcome,
            false => charged.next().unwrap_or(outcome),
        })
        .collect()
    }

    async fn ask(&self, questions: &[&Question], manner: Manner) -> Vec<Outcome> {
        let charges: Vec<Charge> = questions.iter().map(|one| one.charge(manner, 1)).collect();
        match decide(self.store, &charges).await {
            Ok(shaped) => shaped
                .into_iter()
                .map(|shaped| Outcome {
                    said: Some((shaped, manner)),
                    failure: None,
                    instances: 1,
                    budget: None,
                })
                .collect(),
            Err(_) => self.without_store(questions, manner).await,
        }
    }

    /// What rules say themselves, and what this process knows.
    async fn without_store(&self, questions: &[&Question], manner: Manner) -> Vec<Outcome> {
        let modes: Vec<OnStoreFailure> = questions
            .iter()
            .map(|one| one.rule.on_store_failure.unwrap_or(self.on_store_failure))
            .collect();
        let closed = |(one, mode): (&&Question, &OnStoreFailure)| {
            one.rule.binds() && *mode == OnStoreFailure::Closed
        };
        let manner = if questions.iter().zip(&modes).any(closed) {
            Manner::Peek
        } else {
            manner
        };
        let instances = (self.instances)();
        let local: Vec<Charge> = questions
            .iter()
            .zip(&modes)
            .filter(|(_, mode)| **mode == OnStoreFailure::Local)
            .map(|(one, _)| one.charge(manner, instances))
            .collect();
        let shaped = match local.is_empty() {
            true => Vec::new(),
            false => decide(self.fallback, &local).await.unwrap_or_default(),
        };
        let mut shaped = shaped.into_iter();
        modes
            .into_iter()
            .map(|mode| Outcome {
                said: match mode {
                    OnStoreFailure::Local => shaped.next().map(|shaped| (shaped, manner)),
                    OnStoreFailure::Open | OnStoreFailure::Closed => None,
                },
                failure: Some(mode),
                instances,
                budget: None,
            })
            .collect()
    }
}

/// Whether nothing passes that asks for this.
fn blocks(step: &Step) -> bool {
    matches!(step, Step::Blocked { rule } if rule.binds())
}

/// Asks a store, and sees to it that it answers everything.
async fn decide(store: &dyn LimitStore, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
    if let [one] = charges
        && let Some(shaped) = store.decide_at_once(one.key.as_bytes(), &one.limiter, one.cost)
    {
        return Ok(vec![shaped]);
    }
    let shaped = store.decide(charges).await?;
    if shaped.len() == charges.len() {
        return Ok(shaped);
    }
    Err(StoreError::Failed(format!(
        "{} answers to {} charges",
        shaped.len(),
        charges.len()
    )))
}

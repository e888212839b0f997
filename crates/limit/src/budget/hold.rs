//! What is kept of a budget for a request that is being decided.

use super::Budgets;
use super::entry::Standing;
use crate::Quota;
use crate::store::LimitKey;

/// Units of a budget that nobody else gets until the request is decided. Dropped, they are free
/// again.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    pub(super) budgets: &'a Budgets,
    pub(super) key: LimitKey,
    pub(super) quota: Quota,
    pub(super) units: u64,
    /// How things are, with these units taken.
    pub(super) standing: Standing,
}

/// What a request took of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(super) key: LimitKey,
    pub(super) units: u64,
    pub(super) era: u64,
}

impl Hold<'_> {
    pub(crate) const fn standing(&self) -> Standing {
        self.standing
    }

    /// The request was admitted.
    pub(crate) fn spend(mut self) -> Spent {
        let units = std::mem::take(&mut self.units);
        let era = self.budgets.spend(&self.key, self.quota, units);
        Spent {
            key: self.key.clone(),
            units,
            era,
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.units > 0 {
            self.budgets.release(&self.key, self.units);
        }
    }
}

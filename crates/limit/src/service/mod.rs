//! Deciding requests by policies, with a store of counters.

mod answer;
mod stats;

use std::sync::Arc;

use parking_lot::RwLock;

pub use answer::{CheckAnswer, CheckError, CheckRequest, Code, Status};
pub use stats::{RuleStats, Stats};

use crate::policy::{OnStoreFailure, PolicyError, PolicySet};
use crate::store::LimitStore;

/// Decides requests by the policies of the moment.
pub struct LimitService {
    policies: RwLock<Arc<PolicySet>>,
    store: Arc<dyn LimitStore>,
    fallback: Arc<dyn LimitStore>,
    on_store_failure: OnStoreFailure,
}

impl LimitService {
    /// A service with these policies, that counts in `store`. `fallback` is a store inside of this
    /// process, which counts while `store` fails, for rules that say `local`.
    pub fn new(
        policies: PolicySet,
        store: Arc<dyn LimitStore>,
        fallback: Arc<dyn LimitStore>,
    ) -> Self {
        Self {
            policies: RwLock::new(Arc::new(policies)),
            store,
            fallback,
            on_store_failure: OnStoreFailure::Local,
        }
    }

    /// What rules do on a failure of the store that do not say so themselves; `local` by default.
    #[must_use]
    pub fn with_on_store_failure(self, on_store_failure: OnStoreFailure) -> Self {
        Self {
            on_store_failure,
            ..self
        }
    }

    /// The policies of the moment.
    #[must_use]
    pub fn policies(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policies.read())
    }

    /// Puts other policies in force. What was counted stays, for descriptors that still have a
    /// limit; so do the statistics of rules that still stand at their place.
    pub fn replace_policies(&self, policies: PolicySet) {
        *self.policies.write() = Arc::new(policies);
    }

    /// Reads a policy file and puts it in force.
    ///
    /// # Errors
    /// What is wrong with the file; the policies stay as they were then.
    pub fn reload(&self, name: &str, yaml: &str) -> Result<(), PolicyError> {
        self.replace_policies(PolicySet::parse(name, yaml)?);
        Ok(())
    }

    /// Decides a request, and charges what it takes to all of its limits or to none.
    ///
    /// # Errors
    /// For a request that names no domain or nothing to count by. A store that fails is no error:
    /// each rule says what happens then.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckAnswer, CheckError> {
        let _ = (request, &self.store, &self.fallback, self.on_store_failure);
        todo!()
    }

    /// What was decided since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        todo!()
    }
}

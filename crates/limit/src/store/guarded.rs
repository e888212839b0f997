//! A circuit breaker around a store: see [`Guarded`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tollgate_clock::Clock;
use tollgate_redis::{Breaker, BreakerOptions, BreakerStats, Part};

use super::{Charge, LimitKey, LimitStore, Refund, StoreError};
use crate::Shaped;

/// A store of which parts may be away while others are not, as the servers of a cluster.
pub trait InParts: LimitStore {
    /// The part that decides by this key. All charges of a decision are of one part.
    fn part(&self, key: &LimitKey) -> Part {
        let _ = key;
        Part::default()
    }
}

/// A store that is not asked while it is away, or the part of it that would have to decide.
///
/// After some failures in a row every decision fails at once, but for one at a time, after each
/// pause, which tries whether the store is back. If it is, all go on as before. Only
/// [`StoreError::Unavailable`] counts as a failure: a store that answers is there.
pub struct Guarded<S> {
    store: S,
    breaker: Breaker,
}

impl<S> Guarded<S> {
    /// Guards `store`.
    pub fn new(store: S, options: BreakerOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            breaker: Breaker::new("the store of limits", options, clock),
        }
    }

    /// What it guards.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Where the breaker is, and what has become of decisions and refunds.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        self.breaker.stats()
    }

    /// Asks the store, if it is not away.
    async fn through<T>(
        &self,
        part: Part,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let is_away = |error: &StoreError| matches!(error, StoreError::Unavailable(_));
        self.breaker.through(part, asked, is_away).await
    }
}

#[async_trait]
impl<S: InParts> LimitStore for Guarded<S> {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        let part = charges.first().map(|charge| self.store.part(&charge.key));
        let decided = self.store.decide(charges);
        self.through(part.unwrap_or_default(), decided).await
    }

    /// Whatever becomes of those of one part, the others are given back.
    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        let mut by_part: HashMap<Part, Vec<Refund>> = HashMap::new();
        for refund in refunds {
            let part = self.store.part(refund.key());
            by_part.entry(part).or_default().push(refund.clone());
        }
        let mut outcome = Ok(());
        for (part, refunds) in by_part {
            outcome = outcome.and(self.through(part, self.store.refund(&refunds)).await);
        }
        outcome
    }
}

impl<S: fmt::Debug> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("store", &self.store)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

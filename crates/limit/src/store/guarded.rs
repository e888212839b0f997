//! A circuit breaker around a store: see [`Guarded`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tollgate_clock::Clock;
use tollgate_redis::{Breaker, BreakerOptions, BreakerStats};

use super::{Charge, LimitStore, Refund, StoreError};
use crate::Shaped;

/// A store that is not asked while it is away.
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
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let is_away = |error: &StoreError| matches!(error, StoreError::Unavailable(_));
        self.breaker.through(asked, is_away).await
    }
}

#[async_trait]
impl<S: LimitStore> LimitStore for Guarded<S> {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.through(self.store.decide(charges)).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.through(self.store.refund(refunds)).await
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

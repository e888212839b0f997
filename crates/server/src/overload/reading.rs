use std::sync::Arc;

use async_trait::async_trait;
use tollgate_links::store::StoreError;
use tollgate_links::{LinkKey, LinkSource, Loaded};

use super::Gate;

/// A source of links that is asked by so many at once as it answers in time. The others are told
/// [`StoreError::Overloaded`] at once; of those, the cache serves what it holds past its time.
pub struct Admitting {
    source: Arc<dyn LinkSource>,
    gate: Arc<Gate>,
}

impl Admitting {
    /// `source` behind `gate`.
    #[must_use]
    pub fn new(source: Arc<dyn LinkSource>, gate: Arc<Gate>) -> Self {
        Self { source, gate }
    }
}

#[async_trait]
impl LinkSource for Admitting {
    async fn load(&self, key: &LinkKey) -> Result<Loaded, StoreError> {
        let Some(admitted) = self.gate.admit() else {
            return Err(StoreError::Overloaded);
        };
        let loaded = self.source.load(key).await;
        admitted.done();
        loaded
    }

    async fn forget(&self, keys: &[LinkKey]) {
        self.source.forget(keys).await;
    }

    fn distrust(&self) {
        self.source.distrust();
    }
}

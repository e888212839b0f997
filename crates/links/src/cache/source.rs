//! Where the cache in memory reads what it does not know.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Tier;
use crate::store::{LinkStore, StoreError};
use crate::{Link, LinkKey};

/// What a read brought.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The link; `None` if there is none of this name.
    pub link: Option<Arc<Link>>,
    /// Who knew.
    pub tier: Tier,
    /// How long it may be believed at most, counted from now. Zero: it answers those who wait for it, and is
    /// not kept.
    pub good_for: Duration,
}

/// What is behind the cache in memory: the store, or a cache that instances share in front of it.
#[async_trait]
pub trait LinkSource: Send + Sync + 'static {
    /// Reads one link, whatever its state.
    async fn load(&self, key: &LinkKey) -> Result<Loaded, StoreError>;

    /// These were edited or deleted by somebody: what is kept of them is wrong.
    async fn forget(&self, keys: &[LinkKey]);

    /// Nobody knows what was edited or deleted: nothing that is kept can be trusted.
    fn distrust(&self);
}

/// The store itself, which keeps nothing.
pub struct StoreSource(pub Arc<dyn LinkStore>);

#[async_trait]
impl LinkSource for StoreSource {
    async fn load(&self, key: &LinkKey) -> Result<Loaded, StoreError> {
        let link = self.0.find(key).await?.link.map(Arc::new);
        Ok(Loaded {
            link,
            tier: Tier::Store,
            good_for: Duration::MAX,
        })
    }

    async fn forget(&self, _: &[LinkKey]) {}

    fn distrust(&self) {}
}

//! In place of a cache of links that instances share: this build has no client of Redis.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::Config;
use tollgate_links::store::LinkStore;
use tollgate_links::{LinkCache, LinkSource};
use tollgate_server::metrics::Metrics;

/// There is none.
pub(super) struct SharedLinks;

impl SharedLinks {
    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn connect(config: &Config, _: &Arc<dyn LinkStore>) -> anyhow::Result<Self> {
        match config.links.cache {
            None => Ok(Self),
            Some(_) => {
                anyhow::bail!("links.cache: this build has no Redis: build with --features redis")
            }
        }
    }

    pub(super) fn source(&self) -> Option<Arc<dyn LinkSource>> {
        None
    }

    pub(super) fn told_of(&self, store: Arc<dyn LinkStore>) -> Arc<dyn LinkStore> {
        store
    }

    pub(super) fn tend(self, _: &Arc<LinkCache>, _: &TaskTracker, _: &CancellationToken) {}

    pub(super) fn register(&self, _: &Metrics) {}
}

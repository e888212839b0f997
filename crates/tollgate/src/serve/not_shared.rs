//! In place of limits that instances share: this build has no client of Redis.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::Limits;
use tollgate_limit::policy::PolicySet;
use tollgate_limit::store::LimitStore;
use tollgate_server::metrics::Metrics;

/// There is none.
pub(super) enum Shared {}

impl Shared {
    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn connect(_: &str, _: &Limits) -> anyhow::Result<Self> {
        anyhow::bail!("limits.store: this build has no Redis: build with --features redis")
    }

    pub(super) fn store(&self) -> Arc<dyn LimitStore> {
        match *self {}
    }

    pub(super) fn instances(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        match *self {}
    }

    pub(super) fn tend(&self, _: &TaskTracker, _: &CancellationToken) {
        match *self {}
    }

    pub(super) fn register(&self, _: &Metrics) {
        match *self {}
    }
}

/// Memory counts everything.
pub(super) fn uncountable(_: &PolicySet) -> Option<String> {
    None
}

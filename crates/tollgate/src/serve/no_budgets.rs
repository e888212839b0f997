//! In place of budgets that the servers of all regions share: this build has no client of Redis.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::Config;
use tollgate_limit::budget::Budgets;
use tollgate_server::metrics::Metrics;

/// There are none.
pub(super) enum GlobalBudgets {}

impl GlobalBudgets {
    #[expect(
        clippy::unused_async,
        reason = "as in the build that has something to wait for"
    )]
    pub(super) async fn connect(_: &str, _: &Config) -> anyhow::Result<Self> {
        anyhow::bail!("limits.global.store: this build has no Redis: build with --features redis")
    }

    pub(super) fn budgets(&self) -> Arc<Budgets> {
        match *self {}
    }

    pub(super) fn tend(&self, _: &TaskTracker, _: &CancellationToken) {
        match *self {}
    }

    pub(super) fn register(&self, _: &Metrics) {
        match *self {}
    }
}

//! Statistics that instances share in a ClickHouse.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clicks::store::{
    ClickHouseAddress, ClickHouseClickStore, ClickHouseOptions, ClickHouseStats,
};
use tollgate_clock::SystemClock;
use tollgate_config::{Config, Secret};
use tollgate_server::metrics::{Counter, Metrics};

use crate::click_store::Clicks;

/// Finds the table, or makes it.
pub(crate) async fn open(url: &Secret, config: &Config) -> anyhow::Result<Clicks> {
    let address = ClickHouseAddress::parse(url.expose()).context("clicks.store")?;
    let options = ClickHouseOptions {
        deadline: config.clicks_clickhouse.deadline,
        retain_raw: config.clicks.retain_raw,
        archive: config.clicks.archive_dir.clone(),
        identity: getrandom::u64().context("the system gives no randomness")?,
    };
    let store = ClickHouseClickStore::open(address, Arc::new(SystemClock::new()), &options).await;
    let store = Arc::new(store.context("clicks.store")?);
    Ok(Clicks {
        store: store.clone(),
        place: store.place(),
        is_shared: true,
        register: Box::new(|metrics| register(store, metrics)),
    })
}

fn register(store: Arc<ClickHouseClickStore>, metrics: &Metrics) {
    let counters: [Counter<ClickHouseStats>; 2] = [
        (
            "tollgate_clicks_clickhouse_requests",
            "Statements to the store of statistics",
            |stats| stats.requests,
        ),
        (
            "tollgate_clicks_clickhouse_failures",
            "Statements that the store of statistics did not do, or not in time",
            |stats| stats.failed,
        ),
    ];
    metrics.register_counters(counters, move || store.stats());
}

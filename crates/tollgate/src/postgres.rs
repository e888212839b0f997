//! Links that instances share in a PostgreSQL.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clock::SystemClock;
use tollgate_config::{Postgres, Secret};
use tollgate_links::store::{PostgresAddress, PostgresLinkStore, PostgresOptions, PostgresStats};
use tollgate_server::metrics::{Counter, Metrics};

use crate::link_store::Links;

/// Connects, and makes the tables if they are not there.
pub(crate) async fn open(url: &Secret, config: &Postgres) -> anyhow::Result<Links> {
    let address = PostgresAddress::parse(url.expose()).context("links.store")?;
    let options = PostgresOptions {
        connections: config.connections,
        deadline: config.deadline,
        ..PostgresOptions::default()
    };
    let store = PostgresLinkStore::open(address, Arc::new(SystemClock::new()), &options).await;
    let store = Arc::new(store.context("links.store")?);
    let mut links = Links::new(Arc::clone(&store), store.place().to_owned());
    links.register = Box::new(|metrics| register(store, metrics));
    Ok(links)
}

fn register(store: Arc<PostgresLinkStore>, metrics: &Metrics) {
    let gauges: [Counter<PostgresStats>; 3] = [
        (
            "tollgate_postgres_connections",
            "Open connections to the store of links",
            |stats| stats.pool.connections,
        ),
        (
            "tollgate_postgres_connections_idle",
            "Open connections to the store of links that wait for work",
            |stats| stats.pool.idle,
        ),
        (
            "tollgate_postgres_listening",
            "Whether the store tells of edits by other instances: 0 while they are only looked for",
            |stats| u64::from(stats.listening),
        ),
    ];
    let counters: [Counter<PostgresStats>; 2] = [
        (
            "tollgate_postgres_connections_opened",
            "Connections to the store of links that were opened",
            |stats| stats.pool.opened,
        ),
        (
            "tollgate_postgres_failures",
            "Reads and writes that the store of links did not do, or not in time",
            |stats| stats.pool.failed,
        ),
    ];
    for (name, help, read) in gauges {
        let store = Arc::clone(&store);
        metrics.register_gauge(name, help, move || read(store.stats()) as f64);
    }
    metrics.register_counters(counters, move || store.stats());
}

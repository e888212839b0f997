//! Links that instances share in a table of DynamoDB.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clock::SystemClock;
use tollgate_config::{Dynamo, Secret};
use tollgate_links::store::{DynamoAddress, DynamoLinkStore, DynamoOptions, DynamoStats};
use tollgate_server::metrics::{Counter, Metrics};

use crate::link_store::Links;

/// Finds the table, or makes it.
pub(crate) async fn open(url: &Secret, config: &Dynamo) -> anyhow::Result<Links> {
    let address = DynamoAddress::parse(url.expose()).context("links.store")?;
    let options = DynamoOptions {
        deadline: config.deadline,
        partitions: config.partitions,
        ..DynamoOptions::default()
    };
    let store = DynamoLinkStore::open(&address, Arc::new(SystemClock::new()), &options).await;
    let store = Arc::new(store.context("links.store")?);
    let mut links = Links::new(Arc::clone(&store), store.place().to_owned());
    links.register = Box::new(|metrics| register(store, metrics));
    Ok(links)
}

fn register(store: Arc<DynamoLinkStore>, metrics: &Metrics) {
    let counters: [Counter<DynamoStats>; 3] = [
        (
            "tollgate_dynamodb_requests",
            "Requests to the table of links, attempts of the same not counted",
            |stats| stats.requests,
        ),
        (
            "tollgate_dynamodb_throttled",
            "Requests that were refused because the table is asked for too much",
            |stats| stats.throttled,
        ),
        (
            "tollgate_dynamodb_failures",
            "Requests that the table of links did not do, or not in time",
            |stats| stats.failed,
        ),
    ];
    metrics.register_counters(counters, move || store.stats());
}

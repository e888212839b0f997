//! Links on several databases.

mod conformance;
mod moving;
mod starting;

use std::sync::Arc;

use tollgate_clock::Clock;
use tollgate_links::store::{
    PostgresOptions, Rebalancer, ShardAddress, ShardError, ShardedLinkStore,
};

use crate::conformance::server;
use crate::options;

/// Empty databases.
fn databases(count: usize) -> Vec<String> {
    (0..count)
        .map(|_| server().url(&server().database()))
        .collect()
}

/// Runs a statement in a database.
fn sql(url: &str, statement: &str) -> String {
    let database = url.rsplit('/').next().unwrap();
    server().sql(database, statement)
}

fn few_connections() -> PostgresOptions {
    PostgresOptions {
        connections: 4,
        ..options()
    }
}

fn addresses<T: AsRef<str>>(urls: &[T]) -> Vec<ShardAddress> {
    urls.iter()
        .map(|url| ShardAddress::parse(url.as_ref()).unwrap())
        .collect()
}

async fn open<T: AsRef<str>>(
    urls: &[T],
    clock: Arc<dyn Clock>,
) -> Result<ShardedLinkStore, ShardError> {
    ShardedLinkStore::open(addresses(urls), clock, &few_connections()).await
}

async fn rebalancer<T: AsRef<str>>(urls: &[T]) -> Rebalancer {
    Rebalancer::open(addresses(urls), &few_connections())
        .await
        .unwrap()
}

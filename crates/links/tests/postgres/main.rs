//! The store in PostgreSQL, on servers of the tests' own.
#![cfg(feature = "postgres")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod conformance;
mod failures;
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
#[allow(dead_code, reason = "shared with the tests of other crates")]
#[path = "../../../postgres/tests/private_postgres/mod.rs"]
mod private_postgres;
mod replicas;
mod shards;
mod sharing;

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::Clock;
use tollgate_links::store::{PostgresAddress, PostgresLinkStore, PostgresOptions};

/// The longest wait for something that usually takes milliseconds. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine may be busy with other tests.
fn options() -> PostgresOptions {
    PostgresOptions {
        connections: 8,
        deadline: Duration::from_secs(60),
        ..PostgresOptions::default()
    }
}

async fn open(url: &str, clock: Arc<dyn Clock>, options: &PostgresOptions) -> PostgresLinkStore {
    let address = PostgresAddress::parse(url).unwrap();
    let store = PostgresLinkStore::open(address, clock, options).await;
    store.unwrap_or_else(|error| panic!("{error}"))
}

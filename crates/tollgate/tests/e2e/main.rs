//! The built binary, started on free ports and a directory of its own, and driven over HTTP and the
//! command line as its users do.
//!
//! Tests marked `#[ignore]` are large or need a browser, which `scripts/test slow` runs, or a proxy from
//! the network, which `scripts/test e2e` runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod api;
mod audit;
mod backup;
mod browser;
mod bulk;
mod cli;
#[cfg(all(feature = "postgres", feature = "redis"))]
mod click_queue;
#[cfg(feature = "kafka")]
mod click_queue_kafka;
#[cfg(feature = "clickhouse")]
mod clickhouse;
mod clicks;
mod client;
mod compat;
mod configuration;
mod corpus;
mod crash;
mod create;
mod dashboard;
mod described;
mod devtools;
mod documentation;
mod domains;
mod durability;
mod dynamodb;
mod edit;
mod envoy;
mod failing_disk;
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
mod grpc;
mod hostile;
mod http;
mod keys;
mod lifecycle;
mod limit_replay;
mod limit_service;
mod limit_simulate;
mod limits;
mod load_balancing;
mod metrics_reference;
mod moving;
mod observe;
mod package;
mod pages;
mod plan;
#[cfg(feature = "postgres")]
mod postgres;
#[allow(dead_code, reason = "shared with the tests of the library")]
#[path = "../../../clicks/tests/store/private_chdb.rs"]
mod private_chdb;
#[allow(dead_code, reason = "shared with the tests of the library")]
#[path = "../../../links/tests/dynamo/private_dynalite.rs"]
mod private_dynalite;
#[allow(dead_code, reason = "shared with the tests of the library")]
#[path = "../../../postgres/tests/private_postgres/mod.rs"]
mod private_postgres;
#[allow(dead_code, reason = "shared with the tests of the library")]
#[path = "../../../redis/tests/private/private_redis.rs"]
mod private_redis;
mod proxy;
mod redirect;
mod regions;
mod replay;
#[cfg(feature = "postgres")]
mod replicas;
mod resp;
mod rules;
mod server;
mod service_manager;
#[cfg(feature = "postgres")]
mod shards;
#[cfg(feature = "postgres")]
mod shared_clicks;
mod shared_limits;
#[cfg(feature = "redis")]
mod shared_links;
mod shutdown;
mod single_sign_on;
mod stored_scripts;
mod traefik;
mod transfer;
mod upgrade;
mod webhooks;

//! The store in Redis, with servers of the tests' own: what instances share, and what happens when
//! Redis goes away.

#![cfg(feature = "redis")]
// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod breaker;
mod clocks;
mod cluster;
mod cluster_failures;
#[path = "../../../redis/tests/private/commands.rs"]
mod commands;
#[path = "../../../redis/tests/private/failover.rs"]
mod failover;
mod failures;
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
mod instance;
mod instances;
mod outages;
#[path = "../../../redis/tests/private/private_cluster.rs"]
mod private_cluster;
#[allow(dead_code, reason = "shared with the end-to-end tests")]
#[path = "../../../redis/tests/private/private_redis.rs"]
mod private_redis;
mod regions;
mod sentinel;
mod sharing;
#[path = "../policies/totals.rs"]
mod totals;

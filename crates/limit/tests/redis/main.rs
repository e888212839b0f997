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
mod failures;
mod free_port;
mod instance;
mod instances;
mod outages;
mod private_cluster;
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod private_redis;
mod sentinel;
mod sharing;

//! Leases of tokens: what several instances admit between them, with a store in memory and a clock
//! that is set, and with a real Redis.

#![cfg(feature = "redis")]
// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod bounds;
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
#[allow(dead_code, reason = "shared with the tests of the store in Redis")]
#[path = "../../../redis/tests/private/private_redis.rs"]
mod private_redis;
mod requests;
mod shared;

//! The layer around services of others, in one thread and with clocks set by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]

mod answers;
mod bench;
mod readiness;
mod waiting;

//! The gRPC front end, asked by a client that others generated from Envoy's own protocol.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]

mod decisions;
#[path = "../shared/frames.rs"]
mod frames;
mod generated;
mod health;
mod messages;
mod protocol;
#[path = "../shared/places.rs"]
mod queue_places;
mod server;
mod shutdown;

//! The reverse proxy, in front of a private upstream, driven over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]

mod bodies;
mod client;
mod connections;
mod failures;
mod forwarding;
#[path = "../shared/frames.rs"]
mod frames;
mod framing;
#[path = "../shared/hostile.rs"]
mod hostile;
mod limits;
mod queue;
#[path = "../shared/places.rs"]
mod queue_places;
mod server;
mod shutdown;
mod smuggling;
mod tunnels;
mod upstream;

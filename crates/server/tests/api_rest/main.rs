//! The admin listener, driven over real connections.

#![allow(clippy::unwrap_used)]

mod bitly;
mod bulk;
mod clicks;
mod keys;
mod limits;
mod links;
mod places;
mod problems;
#[path = "../shared/places.rs"]
mod queue_places;
mod server;
mod stats;
mod switch;
mod yourls;

//! The admin listener, driven over real connections.

#![allow(clippy::unwrap_used)]

mod audit;
mod bitly;
mod bulk;
mod clicks;
mod dashboard;
mod keys;
mod limits;
mod links;
mod nasty;
mod overload;
mod past_clicks;
mod places;
mod problems;
#[path = "../shared/places.rs"]
mod queue_places;
mod scopes;
mod security;
mod server;
mod shlink;
mod stats;
mod switch;
mod yourls;

//! The admin listener, driven over real connections.

#![allow(clippy::unwrap_used)]

mod bulk;
mod clicks;
mod keys;
mod limits;
mod links;
mod places;
mod problems;
mod server;
mod stats;
mod switch;

//! The edge from outside: a real listener, real connections, a store in memory.

// Clippy only knows test functions as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod clicks;
mod client;
mod direct;
mod edge;
#[path = "../shared/frames.rs"]
mod frames;
mod guard;
#[path = "../shared/hostile.rs"]
mod hostile;
mod kept_store;
mod limits;
mod overload;
mod passwords;
mod protocols;
mod redirects;
mod shutdown;
mod smuggling;
mod store_away;
mod together;

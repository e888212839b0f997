//! The Redis protocol from outside: a real listener, real connections, a clock set by hand.

// Clippy only knows test functions as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod arguments;
mod check;
mod client;
mod commands;
mod connections;
mod naive_store;
mod others;
mod passwords;
mod protocol;
mod random;
mod server;
mod shutdown;
mod throttle;
mod together;

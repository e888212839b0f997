//! The algorithms against naive exact models, their stated bounds, and the contract that all share.

// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used)]

mod bounds;
mod concurrency;
mod contract;
mod hammer;
mod models;
mod naive;
mod redis_cell;
mod refunds;
mod trace;

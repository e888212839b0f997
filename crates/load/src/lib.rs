//! Load as the world makes it: requests come when they come, whether or not those before were answered (an open
//! loop). Each counts from when it was due, so a server that falls behind cannot slow its own measurement down;
//! and whoever is not answered in time leaves.
//!
//! For tests and benchmarks: nothing of it is in the server.

mod answer;
mod plan;
mod report;
mod run;

pub use plan::{Order, Plan};
pub use report::{Report, Window};
pub use run::run;

//! Replays of logs that are made up, compared with what is counted in another way.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod counted;
mod made;
mod suggested;

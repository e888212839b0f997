//! The listeners: the edge that redirects, the admin side with the API, health and metrics.

pub mod admin;
mod api;
pub mod edge;
pub mod health;
pub mod metrics;
mod problem;
mod threads;

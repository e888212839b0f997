//! The listeners: the edge that redirects, the admin side with the API, the limit service over the
//! protocol of Redis; health and metrics.

pub mod admin;
mod api;
mod client_ip;
pub mod edge;
pub mod health;
pub mod limits;
pub mod metrics;
mod problem;
pub mod resp;
mod threads;

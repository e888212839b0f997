//! The listeners: the edge that redirects, the admin side with the API, the limit service over the
//! protocols of Redis and Envoy; health and metrics.

mod activity;
pub mod admin;
mod api;
pub mod audit;
mod by_address;
pub mod clicks;
mod client_ip;
pub mod compat;
mod dashboard;
pub mod edge;
mod epoch;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod grpc;
pub mod health;
mod leftover;
pub mod limits;
pub mod metrics;
pub mod overload;
mod problem;
pub mod proxy;
pub mod qr;
pub mod resp;
mod shared_accept;
pub mod sign_on;
mod stall;
mod threads;
mod tls;
pub mod webhooks;
mod well_formed;

pub use threads::listen;

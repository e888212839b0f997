//! The gRPC front end of the limit service: the rate limit protocol of Envoy, version 3, with health
//! and reflection.
//!
//! HTTP/2 without TLS and without API keys, as proxies speak it to a service beside them.

mod answer;
mod calls;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod observe;
#[rustfmt::skip]
#[allow(clippy::all, unreachable_pub, reason = "generated: see proto/README.md")]
mod pb;
mod request;
mod routes;
mod serve;
mod service;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tollgate_limit::service::LimitService;

pub use serve::serve;

use crate::metrics::GrpcMetrics;

/// Bounds of the gRPC listener, and what it sends; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct GrpcOptions {
    /// Whether answers carry `RateLimit`, `RateLimit-Policy` and `Retry-After` for the proxy to pass
    /// on.
    pub headers: bool,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
    /// The most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// The most calls at once on one connection; more wait.
    pub max_streams: u32,
    /// How long a message may take to arrive, and then its answer to be made.
    pub request_timeout: Duration,
    /// How long calls in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            headers: false,
            max_message_bytes: 1024 * 1024,
            max_connections: 1_024,
            max_streams: 1_024,
            request_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// What the gRPC listener works with.
#[derive(Debug, Clone)]
pub struct GrpcState {
    /// What decides.
    pub service: Arc<LimitService>,
    /// Where calls are counted.
    pub metrics: GrpcMetrics,
    /// Bounds.
    pub options: GrpcOptions,
    /// From when on health checks are told to ask elsewhere; the shutdown may follow later.
    pub draining: CancellationToken,
}

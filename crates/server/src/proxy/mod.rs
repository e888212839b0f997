//! A reverse proxy in front of one upstream: each request is checked against policies, held for as
//! long as a queue tells it to, and passed on.
//!
//! A request passes `handler`: `inbound` reads its head, `admission` asks the policies and waits, and
//! `upstream` passes it on; `hops` has what heads tell of the way. Bodies are streamed both ways by
//! `relay`, upgraded connections by `tunnel`.

mod admission;
mod connection;
mod connector;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod handler;
mod hops;
mod inbound;
mod relay;
mod serve;
mod tunnel;
mod upstream;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tollgate_limit::service::LimitService;

use crate::limits::Attribute;
use crate::metrics::ProxyMetrics;
use crate::tls;
use upstream::Upstream;

pub use crate::tls::{TlsError, TlsFiles};
pub use connector::TrustError;
pub use upstream::{UpstreamAddress, UpstreamAddressError};

/// How the proxy listens, what it counts by and what it allows; fixed at start from the
/// configuration.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Where requests are passed on to.
    pub upstream: UpstreamAddress,
    /// PEM certificates of the authorities that may vouch for an upstream with `https`. Without
    /// them, those that the system trusts.
    pub upstream_ca: Option<PathBuf>,
    /// Pass the client's `Host` on; otherwise the upstream is told its own.
    pub keep_host: bool,
    /// The domain of the policies.
    pub domain: String,
    /// The descriptors of a request. One for which it lacks an attribute is left out.
    pub by: Vec<Vec<Attribute>>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Serve TLS with these files instead of plain text.
    pub tls: Option<TlsFiles>,
    /// The most requests that wait for their turn at once; more are answered 503.
    pub max_waiting: usize,
    /// The most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// The most connections at once of one address that is not among `trusted_proxies`; more are closed at once.
    pub max_connections_per_address: usize,
    /// The most bytes of a request's head; more is answered 431.
    pub max_header_bytes: usize,
    /// How long a client may take for the head of a request, or for the TLS handshake.
    pub header_timeout: Duration,
    /// How long a connection may lie idle, and a body or a tunnel may stand still.
    pub idle_timeout: Duration,
    /// How long a connection to the upstream may take to be made.
    pub connect_timeout: Duration,
    /// How long the upstream may take to begin its answer, once it has the request.
    pub response_timeout: Duration,
    /// How long an idle connection to the upstream is kept for the next request.
    pub keep_alive: Duration,
    /// How long requests may go on after the shutdown began, those that wait included.
    pub drain: Duration,
}

impl ProxyOptions {
    /// The usual bounds, for this upstream, counting by nothing.
    #[must_use]
    pub fn to(upstream: UpstreamAddress) -> Self {
        Self {
            upstream,
            upstream_ca: None,
            keep_host: true,
            domain: "http".to_owned(),
            by: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: None,
            max_waiting: 1_024,
            max_connections: 4_096,
            max_connections_per_address: 1_024,
            max_header_bytes: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a proxy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Its own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody is trusted to vouch for the upstream.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// A proxy that is ready to serve.
pub struct Proxy {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
}

/// What all connections share.
struct Shared {
    options: ProxyOptions,
    service: Arc<LimitService>,
    metrics: ProxyMetrics,
    upstream: Upstream,
    /// How many may be held.
    places: Semaphore,
}

impl Proxy {
    /// A proxy that asks the policies of `service`. It connects to nothing yet.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub fn new(
        options: ProxyOptions,
        service: Arc<LimitService>,
        metrics: ProxyMetrics,
    ) -> Result<Self, ProxyError> {
        let tls = options.tls.as_ref().map(tls::server_config).transpose()?;
        let places = options.max_waiting.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            shared: Arc::new(Shared {
                upstream: Upstream::new(&options, metrics.clone())?,
                places: Semaphore::new(places),
                service,
                metrics,
                options,
            }),
            tls: tls.map(TlsAcceptor::from),
        })
    }
}

//! The public side: short link in, redirect out.
//!
//! Each thread has its own listener on the same address (`SO_REUSEPORT`) and its own current-thread
//! runtime, so that a redirect never leaves its core: a router on a work-stealing runtime costs 20
//! to 30 % of the rate. A request passes `route` (path), `handler` (look-up and decision) and
//! `respond` or `pages` (bytes). What is a click is captured by `click` on the way.

mod accept;
mod aside;
mod bind;
mod cache_control;
mod click;
mod connection;
mod direct;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod handler;
mod head;
mod pages;
mod password;
mod plain;
mod respond;
mod route;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tollgate_clicks::capture::Capture;
use tollgate_links::{LinkService, RedirectKind, TargetUrl};

use crate::limits::Guard;
use crate::metrics::Metrics;
use crate::overload::Gate;
use crate::qr::Logo;

pub use crate::threads::{Handle as EdgeHandle, ServeError};
pub use crate::tls::{TlsError, TlsFiles};
pub use bind::{BindError, BoundEdge, bind};
pub(crate) use pages::target;

/// A good [`EdgeOptions::linger`]: a round trip around the world, and little beside a restart.
pub const LINGER: Duration = Duration::from_millis(250);

/// How the edge listens and what it allows; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Threads, each with a listener and a runtime of its own; 0 counts as 1.
    pub threads: usize,
    /// The status of links that chose none.
    pub default_redirect: RedirectKind,
    /// How long a client may take for the head of a request, for a form's body, or for the TLS
    /// handshake.
    pub header_timeout: Duration,
    /// How long a connection may lie idle, or leave a response unread.
    pub idle_timeout: Duration,
    /// How long requests in flight may take after shutdown was asked for.
    pub drain: Duration,
    /// How long HTTP/1 connections are kept at shutdown for a request that is on its way: it is
    /// answered, with `Connection: close`. A part of [`EdgeOptions::drain`].
    pub linger: Duration,
    /// The largest head of a request; more is answered 431.
    pub max_header_bytes: usize,
    /// The most connections at once, over all threads; more are closed at once.
    pub max_connections: usize,
    /// The most connections at once of one address that is not among `trusted_proxies`; more are closed at once.
    pub max_connections_per_address: usize,
    /// Serve TLS with these files instead of plain text.
    pub tls: Option<TlsFiles>,
    /// What `/` shows.
    pub root: RootPage,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What QR codes can have in the middle.
    pub qr_logo: Option<Arc<Logo>>,
}

/// What `/` shows.
#[derive(Debug, Clone)]
pub enum RootPage {
    /// A page that says what this is.
    Landing,
    /// A redirect.
    Redirect(TargetUrl),
}

/// What the edge works with.
#[derive(Clone)]
pub struct EdgeState {
    /// Links, with their cache, store, domains, passwords and clock.
    pub service: LinkService,
    /// What guards codes and passwords against those who try them all.
    pub guard: Guard,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// What takes clicks, if they are captured.
    pub clicks: Option<Arc<Capture>>,
    /// Lets visits of links with `max_clicks` in, each of which is a commit.
    pub counted: Arc<Gate>,
    /// Keys the hash that makes percentage splits sticky; the same on all instances.
    pub visitor_key: [u8; 16],
}

/// A link as the cache has it.
#[cfg(test)]
fn cached(spec: tollgate_links::LinkSpec) -> tollgate_links::CachedLink {
    use tollgate_clock::UnixMillis;
    use tollgate_links::{Code, Domain, Link, LinkKey, Origin};

    let link = Link {
        key: LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored("x"),
        },
        spec,
        origin: Origin::Alias,
        created_at: UnixMillis::from_millis(0),
        updated_at: UnixMillis::from_millis(0),
        created_by: String::new(),
        version: 1,
        clicks_used: 0,
    };
    Arc::new(link).into()
}

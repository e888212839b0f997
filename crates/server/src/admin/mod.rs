//! The admin listener: the API, its documentation, the dashboard, health and metrics.

mod docs;
mod leftover;
mod observe;
mod pages;
mod serve;
mod starting;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tollgate_access::Keys;
use tollgate_audit::AuditLog;
use tollgate_links::LinkService;
use tower_http::catch_panic::CatchPanicLayer;

pub use serve::serve;
pub use starting::starting;

use crate::api;
use crate::clicks::Clicks;
use crate::compat::{self, CompatOptions};
use crate::dashboard;
use crate::health::Health;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::overload::{self, Overload};
use crate::problem::{Kind, Problem};
use crate::qr::Logo;
use crate::sign_on::SignOn;
use crate::webhooks::Webhooks;

/// Bounds of the admin listener; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct AdminOptions {
    /// The largest body of a request, in bytes. Bulk requests are bounded by the row instead.
    pub max_body_bytes: usize,
    /// How long a body may take to arrive, and then its answer to be made.
    pub request_timeout: Duration,
    /// How long a connection may take to send a request's head.
    pub header_timeout: Duration,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
    /// The most connections at once. On a quarter more, what has priority is answered, such as probes; beyond that,
    /// the oldest of those gives way.
    pub max_connections: usize,
    /// The most connections at once of one address; more are closed at once.
    pub max_connections_per_address: usize,
    /// How long a client may take nothing of an answer that waits for it, and send nothing either.
    pub stall_timeout: Duration,
    /// The APIs of other shorteners that are offered beside our own.
    pub compat: CompatOptions,
    /// Whether there is a dashboard.
    pub dashboard: bool,
    /// What its QR codes can have in the middle.
    pub qr_logo: Option<Arc<Logo>>,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            max_connections: 1_024,
            max_connections_per_address: 512,
            stall_timeout: Duration::from_secs(60),
            compat: CompatOptions::default(),
            dashboard: true,
            qr_logo: None,
        }
    }
}

/// What the admin listener works with. Each request gets some copies, so there is one count for all of it.
#[derive(Clone)]
pub struct AdminState(Arc<AdminParts>);

impl From<AdminParts> for AdminState {
    fn from(parts: AdminParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AdminState {
    type Target = AdminParts;

    fn deref(&self) -> &AdminParts {
        &self.0
    }
}

/// The parts of an [`AdminState`].
pub struct AdminParts {
    /// The links.
    pub service: LinkService,
    /// Who may use the API.
    pub keys: Arc<Keys>,
    /// The limit service.
    pub limits: Limits,
    /// The clicks; none if they are not counted here.
    pub clicks: Option<Clicks>,
    /// Who is told of what.
    pub webhooks: Webhooks,
    /// Who changed what.
    pub audit: Arc<AuditLog>,
    /// What `/metrics` shows, and where requests are counted.
    pub metrics: Arc<Metrics>,
    /// What `/health` answers.
    pub health: Health,
    /// How much is worked on at once.
    pub overload: Overload,
    /// Where people may sign in to the dashboard, beside with an API key.
    pub sign_on: Option<SignOn>,
    /// Bounds.
    pub options: AdminOptions,
}

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The description of the API, made from its handlers.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api::router(&AdminOptions::default()).into_openapi()
}

/// Everything the admin listener answers.
pub(crate) fn router(state: AdminState) -> Router {
    let (api, description) = api::router(&state.options).split_for_parts();
    let pages = if state.options.dashboard {
        dashboard::router(state.clone(), api.clone().with_state(state.clone()))
    } else {
        Router::new().route("/", get(pages::index))
    };
    api.merge(pages)
        .route("/metrics", get(pages::metrics))
        .route("/health/live", get(pages::live))
        .route("/health/ready", get(pages::ready))
        .merge(docs::router(&description))
        .merge(compat::router(&state).layer(from_fn(overload::admit_long)))
        .fallback(|| async { Problem::new(Kind::NoRoute, "See /api/docs for what there is.") })
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn(overload::spare))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

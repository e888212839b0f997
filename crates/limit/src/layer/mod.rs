//! The limit service in front of any HTTP service, as a layer of
//! [tower](https://docs.rs/tower): for axum, hyper, tonic and what else is built on it.
//!
//! With the feature `tower`. Each request is described by a closure, decided by
//! [`LimitService::check`], and then
//!
//! - **goes on** to the inner service, whose answer gets the headers `RateLimit` and
//!   `RateLimit-Policy` of [`headers`](crate::headers);
//! - **waits** for its turn and goes on, where a policy says `on_exceed: delay` or `queue`. If its
//!   future is dropped before, because the client went away, its place is given back. The layer needs
//!   the runtime of tokio with its timer for that;
//! - **is refused** without reaching the inner service: by status 429 with the same headers,
//!   `Retry-After`, and a problem document ([`ProblemJson`]), or by an answer of your own
//!   ([`RateLimitLayer::refuse_with`]).
//!
//! A request without descriptors goes on and is not counted, as do those that no policy is for.
//!
//! ```
//! use std::convert::Infallible;
//! use std::sync::Arc;
//!
//! use http::request::Parts;
//! use http::{Request, Response, StatusCode};
//! use tollgate_clock::CounterClock;
//! use tollgate_limit::layer::RateLimitLayer;
//! use tollgate_limit::policy::{Descriptor, PolicySet};
//! use tollgate_limit::service::LimitService;
//! use tollgate_limit::store::{MemoryOptions, MemoryStore};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let policies = PolicySet::parse("limits.yaml", "
//! domain: shop
//! descriptors:
//!   - key: tenant
//!     rate_limit: {name: per_tenant, unit: minute, requests_per_unit: 1}
//! ")?;
//! let seed = 0x5eed; // at random, and secret
//! let clock = Arc::new(CounterClock::new());
//! let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(seed), clock));
//! let limits = Arc::new(LimitService::new(policies, store.clone(), store));
//!
//! let by_tenant = RateLimitLayer::new(limits, "shop", |request: &Parts| {
//!     let tenant = request.headers.get("x-tenant")?.to_str().ok()?;
//!     Some(Descriptor::of([("tenant", tenant)]))
//! });
//! let shop = by_tenant.layer(service_fn(|_: Request<String>| async {
//!     Ok::<_, Infallible>(Response::new("welcome".to_owned()))
//! }));
//!
//! let request = || Request::get("/").header("x-tenant", "acme").body(String::new());
//! let first = shop.clone().oneshot(request()?).await?;
//! assert_eq!(first.status(), StatusCode::OK);
//! assert_eq!(first.headers()["ratelimit-policy"], r#""per_tenant";q=1;w=60"#);
//! let second = shop.oneshot(request()?).await?;
//! assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert!(second.headers().contains_key("retry-after"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `cargo run -p tollgate-limit --example axum --features tower` is a server to try.

mod held;
mod refuse;
mod service;

use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

pub use refuse::{ProblemJson, Refuse};
pub use service::RateLimit;

use crate::policy::Descriptor;
use crate::service::LimitService;

/// Limits a service by the policies of a domain.
#[derive(Debug, Clone)]
pub struct RateLimitLayer<D, R = ProblemJson> {
    limits: Arc<LimitService>,
    domain: Arc<str>,
    describe: D,
    refuse: R,
}

impl<D> RateLimitLayer<D> {
    /// Decides by the policies of `domain` in `limits`. `describe` tells what a request is, from its
    /// head: none, one or more descriptors, all of which are charged or none. It is called for each
    /// request and must not block.
    pub fn new<I>(limits: Arc<LimitService>, domain: impl Into<Arc<str>>, describe: D) -> Self
    where
        D: Fn(&Parts) -> I,
        I: IntoIterator<Item = Descriptor>,
    {
        Self {
            limits,
            domain: domain.into(),
            describe,
            refuse: ProblemJson,
        }
    }
}

impl<D, R> RateLimitLayer<D, R> {
    /// Answers refused requests by `refuse` instead: a closure from the
    /// [`CheckAnswer`](crate::service::CheckAnswer) to a response. The headers of the limits are
    /// added to it.
    #[must_use]
    pub fn refuse_with<Q>(self, refuse: Q) -> RateLimitLayer<D, Q> {
        RateLimitLayer {
            limits: self.limits,
            domain: self.domain,
            describe: self.describe,
            refuse,
        }
    }
}

impl<S, D: Clone, R: Clone> Layer<S> for RateLimitLayer<D, R> {
    type Service = RateLimit<S, D, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit {
            inner,
            by: self.clone(),
        }
    }
}

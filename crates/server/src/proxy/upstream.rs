//! Passing requests on: connections that are kept, times that are bounded, and one more try where a
//! kept connection had just ended.

use std::error::Error as _;
use std::iter::successors;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::sleep_until;

use super::ProxyOptions;
use super::connector::{ConnectTimeout, Connector, TrustError, Used};
use super::relay::{BrokenBody, Pace, Relay};
use crate::metrics::ProxyMetrics;

/// Where an upstream is: `http` or `https`, a host, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is no address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of an upstream: give http:// or https://, a host, and perhaps a port")]
pub struct UpstreamAddressError(String);

impl UpstreamAddress {
    /// Whether TLS is spoken to it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// This path there.
    fn at(&self, path: Option<&PathAndQuery>) -> Result<Uri, http::Error> {
        let path = path.map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

impl FromStr for UpstreamAddress {
    type Err = UpstreamAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || UpstreamAddressError(text.to_owned());
        let parts = text.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let path = parts.path_and_query.as_ref().map(PathAndQuery::as_str);
        let known = [Scheme::HTTP, Scheme::HTTPS];
        let scheme = parts.scheme.filter(|scheme| known.contains(scheme));
        let authority = parts.authority.filter(|it| !it.as_str().contains('@'));
        match (scheme, authority, path) {
            (Some(scheme), Some(authority), None | Some("" | "/")) => {
                Ok(Self { scheme, authority })
            }
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("no answer in time")]
    Silent,
    #[error("the connection ended before the answer: {0}")]
    Broken(String),
    #[error("the client sent no more of its body")]
    BodyStoodStill,
    #[error("the client's body ended early")]
    BodyBroken,
    #[error("the target cannot be passed on: {0}")]
    Target(http::Error),
}

type Outgoing = Either<Relay<()>, Empty<Bytes>>;

/// The upstream.
pub(super) struct Upstream {
    address: UpstreamAddress,
    client: Client<Connector, Outgoing>,
    response_timeout: Duration,
    idle_timeout: Duration,
    metrics: ProxyMetrics,
    reachable: AtomicBool,
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions, metrics: ProxyMetrics) -> Result<Self, TrustError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.keep_alive)
            .build(Connector::new(options)?);
        metrics.reachable(true);
        Ok(Self {
            address: options.upstream.clone(),
            client,
            response_timeout: options.response_timeout,
            idle_timeout: options.idle_timeout,
            metrics,
            reachable: AtomicBool::new(true),
        })
    }

    /// Passes a request on, and answers with the head of what comes back.
    pub(super) async fn exchange(
        &self,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<Incoming>, Failure> {
        parts.uri = self
            .address
            .at(parts.uri.path_and_query())
            .map_err(Failure::Target)?;
        let began = Instant::now();
        let result = if body.is_end_stream() {
            let again = parts.method.is_idempotent().then(|| parts.clone());
            match (self.send(parts, None).await, again) {
                // It ended while the request was on its way: nobody may have seen that.
                (Err(Attempt { stale: true, .. }), Some(again)) => self.send(again, None).await,
                (result, _) => result,
            }
        } else {
            if body.size_hint().exact().is_none() {
                // Without it, a GET would lose its body.
                let chunked = HeaderValue::from_static("chunked");
                parts.headers.insert(TRANSFER_ENCODING, chunked);
            }
            self.send(parts, Some(body)).await
        };
        let result = result.map_err(|attempt| attempt.failure);
        if result.is_ok() {
            self.metrics.answered(began.elapsed());
        }
        self.watch(&result);
        result
    }

    async fn send(
        &self,
        parts: Parts,
        body: Option<Incoming>,
    ) -> Result<Response<Incoming>, Attempt> {
        let pace = Arc::new(Pace::new());
        let body = match body {
            Some(body) => Either::Left(Relay::new(body, self.idle_timeout, Arc::clone(&pace), ())),
            None => Either::Right(Empty::new()),
        };
        let mut sending = pin!(self.client.request(Request::from_parts(parts, body)));
        let mut due = Instant::now() + self.response_timeout;
        loop {
            tokio::select! {
                result = &mut sending => return match result {
                    Ok(response) => {
                        Used::note(response.extensions());
                        Ok(response)
                    }
                    Err(error) => Err(Attempt::of(&error)),
                },
                () = sleep_until(due.into()) => {
                    let now = Instant::now();
                    due = pace.last_taken(now) + self.response_timeout;
                    if due <= now {
                        return Err(Attempt { failure: Failure::Silent, stale: false });
                    }
                }
            }
        }
    }

    /// Tells when the upstream goes away and comes back, once each.
    fn watch(&self, result: &Result<Response<Incoming>, Failure>) {
        let (reachable, failure) = match result {
            Ok(_) => (true, None),
            Err(Failure::BodyStoodStill | Failure::BodyBroken | Failure::Target(_)) => return,
            Err(failure @ (Failure::Unreachable(_) | Failure::ConnectTimeout)) => {
                (false, Some(failure))
            }
            // It was there at least.
            Err(failure @ (Failure::Silent | Failure::Broken(_))) => {
                return tracing::debug!(%failure, "a request to the upstream failed");
            }
        };
        if self.reachable.swap(reachable, Relaxed) == reachable {
            return;
        }
        self.metrics.reachable(reachable);
        let upstream = &self.address;
        match failure {
            Some(failure) => tracing::warn!(%upstream, %failure, "the upstream cannot be reached"),
            None => tracing::info!(%upstream, "the upstream answers again"),
        }
    }
}

/// A request that got no answer.
struct Attempt {
    failure: Failure,
    /// Whether it went over a connection that had been kept, and may have ended before.
    stale: bool,
}

impl Attempt {
    fn of(error: &ClientError) -> Self {
        let causes: Vec<_> = successors(error.source(), |cause| (*cause).source()).collect();
        let body = causes.iter().find_map(|cause| cause.downcast_ref());
        let late = causes.iter().any(|cause| cause.is::<ConnectTimeout>());
        let last = causes.last();
        let reason = last.map_or_else(|| error.to_string(), ToString::to_string);
        let failure = match body {
            Some(BrokenBody::StoodStill(_)) => Failure::BodyStoodStill,
            Some(BrokenBody::Broken(_)) => Failure::BodyBroken,
            None if late => Failure::ConnectTimeout,
            None if error.is_connect() => Failure::Unreachable(reason),
            None => Failure::Broken(reason),
        };
        Self {
            stale: matches!(failure, Failure::Broken(_))
                && error.connect_info().is_some_and(Used::of),
            failure,
        }
    }
}

//! From a request to an answer.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::admission::Refusal;
use super::connection::Client;
use super::hops;
use super::inbound::Inbound;
use super::relay::{Pace, Relay};
use super::tunnel::Tunnel;
use super::upstream::Failure;
use crate::activity::InFlight;
use crate::leftover;
use crate::metrics::{ProxyOutcome, ProxyRequest};
use crate::problem::{Kind, Problem};

/// The client went away: nobody is left to be answered.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client went away")
    }
}

impl std::error::Error for Gone {}

/// Answers one request of a connection. Dropped if the client goes away, as far as hyper notices.
pub(super) async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Gone> {
    let activity = &client.wire.activity;
    let multiplexed = request.version() == Version::HTTP_2;
    if multiplexed {
        activity.multiplexed();
    }
    let in_flight = activity.begin();
    // Counted as gone unless something else comes of it.
    let mut counted = client.shared.metrics.request();
    let passed = pass(&client, request, in_flight, &mut counted);
    if multiplexed {
        // A stream ends with a frame, which is always read.
        return Ok(passed.await);
    }
    tokio::select! {
        response = passed => Ok(response),
        () = client.wire.gone() => Err(Gone),
    }
}

async fn pass(
    client: &Client,
    request: Request<Incoming>,
    in_flight: InFlight,
    counted: &mut ProxyRequest,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let multiplexed = parts.version == Version::HTTP_2;
    let request = match Inbound::read(parts, client.peer, &client.shared.options) {
        Ok(request) => request,
        Err(problem) => {
            counted.outcome = ProxyOutcome::Malformed;
            // Where its body ends is not certain.
            let problem = match multiplexed {
                true => problem,
                false => problem.header(CONNECTION, HeaderValue::from_static("close")),
            };
            return problem.into_response();
        }
    };
    let limits = match client.shared.admit(request.received()).await {
        Ok(limits) => limits,
        Err(Refusal { outcome, problem }) => {
            counted.outcome = outcome;
            // A body that is asked for first is not sent after this.
            if !request.expects {
                leftover::discard(body).await;
            }
            return problem.into_response();
        }
    };
    let asked = request.upgrade.then_some(upgrade).flatten();
    let forwarded = request.into_forwarded(client.scheme, &client.shared.options);
    let answered = client.shared.upstream.exchange(forwarded, body).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(failure) => {
            counted.outcome = ProxyOutcome::of(&failure);
            return limited(problem(&failure).into_response(), &limits);
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(asked) = asked else {
            counted.outcome = ProxyOutcome::UpstreamFailed;
            let problem = Problem::new(Kind::UpstreamFailed, "It changed to another protocol.");
            return limited(problem.into_response(), &limits);
        };
        counted.outcome = ProxyOutcome::Tunnelled;
        let upstream = hyper::upgrade::on(&mut response);
        *client.tunnel.lock() = Some(Tunnel {
            client: asked,
            upstream,
        });
        let headers = response.headers_mut();
        let upgrade = headers.get(UPGRADE).cloned();
        hops::strip(headers);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.extend(upgrade.map(|upgrade| (UPGRADE, upgrade)));
        return limited(response.map(|_| Body::empty()), &limits);
    }
    counted.outcome = ProxyOutcome::Forwarded;
    hops::strip(response.headers_mut());
    let received = response.version();
    hops::sign(response.headers_mut(), received);
    let idle = client.shared.options.idle_timeout;
    let response = response.map(|body| {
        let relay = Relay::new(body, idle, Arc::new(Pace::new()), in_flight);
        Body::new(relay)
    });
    limited(response, &limits)
}

impl ProxyOutcome {
    const fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Unreachable(_) => Self::UpstreamUnreachable,
            Failure::Broken(_) => Self::UpstreamFailed,
            Failure::ConnectTimeout | Failure::Silent => Self::UpstreamTimeout,
            Failure::BodyStoodStill | Failure::BodyBroken | Failure::Target(_) => Self::Malformed,
        }
    }
}

/// What a client is told of a failure: no address, and no other detail of what is behind.
fn problem(failure: &Failure) -> Problem {
    match failure {
        Failure::Unreachable(_) => {
            Problem::new(Kind::UpstreamUnreachable, "Try again in a moment.").retry_later()
        }
        Failure::ConnectTimeout => {
            let detail = "No connection to it could be made in time. Try again later.";
            Problem::new(Kind::UpstreamTimeout, detail)
        }
        Failure::Silent => Problem::new(
            Kind::UpstreamTimeout,
            "It has the request, but did not answer.",
        ),
        Failure::Broken(_) => {
            let detail = "It has the request, but ended the connection before it answered.";
            Problem::new(Kind::UpstreamFailed, detail)
        }
        Failure::BodyStoodStill => {
            Problem::new(Kind::RequestTimeout, "No more of the body came in time.")
        }
        Failure::BodyBroken => Problem::new(Kind::BadRequest, "The body ended early."),
        Failure::Target(_) => Problem::new(Kind::BadRequest, "The target is no URL."),
    }
}

/// An answer with what is told of the limits.
fn limited(mut response: Response<Body>, limits: &HeaderMap) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in limits {
        // The upstream may have limits of its own.
        headers.append(name, value.clone());
    }
    response
}

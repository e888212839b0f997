//! What every request gets: an identifier, a line in the log, a place in the metrics, and errors
//! in one form.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, EXPECT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};
use tracing::Instrument;

use super::{AdminState, Peer, leftover};
use crate::audit;
use crate::client_ip::client_ip;
use crate::problem::{Kind, Problem, finish};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id taken from outside, in bytes.
const MAX_REQUEST_ID: usize = 128;
/// The longest URL, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;

pub(super) async fn observe(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    // The key's name is filled in by whoever authenticates the request.
    let span = tracing::info_span!(
        "request",
        id = &*id,
        %method,
        route,
        key = tracing::field::Empty
    );
    let too_long = request
        .uri()
        .path_and_query()
        .is_some_and(|path| path.as_str().len() > MAX_URI_BYTES);
    // Who asks first has sent nothing yet.
    let asks = request.headers().contains_key(EXPECT);
    let address = request.extensions().get::<Peer>().map(|Peer(peer)| {
        let trusted = &state.limits.forwarding.trusted_proxies;
        client_ip(*peer, request.headers(), trusted)
    });
    let origin = audit::origin_of(request.uri().path(), request.headers(), address, &id);
    let (head, body) = request.into_parts();
    let (body, leftover) = leftover::split(body);
    let request = Request::from_parts(head, body);
    let response = if too_long {
        Problem::new(
            Kind::UriTooLong,
            format!("It has at most {MAX_URI_BYTES} bytes."),
        )
        .into_response()
    } else {
        audit::come_from(origin, next.run(request))
            .instrument(span.clone())
            .await
    };
    if !asks {
        leftover.discard().await;
    }
    let shed = response.extensions().get::<Problem>();
    let shed = shed.is_some_and(Problem::is_overloaded);
    let mut response = finish(response, &id);
    let headers = response.headers_mut();
    // Every id is made of visible ASCII, so this never fails.
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let took = began.elapsed();
    state
        .metrics
        .admin
        .observe(&method, &route, response.status(), took);
    span.in_scope(|| {
        let status = response.status().as_u16();
        if shed {
            // There are very many of them, and metrics count them.
            tracing::debug!(status, ?took, "refused");
        } else if response.status().is_server_error() {
            tracing::error!(status, ?took, "answered");
        } else {
            tracing::info!(status, ?took, "answered");
        }
    });
    response
}

/// The caller's identifier if it is short and plain, a new one otherwise.
fn request_id(request: &Request) -> Arc<str> {
    let plain = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
    };
    let given = request.headers().get(X_REQUEST_ID);
    match given.and_then(|id| id.to_str().ok()).filter(plain) {
        Some(id) => id.into(),
        None => uuid::Uuid::now_v7().to_string().into(),
    }
}

/// A handler panicked: a defect, answered like every other error.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::error!(panic = text, "a request handler panicked");
    Problem::internal().into_response()
}

//! Requests to the admin listener: which gate they pass, and which pass none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONNECTION;
use http_body::Body as _;
use parking_lot::Mutex;

use super::body::{Arriving, Leaving, Place};
use super::{Gate, Overload};
use crate::problem::Problem;

/// How the patterns of our API begin. What is asked of the APIs of other shorteners can look at many links.
const OURS: &str = "/api/v1/";
/// Decisions of the limit service.
const CHECKS: [&str; 2] = ["/api/v1/limits/check", "/api/v1/limits/authorize"];
/// How the patterns of routes end that take long by nature.
const LONG: [&str; 6] = [
    "/bulk", "/stats", "/orphans", "/clicks", "/import", "/events",
];
/// What is answered on connections beyond the usual bound: probes, metrics, and people who sign in to see what is
/// the matter.
const PRIORITY: [&str; 4] = ["/health/", "/metrics", "/sign-in", "/assets/"];

/// Marks requests on a connection that is only there for what has priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare;

/// Lets a request to the API in if its gate has a place. Requests that come from within, as those of the dashboard,
/// bring no gates and always have one.
pub(crate) async fn admit(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    let Some(overload) = request.extensions().get::<Overload>() else {
        return next.run(request).await;
    };
    if CHECKS.contains(&path) {
        let gate = Arc::clone(&overload.checks);
        timed(gate, request, next).await
    } else if !path.starts_with(OURS) || LONG.iter().any(|end| path.ends_with(end)) {
        let Some(place) = overload.long.admit() else {
            return Problem::overloaded().into_response();
        };
        let response = next.run(request).await;
        response.map(|body| {
            Body::new(Leaving {
                body,
                _place: place,
            })
        })
    } else {
        let gate = Arc::clone(&overload.requests);
        timed(gate, request, next).await
    }
}

/// The time counts from the end of the body to the head of the answer.
async fn timed(gate: Arc<Gate>, request: Request, next: Next) -> Response {
    let (request, place) = if request.body().is_end_stream() {
        let place = Place::ask(&gate);
        if matches!(place, Place::Refused) {
            return Problem::overloaded().into_response();
        }
        (request, Arc::new(Mutex::new(place)))
    } else {
        let place = Arc::new(Mutex::new(Place::Awaited));
        let request = request.map(|body| {
            Body::new(Arriving {
                body,
                gate,
                place: Arc::clone(&place),
            })
        });
        (request, place)
    };
    let response = next.run(request).await;
    match std::mem::replace(&mut *place.lock(), Place::Refused) {
        Place::Taken(admitted) => admitted.done(),
        // Its body did not arrive, or was not wanted.
        Place::Awaited => {}
        Place::Refused => return Problem::overloaded().into_response(),
    }
    response
}

/// On a spare connection, answers what has priority alone, and only once.
pub(crate) async fn spare(request: Request, next: Next) -> Response {
    if request.extensions().get::<Spare>().is_none() {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let mut response = if PRIORITY.iter().any(|begin| path.starts_with(begin)) {
        next.run(request).await
    } else {
        Problem::overloaded().into_response()
    };
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

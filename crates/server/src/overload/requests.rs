//! Requests to the admin listener: which gate they pass, and which pass none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONNECTION;
use http_body::Body as _;
use parking_lot::Mutex;

use super::body::{Arriving, Leaving, Place};
use super::{Gate, Overload};
use crate::problem::Problem;

/// What is answered on connections beyond the usual bound: probes, metrics, and people who sign in to see what is
/// the matter.
const PRIORITY: [&str; 4] = ["/health/", "/metrics", "/sign-in", "/assets/"];

/// Marks requests on a connection that is only there for what has priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare;

/// Lets a request to the API in if its gate has a place. Requests that come from within, as those of the dashboard,
/// bring no gates and always have one.
pub(crate) async fn admit_request(request: Request, next: Next) -> Response {
    match gate(&request, |overload| &overload.requests) {
        Some(gate) => timed(gate, request, next).await,
        None => next.run(request).await,
    }
}

/// The same of a question to the limit service.
pub(crate) async fn admit_check(request: Request, next: Next) -> Response {
    match gate(&request, |overload| &overload.checks) {
        Some(gate) => timed(gate, request, next).await,
        None => next.run(request).await,
    }
}

/// The same of what takes long by nature, as what is asked of the APIs of other shorteners, which can look at many
/// links. Its time says nothing.
pub(crate) async fn admit_long(request: Request, next: Next) -> Response {
    let Some(gate) = gate(&request, |overload| &overload.long) else {
        return next.run(request).await;
    };
    let Some(place) = gate.admit() else {
        return Problem::overloaded().into_response();
    };
    let response = next.run(request).await;
    response.map(|body| {
        Body::new(Leaving {
            body,
            _place: place,
        })
    })
}

fn gate(request: &Request, of: fn(&Overload) -> &Arc<Gate>) -> Option<Arc<Gate>> {
    request.extensions().get().map(of).map(Arc::clone)
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

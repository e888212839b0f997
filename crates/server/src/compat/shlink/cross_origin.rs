//! Lets pages of other origins ask, as Shlink's web client does. What they need is a key, which no
//! browser sends by itself.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
};
use http::{HeaderValue, Method, StatusCode};

/// Answers the question that browsers ask first, and marks all answers to other origins.
pub(super) async fn allow(request: Request, next: Next) -> Response {
    let foreign = request.headers().contains_key(ORIGIN);
    let asks = request.method() == Method::OPTIONS;
    let mut response = if asks {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let mut told = Vec::new();
    if foreign {
        told.push((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        told.push((ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After, X-Request-Id"));
    }
    if foreign && asks {
        told.push((
            ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        ));
        told.push((ACCESS_CONTROL_ALLOW_HEADERS, "X-Api-Key, Content-Type"));
        told.push((ACCESS_CONTROL_MAX_AGE, "3600"));
    }
    let headers = response.headers_mut();
    for (name, value) in told {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

//! Errors as Bitly answers them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::problem::{Kind, Problem};

/// An error.
pub(super) struct Failure {
    status: StatusCode,
    /// A box, because few have any.
    headers: Box<HeaderMap>,
    body: Body,
}

#[derive(Serialize)]
struct Body {
    /// What it is, for programs.
    message: String,
    /// What it is, for people.
    description: String,
    resource: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong>,
}

#[derive(Serialize)]
struct Wrong {
    field: String,
    error_code: &'static str,
    message: String,
}

impl Failure {
    /// A field that cannot be as it is.
    pub(super) fn wrong(field: &str, reason: impl Into<String>) -> Self {
        Problem::wrong(Kind::InvalidFields, field, reason).into()
    }
}

/// What Bitly calls one of our fields.
fn renamed(field: &str) -> &str {
    match field {
        "url" => "long_url",
        "code" => "keyword",
        "expires_at" => "expiration_at",
        other => other,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let errors: Vec<Wrong> = problem
            .wrong_fields()
            .map(|(field, reason)| Wrong {
                field: renamed(field).to_owned(),
                error_code: "invalid",
                message: reason.to_owned(),
            })
            .collect();
        let (status, message) = match problem.kind() {
            Kind::InvalidFields | Kind::InvalidQuery => {
                let first = errors.first();
                let name = first.map_or("PAYLOAD", |wrong| &*wrong.field);
                let name = name.split(['[', '.']).next().unwrap_or_default();
                let message = format!("INVALID_ARG_{}", name.to_ascii_uppercase());
                (StatusCode::BAD_REQUEST, message)
            }
            // As Bitly says it of a token that it does not know.
            Kind::Unauthorized => (StatusCode::FORBIDDEN, "FORBIDDEN".to_owned()),
            Kind::QuotaExceeded => (problem.status(), "RATE_LIMIT_EXCEEDED".to_owned()),
            _ => (problem.status(), message(problem.status()).to_owned()),
        };
        Self {
            status,
            headers: Box::new(problem.headers().clone()),
            body: Body {
                message,
                description: problem.detail().to_owned(),
                resource: "bitlinks",
                errors,
            },
        }
    }
}

const fn message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::CONFLICT => "ALREADY_EXISTS",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
            "TEMPORARILY_UNAVAILABLE"
        }
        status if status.as_u16() >= 500 => "INTERNAL_ERROR",
        _ => "INVALID_REQUEST",
    }
}

impl From<tollgate_links::LinkError> for Failure {
    fn from(error: tollgate_links::LinkError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, *self.headers, Json(self.body)).into_response()
    }
}

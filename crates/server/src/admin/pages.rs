//! What the admin listener shows beside the API.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use maud::{DOCTYPE, html};
use serde::Serialize;

use super::AdminState;
use crate::health::NotReady;
use crate::problem::HTML;

#[derive(Serialize)]
struct HealthAnswer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cannot_write: Vec<&'static str>,
}

/// The paths a person may want to open, and what is there.
const PLACES: [(&str, &str); 5] = [
    ("/api/docs/", "API documentation"),
    ("/api/openapi.json", "OpenAPI 3.1 description"),
    ("/metrics", "metrics for Prometheus"),
    ("/health/live", "whether this instance lives"),
    ("/health/ready", "whether it should be sent traffic"),
];

pub(super) async fn index() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Tollgate" }
            }
            body {
                h1 { "Tollgate" }
                ul {
                    @for (path, what) in PLACES {
                        li { a href=(path) { (path) } ": " (what) }
                    }
                }
            }
        }
    };
    (
        [
            (CONTENT_TYPE, HTML),
            (
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            ),
        ],
        page.into_string(),
    )
        .into_response()
}

pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPEN_METRICS)], state.metrics.encode()).into_response()
}

pub(super) async fn live() -> Response {
    Json(HealthAnswer {
        status: "live",
        reason: None,
        cannot_write: Vec::new(),
    })
    .into_response()
}

pub(super) async fn ready(State(state): State<AdminState>) -> Response {
    match state.health.ready().await {
        Ok(()) => Json(HealthAnswer {
            status: "ready",
            reason: None,
            cannot_write: state.health.unwritable(),
        })
        .into_response(),
        Err(reason) => not_ready(reason, state.health.unwritable()),
    }
}

pub(super) fn not_ready(reason: NotReady, cannot_write: Vec<&'static str>) -> Response {
    let answer = HealthAnswer {
        status: "not ready",
        reason: Some(reason.to_string()),
        cannot_write,
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
}

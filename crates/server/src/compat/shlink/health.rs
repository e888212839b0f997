//! Whether the service is well, and what it says of live updates.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::Holder;
use super::failure::Failure;
use crate::admin::AdminState;

/// The version of Shlink whose API this is: clients offer what it can do.
const VERSION: &str = "4.6.0";

pub(super) async fn health(State(state): State<AdminState>) -> Response {
    let (status, word) = match state.health.ready().await {
        Ok(()) => (StatusCode::OK, "pass"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
    };
    (status, Json(json!({ "status": word, "version": VERSION }))).into_response()
}

pub(super) async fn mercure(_: Holder) -> Failure {
    Failure::no_mercure()
}

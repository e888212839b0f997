//! Clicks as they are counted, for the pages.

use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::client::ApiPath;
use super::visitor::Visitor;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    code: String,
}

/// The stream of the API, for who is signed in.
pub(super) async fn clicks(visitor: Visitor, Query(wanted): Query<Wanted>) -> Response {
    let path = ApiPath::new(["events"])
        .with("domain", &wanted.domain)
        .with("code", &wanted.code);
    visitor.client.stream(path).await
}

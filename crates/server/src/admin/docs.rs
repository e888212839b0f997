//! The API's description and a viewer for it, both served from this binary alone.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa_swagger_ui::Config;

use super::AdminState;
use crate::problem::{Kind, Problem};

const OPENAPI: &str = "/api/openapi.json";
/// The viewer sets styles from its scripts, shows pictures from its style sheet, and talks to this
/// server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(super) fn router(description: &utoipa::openapi::OpenApi) -> Router<AdminState> {
    let json: Arc<str> = serde_json::to_string_pretty(description)
        .unwrap_or_default()
        .into();
    // Without this the viewer would send every description to a validator on the internet.
    let config = Config::from(OPENAPI).validator_url("none");
    let config = Arc::new(config.persist_authorization(false).deep_linking(true));
    let index = Arc::clone(&config);
    Router::new()
        .route(
            OPENAPI,
            get(move || async move { ([(CONTENT_TYPE, "application/json")], json.to_string()) }),
        )
        .route(
            "/api/docs",
            get(|| async { Redirect::permanent("/api/docs/") }),
        )
        .route("/api/docs/", get(move || async move { viewer("", index) }))
        .route(
            "/api/docs/{*file}",
            get(move |Path(file): Path<String>| async move { viewer(&file, config) }),
        )
}

fn viewer(file: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(file, config) {
        Ok(Some(found)) => {
            let mut response = (
                [(CONTENT_TYPE, found.content_type)],
                found.bytes.into_owned(),
            )
                .into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            if found.gzpipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Ok(None) => Problem::new(Kind::NoRoute, "The viewer has no such file.").into_response(),
        Err(error) => {
            tracing::error!(%error, "the viewer cannot be served");
            Problem::internal().into_response()
        }
    }
}

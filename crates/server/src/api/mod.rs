//! The REST API under `/api/v1`.

mod audit;
mod authorize;
pub(crate) mod body;
mod bulk;
pub(crate) mod caller;
mod clicks;
mod denied;
mod describe;
mod domain;
mod entity_tag;
mod events;
mod history;
mod idempotency;
mod keys;
mod limits;
pub(crate) mod links;
mod list;
mod past_clicks;
mod policies;
mod query;
mod rows;
mod spool;
pub(crate) mod stats;
mod stats_query;
mod stats_view;
mod webhooks;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use caller::SignedIn;

use crate::admin::{AdminOptions, AdminState};
use crate::overload;
use crate::problem::Problem;

/// Every route of the API, with its description.
pub(crate) fn router(options: &AdminOptions) -> OpenApiRouter<AdminState> {
    // The body has its own time; this is that and as long again for the answer.
    let longest = options.request_timeout.saturating_mul(2);
    let timeout = move |request: Request, next: Next| async move {
        match tokio::time::timeout(longest, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::slow().into_response(),
        }
    };
    let requests = OpenApiRouter::with_openapi(describe::Description::openapi())
        .routes(routes!(links::create, list::list))
        .routes(routes!(links::get, links::update, links::delete))
        .routes(routes!(history::history))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::get, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(denied::denied))
        .routes(routes!(policies::list))
        .routes(routes!(policies::get, policies::put, policies::remove))
        .routes(routes!(audit::list))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get, webhooks::update, webhooks::remove))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::ping))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::resend))
        .layer(from_fn(timeout))
        .layer(from_fn(overload::admit_request));
    let checks = OpenApiRouter::new()
        .routes(routes!(limits::check))
        .routes(routes!(authorize::authorize, authorize::authorize_by_post))
        .layer(from_fn(timeout))
        .layer(from_fn(overload::admit_check));
    let long = OpenApiRouter::new()
        .routes(routes!(stats::link_stats))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::orphan_stats))
        .routes(routes!(past_clicks::import))
        .layer(from_fn(timeout))
        // These take as long as rows keep coming, and as somebody listens.
        .routes(routes!(bulk::create_many))
        .routes(routes!(clicks::link_clicks))
        .routes(routes!(events::events))
        .routes(routes!(audit::export))
        .layer(from_fn(overload::admit_long));
    requests.merge(checks).merge(long)
}

/// The answer of a handler: what it says, or why not.
type Answer = Result<Response, Problem>;

//! What was done to a link.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_access::Scope;
use tollgate_clock::UnixMillis;
use tollgate_links::store::{Edit, EditAction};
use utoipa::ToSchema;

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use crate::admin::AdminState;
use crate::problem::Problem;

/// The most entries of a history shown.
const MAX_EDITS: usize = 1_000;
/// Entries shown if the caller names no number.
const DEFAULT_EDITS: usize = 100;

/// A link's history.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first.
    history: Vec<HistoryEntry>,
}

/// One edit of a link.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: UnixMillis,
    /// Who: the identifier of an API key.
    actor: String,
    /// What: `created`, `updated` or `deleted`.
    #[schema(value_type = String)]
    action: EditAction,
    /// The version this led to.
    version: u64,
    /// Changed fields with the value before and after. Passwords appear as set or not set only.
    #[schema(value_type = Object, example = json!({"title": [null, "Spring sale"]}))]
    changes: serde_json::Value,
}

impl From<Edit> for HistoryEntry {
    fn from(edit: Edit) -> Self {
        let Edit {
            at,
            actor,
            action,
            version,
            changes,
        } = edit;
        Self {
            at,
            actor,
            action,
            version,
            changes,
        }
    }
}

/// Show a link's history
///
/// It outlives the link's deletion, until a link of the same name expires and is swept.
#[utoipa::path(
    get,
    path = "/api/v1/links/{code}/history",
    tag = "links",
    operation_id = "getLinkHistory",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("limit" = Option<u16>, Query, description = "Entries, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The history, newest first", body = History),
        (status = 404, description = "There never was such a link", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn history(
    State(state): State<AdminState>,
    caller: Caller,
    Path(code): Path<String>,
    mut params: Params,
) -> Answer {
    caller.require(Scope::LinksRead)?;
    let limit = params.take_limit(MAX_EDITS)?.unwrap_or(DEFAULT_EDITS);
    let domain = params.only_domain()?;
    let key = caller.link(&state.service, domain.as_deref(), &code)?;
    let edits = state.service.history(&key, limit).await?;
    Ok(Json(History {
        history: edits.into_iter().map(Into::into).collect(),
    })
    .into_response())
}

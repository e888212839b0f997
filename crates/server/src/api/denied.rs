//! Who is refused most.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_access::Scope;
use tollgate_limit::service::Denied;
use utoipa::ToSchema;

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::limits::EntryView;
use super::query::Params;
use crate::admin::AdminState;

/// The most that are told.
const MAX_DENIED: usize = 1_000;
/// How many if the caller names no number.
const DEFAULT_DENIED: usize = 50;

/// Who is refused most.
#[derive(Serialize, ToSchema)]
pub(super) struct DeniedList {
    /// The most refused first.
    denied: Vec<DeniedView>,
}

/// A descriptor that was refused.
#[derive(Serialize, ToSchema)]
pub(super) struct DeniedView {
    /// The domain of the policy.
    domain: String,
    /// The policy.
    policy: String,
    /// What was counted.
    descriptor: Vec<EntryView>,
    /// How often it was refused, at most.
    count: u64,
    /// It was refused `count - error` times at least: memory is bounded, and those who come late
    /// begin with the count of those whose place they take.
    error: u64,
}

impl DeniedView {
    fn of(denied: Denied) -> Self {
        Self {
            domain: denied.domain.to_string(),
            policy: denied.policy.to_string(),
            descriptor: denied.entries.iter().map(EntryView::of).collect(),
            count: denied.count,
            error: denied.error,
        }
    }
}

/// List who is refused most
///
/// Descriptors that were refused most since the start, or would have been in shadow mode.
#[utoipa::path(
    get,
    path = "/api/v1/limits/denied",
    tag = "limits",
    operation_id = "listDenied",
    params(
        ("limit" = Option<u16>, Query, description = "How many, 1 to 1000; 50 if absent", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The most refused first", body = DeniedList),
        Reading,
    ),
)]
pub(super) async fn denied(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(Scope::LimitsCheck)?;
    let most = params.take_limit(MAX_DENIED)?.unwrap_or(DEFAULT_DENIED);
    params.finish()?;
    let denied = state.limits.service.top_denied(most);
    let denied = denied.into_iter().map(DeniedView::of).collect();
    Ok(Json(DeniedList { denied }).into_response())
}

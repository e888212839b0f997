//! Decisions of the limit service, over JSON.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tollgate_access::Scope;
use tollgate_limit::MAX_LIMIT;
use tollgate_limit::policy::{Allowance, Descriptor, Entry};
use tollgate_limit::service::{CheckAnswer, CheckRequest, Code, Status};
use utoipa::ToSchema;

use super::Answer;
use super::body::JsonBody;
use super::caller::Asker;
use super::describe::Writing;
use super::query::Params;
use crate::admin::AdminState;
use crate::limits::headers::{millis, told};
use crate::limits::{MAX_DESCRIPTORS, MAX_ENTRIES, MAX_ENTRY_BYTES};
use crate::problem::{Kind, Problem};

/// What somebody wants to know.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// Whose policies.
    #[schema(example = "shop")]
    domain: String,
    /// What the request is, in each respect it is limited by: 1 to 100 lists of 1 to 32 entries.
    #[schema(example = json!([[{"key": "remote_address", "value": "192.0.2.7"}], [{"key": "plan", "value": "free"}, {"key": "user", "value": "u17"}]]))]
    #[schema(min_items = 1, max_items = 100)]
    descriptors: Vec<Vec<EntryView>>,
    /// How much it takes; 1 if absent, and 0 to look without taking.
    #[schema(maximum = 9007199254740992_u64)]
    hits: Option<u64>,
}

/// A key and a value of a descriptor.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryView {
    key: String,
    value: String,
}

impl EntryView {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            key: entry.key.clone(),
            value: entry.value.clone(),
        }
    }
}

/// What was decided.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckView {
    /// Whether the request passes. If not, nothing was charged to any of its limits.
    allowed: bool,
    /// How long to hold the request before it goes on, where a policy delays.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// One for each descriptor, in their order.
    statuses: Vec<StatusView>,
}

/// What was decided about one descriptor.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusView {
    /// The policy's name; absent if none is for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// Whether it lets the request pass.
    allowed: bool,
    /// `allowed`, `over_limit`, `unmatched` (no policy is for it), `unlimited` or `replaced` (the
    /// policy of another descriptor counts instead).
    outcome: &'static str,
    /// Requests in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// How long a window is.
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    /// How much would pass now.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    /// How long until the counter is as if it had never been used.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_after_ms: Option<u64>,
    /// How long until the same request would pass this limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The policy is in shadow mode, and would have refused the request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    would_refuse: bool,
}

/// Decide a request
///
/// Charges all limits of a request, or none if one of them refuses it. The answer is 200 either way.
/// Descriptors that no policy is for are allowed.
#[utoipa::path(
    post,
    path = "/api/v1/limits/check",
    tag = "limits",
    operation_id = "checkLimits",
    request_body = Check,
    responses(
        (status = 200, description = "The decision", body = CheckView, headers(
            ("RateLimit" = String, description = "What is left, by draft-ietf-httpapi-ratelimit-headers-10"),
            ("RateLimit-Policy" = String, description = "The limits"),
            ("Retry-After" = u64, description = "If it is refused, and not for ever"),
        )),
        Writing,
    ),
)]
pub(super) async fn check(
    State(state): State<AdminState>,
    Asker(caller): Asker,
    params: Params,
    JsonBody(check): JsonBody<Check>,
) -> Answer {
    caller.require(Scope::LimitsCheck)?;
    params.finish()?;
    let request = request(check)?;
    let answer = state.limits.service.check(&request).await;
    let answer = answer.map_err(|error| {
        let field = match error {
            tollgate_limit::service::CheckError::NoDomain => "domain",
            tollgate_limit::service::CheckError::NoDescriptors => "descriptors",
        };
        Problem::wrong(Kind::InvalidFields, field, error.to_string())
    })?;
    let headers = told(&answer);
    Ok((headers, Json(view(&answer))).into_response())
}

fn request(check: Check) -> Result<CheckRequest, Problem> {
    let wrong = |field: &str, reason: String| Problem::wrong(Kind::InvalidFields, field, reason);
    if check.descriptors.len() > MAX_DESCRIPTORS {
        let reason = format!("give at most {MAX_DESCRIPTORS}");
        return Err(wrong("descriptors", reason));
    }
    let hits = check.hits.unwrap_or(1);
    if hits > MAX_LIMIT {
        return Err(wrong("hits", format!("give at most {MAX_LIMIT}")));
    }
    let mut descriptors = Vec::with_capacity(check.descriptors.len());
    for (at, entries) in check.descriptors.into_iter().enumerate() {
        let field = format!("descriptors[{at}]");
        if entries.is_empty() || entries.len() > MAX_ENTRIES {
            return Err(wrong(&field, format!("give 1 to {MAX_ENTRIES} entries")));
        }
        let too_long = |entry: &EntryView| entry.key.len().max(entry.value.len()) > MAX_ENTRY_BYTES;
        if entries.iter().any(too_long) {
            let reason = format!("a key and a value have at most {MAX_ENTRY_BYTES} bytes");
            return Err(wrong(&field, reason));
        }
        let entries = entries.into_iter();
        descriptors.push(Descriptor {
            entries: entries.map(|e| Entry::new(e.key, e.value)).collect(),
            ..Descriptor::default()
        });
    }
    Ok(CheckRequest {
        domain: check.domain,
        descriptors,
        hits,
    })
}

fn view(answer: &CheckAnswer) -> CheckView {
    CheckView {
        allowed: answer.allowed,
        delay_ms: Some(answer.delay).filter(|d| !d.is_zero()).map(millis),
        statuses: answer.statuses.iter().map(status).collect(),
    }
}

fn status(status: &Status) -> StatusView {
    StatusView {
        policy: status.policy().map(str::to_owned),
        allowed: !status.refuses(),
        outcome: match status.code {
            Code::Allowed => "allowed",
            Code::OverLimit => "over_limit",
            Code::Unmatched => "unmatched",
            Code::Unlimited => "unlimited",
            Code::Replaced => "replaced",
        },
        limit: status.limit.map(Allowance::requests),
        window_ms: status.limit.map(|limit| millis(limit.window())),
        remaining: status.remaining,
        reset_after_ms: status.reset_after.map(millis),
        retry_after_ms: status.retry_after.map(millis),
        would_refuse: status.would_refuse,
    }
}

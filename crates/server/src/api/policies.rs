//! The policies of the limit service: what is in force, and changing it while it runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::json;
use tollgate_access::Scope;
use tollgate_audit::Action;
use tollgate_limit::policy::Allowance;
use tollgate_limit::service::RuleStats;
use utoipa::ToSchema;

use super::Answer;
use super::body::{is_media, read, unsupported};
use super::caller::Caller;
use super::describe::{Reading, Writing};
use super::query::Params;
use crate::admin::AdminState;
use crate::audit::Change;
use crate::limits::{Origin, PolicyBook, PutError};
use crate::problem::{Kind, Problem};

const YAML: [&str; 3] = ["application/yaml", "application/x-yaml", "text/yaml"];

/// All policies.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyList {
    /// By name.
    domains: Vec<DomainView>,
}

/// The policies of a domain.
#[derive(Serialize, ToSchema)]
pub(super) struct DomainView {
    /// Its name.
    domain: String,
    /// Where they come from: `built_in`, `file` or `api`.
    origin: &'static str,
    /// In the order of the file.
    policies: Vec<PolicyView>,
}

/// A policy file, as YAML: docs/limits.md tells what descriptors may say.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of text, which is read as YAML")]
struct PolicyDocument {
    /// The name of the domain, which is that of the path.
    domain: String,
    /// What is counted, by which keys.
    #[schema(value_type = Vec<Object>)]
    descriptors: Vec<serde_json::Value>,
}

/// One limit.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyView {
    /// What answers and metrics call it.
    name: String,
    /// The keys and values of its descriptors.
    path: String,
    /// Requests in a window; absent if it is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// How long a window is.
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    /// What decides; absent if it lets everything or nothing through.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    /// What one hit costs.
    cost: u64,
    /// It counts and never refuses.
    shadow: bool,
    /// Requests for which it had room, since the server started.
    allowed: u64,
    /// Requests that it refused.
    denied: u64,
    /// Requests that it would have refused, were it not in shadow mode or quota mode.
    would_deny: u64,
    /// Requests for which the store failed; what was decided then is counted as well.
    errors: u64,
    /// Half of the requests were decided in at most so many microseconds: a bound of the histogram.
    /// Absent without requests, or above 100 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    /// As `p50_us`, of 99 in 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
}

impl PolicyView {
    fn of(stats: &RuleStats) -> Self {
        let rule = &stats.rule;
        let at_most = |hundredths| {
            let time = stats.times.percentile(hundredths)?;
            u64::try_from(time.as_micros()).ok()
        };
        Self {
            name: rule.name.to_string(),
            path: rule.path.to_string(),
            limit: rule.allowance().map(Allowance::requests),
            window_ms: rule
                .allowance()
                .map(|limit| u64::try_from(limit.window().as_millis()).unwrap_or(u64::MAX)),
            algorithm: rule.limiter().map(|limiter| limiter.kind().name()),
            cost: rule.cost,
            shadow: rule.shadow,
            allowed: stats.allowed,
            denied: stats.denied,
            would_deny: stats.would_deny,
            errors: stats.errors,
            p50_us: at_most(50),
            p99_us: at_most(99),
        }
    }
}

/// List the policies
#[utoipa::path(
    get,
    path = "/api/v1/limits/policies",
    tag = "limits",
    operation_id = "listPolicies",
    responses(
        (status = 200, description = "What is in force", body = PolicyList),
        Reading,
    ),
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
) -> Answer {
    caller.require(Scope::LimitsCheck)?;
    params.finish()?;
    let policies = state.limits.service.policies();
    let rules = state.limits.service.stats().rules;
    let origins = state.limits.book.origins();
    let domains = policies.domains().into_iter().map(|domain| DomainView {
        domain: domain.to_owned(),
        origin: match origins.get(domain) {
            Some(Origin::Api) => "api",
            Some(Origin::File) => "file",
            Some(Origin::BuiltIn) | None => "built_in",
        },
        policies: rules
            .iter()
            .filter(|of| &*of.rule.domain == domain && !of.rule.is_brought())
            .map(PolicyView::of)
            .collect(),
    });
    let domains = domains.collect();
    Ok(Json(PolicyList { domains }).into_response())
}

/// Show the policies of a domain
///
/// As YAML: the text in which they were given.
#[utoipa::path(
    get,
    path = "/api/v1/limits/policies/{domain}",
    tag = "limits",
    operation_id = "getPolicies",
    params(("domain" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The text", content_type = "application/yaml", body = PolicyDocument),
        (status = 404, description = "There is no such domain", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn get(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    Path(domain): Path<String>,
) -> Answer {
    caller.require(Scope::LimitsCheck)?;
    params.finish()?;
    match state.limits.book.text(&domain) {
        Some(yaml) => Ok(([(CONTENT_TYPE, YAML[0])], yaml).into_response()),
        None => Err(no_such(&domain)),
    }
}

/// Set the policies of a domain
///
/// One YAML document, in the format of the policies file. It is in force when the answer comes, and
/// kept: it takes the place of what the file says of the domain, also after a restart.
#[utoipa::path(
    put,
    path = "/api/v1/limits/policies/{domain}",
    tag = "limits",
    operation_id = "setPolicies",
    params(("domain" = String, Path, description = "Its name, as the document says it")),
    request_body(content = PolicyDocument, content_type = "application/yaml"),
    responses(
        (status = 204, description = "They are in force"),
        Writing,
    ),
)]
pub(super) async fn put(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    Path(domain): Path<String>,
    request: Request,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    if !is_media(request.headers(), &YAML) {
        let advertised_by = http::HeaderName::from_static("accept-post");
        return Err(unsupported(&YAML, advertised_by));
    }
    let body = read(request, &state).await?;
    let yaml = String::from_utf8(body.to_vec())
        .map_err(|_| Problem::new(Kind::BadRequest, "The body is not UTF-8."))?;
    let who = caller.id().to_owned();
    let (within, named) = (state.clone(), domain.clone());
    let set = async move {
        let (of, text) = (named.clone(), yaml.clone());
        let before = with_book(&within, move |book| book.put(&of, &text)).await?;
        let change = Change::new(named, json!({"yaml": [before, yaml]}));
        Ok::<_, Problem>(((), Some(change)))
    };
    caller.recorded(&state, Action::PoliciesSet, set).await?;
    tracing::info!(%domain, key = who, "policies were set");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Take back the policies of a domain
///
/// What was set through the API; what the file says of the domain is in force again.
#[utoipa::path(
    delete,
    path = "/api/v1/limits/policies/{domain}",
    tag = "limits",
    operation_id = "unsetPolicies",
    params(("domain" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "They are gone"),
        (status = 404, description = "None were set through the API", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn remove(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    Path(domain): Path<String>,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let (within, named) = (state.clone(), domain.clone());
    let unset = async move {
        let of = named.clone();
        let before = with_book(&within, move |book| book.remove(&of)).await?;
        let before = before.ok_or_else(|| no_such(&named))?;
        let change = Change::new(named, json!({"yaml": [before, null]}));
        Ok::<_, Problem>(((), Some(change)))
    };
    caller
        .recorded(&state, Action::PoliciesUnset, unset)
        .await?;
    tracing::info!(%domain, key = caller.id(), "policies were taken back");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn no_such(domain: &str) -> Problem {
    let name: String = domain.chars().take(128).collect();
    Problem::new(
        Kind::PoliciesNotFound,
        format!("Nothing is set for {name:?}."),
    )
}

/// Files are read and written where that may block.
async fn with_book<T: Send + 'static>(
    state: &AdminState,
    work: impl FnOnce(&PolicyBook) -> Result<T, PutError> + Send + 'static,
) -> Result<T, Problem> {
    let book = Arc::clone(&state.limits.book);
    let done = tokio::task::spawn_blocking(move || work(&book)).await;
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Err(Problem::internal()),
    }
}

fn refused(error: PutError) -> Problem {
    match error {
        PutError::Policy(error) => {
            let field = if error.field.is_empty() {
                "body"
            } else {
                &error.field
            };
            let (line, column) = (error.line, error.column);
            Problem::wrong(Kind::InvalidFields, field, error.reason.clone()).at(line, column)
        }
        PutError::OtherDomain(_) | PutError::Domains => {
            Problem::wrong(Kind::InvalidFields, "domain", error.to_string())
        }
        PutError::Sources(_) | PutError::Keep(_) => {
            tracing::error!(%error, "policies cannot be set");
            Problem::internal()
        }
    }
}

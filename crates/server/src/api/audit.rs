//! Who changed what.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tollgate_access::Scope;
use tollgate_audit::{AuditLog, Query, Recorded};
use tollgate_clock::UnixMillis;
use tollgate_links::store::StoreError;
use utoipa::ToSchema;

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use crate::admin::AdminState;
use crate::problem::Problem;

/// The most entries on a page.
const MAX_PAGE: usize = 1_000;
/// Entries on a page if the caller names no number.
const DEFAULT_PAGE: usize = 100;
const NDJSON: &str = "application/x-ndjson";

/// Who did it. Which fields are there depends on `kind`.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActor)]
#[allow(dead_code, reason = "it describes what the log keeps as JSON")]
struct ActorView {
    /// `key`, `person` (who signed in at a provider), `user` (of the operating system, by the command line), `server`, or
    /// `nobody` for who has not shown who they are.
    kind: &'static str,
    /// The identifier of the key.
    id: Option<String>,
    /// The name of the key, the person or the user.
    name: Option<String>,
    /// The provider, and its name for the person.
    subject: Option<String>,
}

/// From where it came.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditOrigin)]
#[allow(dead_code, reason = "it describes what the log keeps as JSON")]
struct OriginView {
    /// `api`, `dashboard`, `shlink`, `yourls`, `bitly`, `command_line` or `server`.
    via: &'static str,
    /// The address of the client, as trusted proxies tell it.
    address: Option<String>,
    /// What the client says that it is, at most 256 characters.
    user_agent: Option<String>,
    /// The identifier of the request.
    request_id: Option<String>,
}

/// What somebody did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
#[allow(dead_code, reason = "it describes what the log keeps as JSON")]
struct EntryView {
    /// Its number: each is one more than the one before.
    seq: i64,
    /// Its hash, which is made of the entry and of the hash of the one before; absent if `admin.audit.chain` is off.
    hash: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: UnixMillis,
    /// Who.
    actor: ActorView,
    /// What, such as `link.update`.
    action: &'static str,
    /// To what: the host and code of a link, the identifier of a key or webhook, the domain of policies.
    resource: String,
    /// Changed fields with the value before and after, without secrets.
    #[schema(value_type = Object, example = json!({"title": [null, "Spring sale"]}))]
    changes: serde_json::Value,
    /// From where.
    from: OriginView,
    /// `done` or `refused`.
    result: &'static str,
    /// Why it was refused.
    reason: Option<String>,
}

/// One page of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// Newest first, unless asked for otherwise.
    #[schema(value_type = Vec<EntryView>)]
    entries: Vec<Box<RawValue>>,
    /// Ask with this as `cursor` for the next page; absent at the end. A page may be short, and even empty, if few of
    /// many entries fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List who changed what
///
/// Each change of links, keys, webhooks and policies is in the log before it is answered, and so is who signed in to the
/// dashboard, or tried.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    operation_id = "listAudit",
    params(
        ("action" = Option<String>, Query, description = "Only this action, such as `link.delete`, or all done to one kind of thing, such as `link`"),
        ("actor" = Option<String>, Query, description = "Only of the key, person or user with this identifier or name"),
        ("resource" = Option<String>, Query, description = "Only what was done to this: `go.example/spring`, or the identifier of a key or webhook"),
        ("address" = Option<String>, Query, description = "Only from this address"),
        ("result" = Option<String>, Query, description = "Only `done` or `refused`"),
        ("since" = Option<String>, Query, description = "Only from then on (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Only before then (RFC 3339)"),
        ("order" = Option<String>, Query, description = "`-seq` (newest first, the default) or `seq`"),
        ("limit" = Option<u16>, Query, description = "Entries on a page, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = AuditPage),
        Reading,
    ),
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    allowed(&caller)?;
    let limit = params.take_limit(MAX_PAGE)?.unwrap_or(DEFAULT_PAGE);
    let cursor = params.take("cursor")?.map(|text| {
        let number = text.parse::<i64>();
        number.map_err(|_| Params::wrong("cursor", "it does not belong to this listing"))
    });
    let ascending = match params.take("order")?.as_deref() {
        None | Some("-seq") => false,
        Some("seq") => true,
        Some(_) => return Err(Params::wrong("order", "use seq or -seq")),
    };
    let query = Query {
        ascending,
        cursor: cursor.transpose()?,
        limit: NonZeroUsize::new(limit),
        ..wanted(params)?
    };
    let page = state.audit.find(&query).await.map_err(StoreError::from)?;
    let entries = page
        .entries
        .iter()
        .map(|entry| RawValue::from_string(entry.line()));
    let entries: Result<_, _> = entries.collect();
    Ok(Json(AuditPage {
        entries: entries.map_err(|error| {
            tracing::error!(%error, "the audit log has an entry that is none");
            Problem::internal()
        })?,
        next_cursor: page.next.map(|next| next.to_string()),
    })
    .into_response())
}

/// Export who changed what
///
/// One entry a line, oldest first, as it is kept: `tollgate audit verify --export FILE` tells whether all are there and
/// as they were written.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    tag = "audit",
    operation_id = "exportAudit",
    params(
        ("action" = Option<String>, Query, description = "As in the listing"),
        ("actor" = Option<String>, Query, description = "As in the listing"),
        ("resource" = Option<String>, Query, description = "As in the listing"),
        ("address" = Option<String>, Query, description = "As in the listing"),
        ("result" = Option<String>, Query, description = "As in the listing"),
        ("since" = Option<String>, Query, description = "As in the listing"),
        ("until" = Option<String>, Query, description = "As in the listing"),
    ),
    responses(
        (status = 200, description = "One entry a line", body = EntryView, content_type = "application/x-ndjson"),
        Reading,
    ),
)]
pub(super) async fn export(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
) -> Answer {
    allowed(&caller)?;
    let query = Query {
        ascending: true,
        limit: NonZeroUsize::new(MAX_PAGE),
        ..wanted(params)?
    };
    // What is wrong at once is answered as a problem, and not by breaking off.
    let first = piece(&state.audit, &query)
        .await
        .map_err(StoreError::from)?;
    let log = Arc::clone(&state.audit);
    let pieces = stream::unfold(Some(first), move |piece_before| {
        let (log, query) = (Arc::clone(&log), query.clone());
        async move {
            let (bytes, next) = piece_before?;
            let following = match next {
                None => None,
                Some(cursor) => {
                    let query = Query {
                        cursor: Some(cursor),
                        ..query
                    };
                    match piece(&log, &query).await {
                        Ok(piece) => Some(piece),
                        // The body breaks off, so that nobody takes it for whole.
                        Err(error) => return Some((Err(error), None)),
                    }
                }
            };
            Some((Ok(bytes), following))
        }
    });
    let body = Body::from_stream(pieces);
    let media = HeaderValue::from_static(NDJSON);
    Ok((StatusCode::OK, [(CONTENT_TYPE, media)], body).into_response())
}

/// Some lines, and where to go on.
async fn piece(
    log: &AuditLog,
    query: &Query,
) -> Result<(Bytes, Option<i64>), tollgate_audit::Error> {
    let page = log.find(query).await?;
    let mut lines = String::new();
    for line in page.entries.iter().map(Recorded::line) {
        lines.push_str(&line);
        lines.push('\n');
    }
    Ok((lines.into(), page.next))
}

/// What was done to all domains is nothing for who may see one.
fn allowed(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::AuditRead)?;
    caller.all_domains()
}

fn wanted(mut params: Params) -> Result<Query, Problem> {
    let moment = |name: &str, text: Option<String>| {
        let read = text.map(|text| text.parse::<UnixMillis>());
        let read = read.transpose();
        read.map_err(|error| Params::wrong(name, error.to_string()))
    };
    let action = params.take("action")?.map(|name| name.parse());
    let result = params.take("result")?.map(|name| name.parse());
    let query = Query {
        action: action
            .transpose()
            .map_err(|error: tollgate_audit::UnknownAction| {
                Params::wrong("action", error.to_string())
            })?,
        actor: params.take("actor")?,
        resource: params.take("resource")?,
        address: params.take("address")?,
        result: result
            .transpose()
            .map_err(|error: tollgate_audit::UnknownOutcome| {
                Params::wrong("result", error.to_string())
            })?,
        since: moment("since", params.take("since")?)?,
        until: moment("until", params.take("until")?)?,
        ..Query::default()
    };
    params.finish()?;
    Ok(query)
}

//! API keys.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_access::{ApiKey, KeyError, KeyId, NewKey, Scope, Scopes};
use tollgate_audit::Action;
use tollgate_clock::UnixMillis;
use utoipa::ToSchema;

use super::Answer;
use super::body::JsonBody;
use super::caller::Caller;
use super::describe::{Reading, Writing};
use super::domain::domain_of;
use super::query::Params;
use crate::admin::AdminState;
use crate::audit::Change;
use crate::problem::{Kind, Problem};

/// The most keys on a page.
const MAX_PAGE_KEYS: usize = 1_000;
/// Keys on a page if the caller names no number.
const DEFAULT_PAGE_KEYS: usize = 100;
/// How long the secret before is accepted if the caller names no time.
const DEFAULT_GRACE: Duration = Duration::from_hours(24);
/// The longest that it can be.
const MAX_GRACE: Duration = Duration::from_hours(30 * 24);

/// A key somebody wants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyDraft {
    /// For people, 1 to 100 characters.
    #[schema(example = "newsletter")]
    name: String,
    /// What it shall allow: `links:read`, `links:write`, `stats:read`, `limits:check`, `audit:read`, `admin`.
    #[schema(example = json!(["links:read", "links:write"]))]
    scopes: Vec<String>,
    /// The only domain whose links it shall touch; every one if absent.
    domain: Option<String>,
    /// From when on it shall be refused (RFC 3339); never if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<UnixMillis>,
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyView {
    /// Its public name; links and their history name it as their author.
    #[schema(example = "key_01k2v8tq4e7g3mdn")]
    id: String,
    /// For people.
    name: String,
    /// What it allows.
    scopes: Vec<&'static str>,
    /// The only domain whose links it may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMillis,
    /// From when on it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<UnixMillis>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<UnixMillis>,
    /// Whose it is, if it is the key of a person who signs in at a provider: the provider and its name for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    subject: Option<Box<str>>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKeyView {
    #[serde(flatten)]
    key: KeyView,
    /// The secret to authenticate with. It is shown this once and cannot be shown again.
    secret: String,
}

/// A key that has another secret.
#[derive(Serialize, ToSchema)]
pub(super) struct RotatedKeyView {
    #[serde(flatten)]
    key: KeyView,
    /// The secret to authenticate with. It is shown this once and cannot be shown again.
    secret: String,
    /// Until when the secret before is accepted as well.
    #[schema(value_type = String, format = DateTime)]
    old_until: UnixMillis,
}

/// One page of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    /// Oldest first, revoked ones included.
    keys: Vec<KeyView>,
    /// Ask with this as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl KeyView {
    fn of(key: ApiKey, state: &AdminState) -> Self {
        let domain = key
            .domain
            .map(|domain| state.service.parts().domains.host_of(&domain));
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            domain,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            subject: key.subject,
        }
    }
}

/// Make a key
///
/// The answer holds the secret, which cannot be shown again; so repeating this request makes
/// another key.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    tag = "keys",
    operation_id = "createKey",
    request_body = KeyDraft,
    responses(
        (status = 201, description = "The key and its secret", body = NewKeyView, headers(("Location" = String, description = "The key in this API"))),
        Writing,
    ),
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    JsonBody(draft): JsonBody<KeyDraft>,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let (new, within) = (new_key(draft, &state)?, state.clone());
    let made = async move {
        let created = within.keys.create(new).await?;
        let change = Change::between(&created.key.id, &Value::Null, &told(&created.key, &within));
        Ok::<_, KeyError>((created, Some(change)))
    };
    let created = caller.recorded(&state, Action::KeyCreate, made).await?;
    tracing::info!(made = %created.key.id, "an API key was made");
    let location = format!("/api/v1/keys/{}", created.key.id);
    let body = Json(NewKeyView {
        secret: created.secret.expose().to_owned(),
        key: KeyView::of(created.key, &state),
    });
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn new_key(draft: KeyDraft, state: &AdminState) -> Result<NewKey, Problem> {
    let mut scopes = Vec::with_capacity(draft.scopes.len());
    for (at, name) in draft.scopes.iter().enumerate() {
        let scope: Scope = name.parse().map_err(|error: tollgate_access::ScopeError| {
            Problem::wrong(
                Kind::InvalidFields,
                &format!("scopes[{at}]"),
                error.to_string(),
            )
        })?;
        scopes.push(scope);
    }
    let domain = domain_of(draft.domain.as_deref(), state)?;
    Ok(NewKey {
        name: draft.name,
        scopes: scopes.into_iter().collect::<Scopes>(),
        domain,
        expires_at: draft.expires_at,
    })
}

/// List keys
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    tag = "keys",
    operation_id = "listKeys",
    params(
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before", min_length = 1),
        ("limit" = Option<u16>, Query, description = "Keys on a page, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "A page", body = KeyPage),
        Reading,
    ),
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    let limit = params
        .take_limit(MAX_PAGE_KEYS)?
        .unwrap_or(DEFAULT_PAGE_KEYS);
    let after = params
        .take("cursor")?
        .map(|text| text.parse::<KeyId>())
        .transpose()
        .map_err(|_| Params::wrong("cursor", "it does not belong to this listing"))?;
    params.finish()?;
    // One more than is shown tells whether there is another page.
    let mut keys = state.keys.list(after.as_ref(), limit + 1).await?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    let last = keys.last().map(|key| key.id.to_string());
    Ok(Json(KeyPage {
        next_cursor: last.filter(|_| more),
        keys: keys
            .into_iter()
            .map(|key| KeyView::of(key, &state))
            .collect(),
    })
    .into_response())
}

/// Show a key
#[utoipa::path(
    get,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    operation_id = "getKey",
    params(("id" = String, Path, description = "The key's identifier")),
    responses(
        (status = 200, description = "The key", body = KeyView),
        (status = 404, description = "There is no such key", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn get(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let key = state.keys.get(&identifier(&id)?).await?;
    Ok(Json(KeyView::of(key, &state)).into_response())
}

/// Revoke a key
///
/// It is refused at once here, and within two seconds by other processes on the same store. It
/// stays listed, because links name it as their author.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    tag = "keys",
    operation_id = "revokeKey",
    params(("id" = String, Path, description = "The key's identifier")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 404, description = "There is no such key", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let (id, within) = (identifier(&id)?, state.clone());
    let revoked = async move {
        let before = within.keys.get(&id).await?;
        let key = within.keys.revoke(&id).await?;
        let change = Change::between(&id, &told(&before, &within), &told(&key, &within));
        // It may have been revoked before.
        let change = before.revoked_at.is_none().then_some(change);
        Ok::<_, KeyError>((key, change))
    };
    let key = caller.recorded(&state, Action::KeyRevoke, revoked).await?;
    tracing::info!(revoked = %key.id, "an API key was revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give a key another secret
///
/// The one before is accepted for a day as well, or as long as `grace` says: time to tell it to whoever uses it. With a
/// grace of 0 it is refused at once here, and within two seconds by other processes on the same store.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    tag = "keys",
    operation_id = "rotateKey",
    params(
        ("id" = String, Path, description = "The key's identifier"),
        ("grace" = Option<u32>, Query, description = "Seconds for which the secret before is accepted, 0 to 2592000 (30 days); 86400 if absent", maximum = 2_592_000),
    ),
    responses(
        (status = 200, description = "The key and its new secret", body = RotatedKeyView),
        (status = 404, description = "There is no such key", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It was revoked, or is that of a person", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn rotate(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    mut params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    let grace = match params.take("grace")? {
        None => DEFAULT_GRACE,
        Some(text) => {
            let seconds = text.parse().ok().map(Duration::from_secs);
            let seconds = seconds.filter(|grace| *grace <= MAX_GRACE);
            seconds.ok_or_else(|| Params::wrong("grace", "give seconds from 0 to 2592000"))?
        }
    };
    params.finish()?;
    let (id, within) = (identifier(&id)?, state.clone());
    let rotated = async move {
        let rotated = within.keys.rotate(&id, grace).await?;
        let change = Change::new(&id, json!({"old_until": [null, rotated.old_until]}));
        Ok::<_, KeyError>((rotated, Some(change)))
    };
    let rotated = caller.recorded(&state, Action::KeyRotate, rotated).await?;
    tracing::info!(rotated = %rotated.key.id, "an API key has another secret");
    Ok(Json(RotatedKeyView {
        secret: rotated.secret.expose().to_owned(),
        old_until: rotated.old_until,
        key: KeyView::of(rotated.key, &state),
    })
    .into_response())
}

/// What the audit log tells of a key.
fn told(key: &ApiKey, state: &AdminState) -> Value {
    let mut told = serde_json::to_value(KeyView::of(key.clone(), state)).unwrap_or_default();
    if let Some(fields) = told.as_object_mut() {
        // They say nothing that the entry does not say.
        fields.remove("id");
        fields.remove("created_at");
    }
    told
}

/// What cannot be an identifier names no key.
fn identifier(text: &str) -> Result<KeyId, Problem> {
    text.parse().map_err(|error: tollgate_access::KeyIdError| {
        Problem::new(Kind::KeyNotFound, error.to_string())
    })
}

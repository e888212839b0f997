//! Short URLs: made, shown, edited, deleted.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tollgate_access::Scope;
use tollgate_links::{Link, LinkDraft, LinkPatch, NewLink};

use super::Holder;
use super::asked::{Asked, read_moment};
use super::failure::Failure;
use super::shown::one;
use crate::admin::AdminState;
use crate::api::body;
use crate::api::caller::Caller;
use crate::api::links::placed;
use crate::problem::{Kind, Problem};

/// The shortest code that Shlink makes.
const MIN_CODE: u64 = 4;

/// A short URL somebody wants.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    long_url: Option<String>,
    custom_slug: Option<String>,
    path_prefix: Option<String>,
    short_code_length: Option<u64>,
    domain: Option<String>,
    find_if_exists: Option<bool>,
    tags: Option<Vec<String>>,
    title: Option<String>,
    forward_query: Option<bool>,
    valid_since: Option<String>,
    valid_until: Option<String>,
    max_visits: Option<u64>,
}

/// What shall change in a short URL: what is absent stays, `null` clears.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Changes {
    long_url: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(deserialize_with = "tollgate_links::given")]
    title: Option<Option<String>>,
    forward_query: Option<bool>,
    #[serde(deserialize_with = "tollgate_links::given")]
    valid_since: Option<Option<String>>,
    #[serde(deserialize_with = "tollgate_links::given")]
    valid_until: Option<Option<String>>,
    #[serde(deserialize_with = "tollgate_links::given")]
    max_visits: Option<Option<u64>>,
}

pub(super) async fn create(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let wanted = body::object(request, &state).await?;
    let link = make(&state, &caller, wanted).await?;
    Ok(Json(one(&state, link).await?))
}

/// Makes a short URL by one GET, with the key among the parameters.
pub(super) async fn shorten(
    State(state): State<AdminState>,
    asked: Asked,
) -> Result<Response, Failure> {
    let key = asked.get("apiKey").ok_or_else(Failure::no_key)?;
    let caller = Caller::admitted(key, &state).await?;
    let wanted = Wanted {
        long_url: asked.get("longUrl").map(str::to_owned),
        find_if_exists: Some(true),
        ..Wanted::default()
    };
    let link = make(&state, &caller, wanted).await?;
    if asked.get("format") != Some("txt") {
        return Ok(Json(one(&state, link).await?).into_response());
    }
    let mut response = state
        .service
        .parts()
        .domains
        .short_url(&link.key)
        .into_response();
    let media = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, media);
    Ok(response)
}

async fn make(state: &AdminState, caller: &Caller, wanted: Wanted) -> Result<Link, Failure> {
    caller.require(Scope::LinksWrite)?;
    caller.may_create(state).await?;
    let Some(url) = wanted.long_url else {
        return Err(Failure::invalid("longUrl", "this field is needed"));
    };
    if wanted.path_prefix.is_some_and(|prefix| !prefix.is_empty()) {
        let reason = "codes have no slashes here: leave it out";
        return Err(Failure::invalid("pathPrefix", reason));
    }
    if wanted
        .short_code_length
        .is_some_and(|length| length < MIN_CODE)
    {
        let reason = format!("is {MIN_CODE} or more");
        return Err(Failure::invalid("shortCodeLength", reason));
    }
    let moment = |name, text: Option<String>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| read_moment(name, &text)).transpose()
    };
    let slug = wanted.custom_slug.filter(|slug| !slug.is_empty());
    let domain = wanted.domain.filter(|domain| !domain.is_empty());
    let draft = LinkDraft {
        url,
        code: slug.clone(),
        domain: domain.clone(),
        starts_at: moment("validSince", wanted.valid_since)?,
        expires_at: moment("validUntil", wanted.valid_until)?,
        max_clicks: wanted.max_visits,
        tags: wanted.tags.unwrap_or_default(),
        title: wanted.title,
        // As in Shlink.
        forward_query: wanted.forward_query.unwrap_or(true),
        reuse: wanted.find_if_exists.unwrap_or(false),
        ..LinkDraft::default()
    };
    let draft = placed(caller, &state.service, draft)?;
    let new = NewLink {
        draft,
        idempotency: None,
    };
    let created = caller.create(state, new).await;
    let created = created
        .map_err(|error| Failure::of_slug(error.into(), slug.as_deref(), domain.as_deref()))?;
    Ok(created.link)
}

pub(super) async fn get(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    let link = find(&state, &caller, code, &asked).await?;
    Ok(Json(one(&state, link).await?))
}

pub(super) async fn update(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
    request: Request,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksWrite)?;
    let key = find(&state, &caller, code, &asked).await?.key;
    let changes: Changes = body::object(request, &state).await?;
    let moment = |name, change: Option<Option<String>>| match change {
        Some(Some(text)) if !text.is_empty() => read_moment(name, &text).map(|at| Some(Some(at))),
        Some(_) => Ok(Some(None)),
        None => Ok(None),
    };
    let patch = LinkPatch {
        url: changes.long_url,
        starts_at: moment("validSince", changes.valid_since)?,
        expires_at: moment("validUntil", changes.valid_until)?,
        max_clicks: changes.max_visits,
        tags: changes.tags,
        title: changes.title,
        forward_query: changes.forward_query,
        ..LinkPatch::default()
    };
    let link = caller.edit(&state, &key, patch, None, None).await?;
    Ok(Json(one(&state, link).await?))
}

pub(super) async fn delete(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<StatusCode, Failure> {
    caller.require(Scope::LinksWrite)?;
    let key = find(&state, &caller, code, &asked).await?.key;
    caller.delete(&state, &key, None, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The link that a path and the parameter `domain` name.
pub(super) async fn find(
    state: &AdminState,
    caller: &Caller,
    code: Result<Path<String>, PathRejection>,
    asked: &Asked,
) -> Result<Link, Failure> {
    let Path(code) = code.map_err(|error| Failure::invalid("shortCode", error.body_text()))?;
    let name = asked.domain_name(state);
    let found = async {
        let key = caller.link(&state.service, name.as_deref(), &code);
        let key = key.map_err(|problem| match problem.kind() {
            // A domain that is none of ours has no links.
            Kind::InvalidQuery => Problem::no_such_link(problem.detail()),
            _ => problem,
        })?;
        Ok::<_, Problem>(state.service.get(&key).await?)
    };
    found
        .await
        .map_err(|problem| Failure::of_link(problem, &code, asked.get("domain")))
}

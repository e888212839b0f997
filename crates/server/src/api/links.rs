//! One link: made, shown, edited, deleted.

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, LOCATION};
use http::{HeaderName, Method, StatusCode, Uri};
use percent_encoding::utf8_percent_encode;
use tollgate_access::Scope;
use tollgate_links::{
    Link, LinkDraft, LinkKey, LinkPatch, LinkService, LinkView, NewLink, UNRESERVED,
};

use super::Answer;
use super::body::{JsonBody, MergePatch};
use super::caller::Caller;
use super::describe::{Reading, Writing};
use super::entity_tag::{EntityTag, if_match, is_known};
use super::idempotency::{Repeatable, repeatable};
use super::query::Params;
use crate::admin::AdminState;
use crate::problem::Problem;

/// Set when an answer is that to an earlier request with the same `Idempotency-Key`.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Make a link
///
/// Without `code` a strategy makes one. With `reuse`, a link that is equal in all that was asked
/// for, `code` included, is answered instead (200) if there is one.
#[utoipa::path(
    post,
    path = "/api/v1/links",
    tag = "links",
    operation_id = "createLink",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; a request repeated with the same key and body makes nothing twice and is answered as the first was", min_length = 1, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
    ),
    request_body = LinkDraft,
    responses(
        (status = 201, description = "The link", body = LinkView, headers(
            ("Location" = String, description = "The link in this API"),
            ("ETag" = String, description = "For If-Match"),
            ("Idempotency-Replayed" = String, description = "`true` if an earlier request with this Idempotency-Key made it"),
        )),
        (status = 200, description = "An equal link that was there (`reuse`)", body = LinkView),
        (status = 409, description = "The code belongs to another link", body = Problem, content_type = "application/problem+json"),
        Writing,
    ),
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
    JsonBody(draft): JsonBody<LinkDraft>,
) -> Answer {
    caller.require(Scope::LinksWrite)?;
    params.finish()?;
    caller.may_create(&state).await?;
    let repeatable = repeatable_request(&state, &caller, &headers, &Method::POST, &uri)?;
    let draft = placed(&caller, &state.service, draft)?;
    let new = NewLink {
        idempotency: repeatable.map(|request| request.token(&draft)),
        draft,
    };
    let created = caller.create(&state, new).await?;
    let status = if created.reused {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = (status, shown(&state, &created.link)).into_response();
    let location = location(&created.link.key);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    if created.replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    Ok(response)
}

/// Show a link
#[utoipa::path(
    get,
    path = "/api/v1/links/{code}",
    tag = "links",
    operation_id = "getLink",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags the caller has"),
    ),
    responses(
        (status = 200, description = "The link", body = LinkView, headers(("ETag" = String, description = "For If-Match and If-None-Match"))),
        (status = 304, description = "The caller has this state of the link"),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn get(
    State(state): State<AdminState>,
    caller: Caller,
    Path(code): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    caller.require(Scope::LinksRead)?;
    let domain = params.only_domain()?;
    let key = caller.link(&state.service, domain.as_deref(), &code)?;
    let link = state.service.get(&key).await?;
    let tag = tag(&state, &link);
    let mut response = if is_known(&headers, &tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(entity_tag_header(&tag));
        response
    } else {
        shown(&state, &link).into_response()
    };
    let private = HeaderValue::from_static("private, no-cache");
    response.headers_mut().insert(CACHE_CONTROL, private);
    Ok(response)
}

/// Edit a link
///
/// A merge patch (RFC 7396): absent fields stay, `null` clears, a value replaces. `url` cannot be
/// cleared.
#[utoipa::path(
    patch,
    path = "/api/v1/links/{code}",
    tag = "links",
    operation_id = "updateLink",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("If-Match" = Option<String>, Header, description = "Edit only if the link still has one of these entity tags (or versions, in quotes), or is there at all (`*`)", pattern = r#"^(\*|"[0-9]{1,19}(\.[0-9]{1,18}\.[^",]*)?"( ?, ?"[0-9]{1,19}(\.[0-9]{1,18}\.[^",]*)?")*)$"#),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; a request repeated with the same key and body is done once", min_length = 1, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
    ),
    request_body(content(
        (LinkPatch = "application/merge-patch+json"),
        (LinkPatch = "application/json"),
    )),
    responses(
        (status = 200, description = "The link as it is now", body = LinkView, headers(("ETag" = String, description = "For If-Match"))),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The link is not the one If-Match names", body = Problem, content_type = "application/problem+json"),
        Writing,
    ),
)]
pub(super) async fn update(
    State(state): State<AdminState>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    Path(code): Path<String>,
    headers: HeaderMap,
    params: Params,
    MergePatch(patch): MergePatch<LinkPatch>,
) -> Answer {
    caller.require(Scope::LinksWrite)?;
    let domain = params.only_domain()?;
    let key = caller.link(&state.service, domain.as_deref(), &code)?;
    let expected = expected_version(&state, &key, &headers).await?;
    let repeatable = repeatable_request(&state, &caller, &headers, &Method::PATCH, &uri)?;
    let token = repeatable.map(|request| request.token(&patch));
    let link = caller.edit(&state, &key, patch, expected, token).await?;
    Ok(shown(&state, &link).into_response())
}

/// Delete a link
#[utoipa::path(
    delete,
    path = "/api/v1/links/{code}",
    tag = "links",
    operation_id = "deleteLink",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("If-Match" = Option<String>, Header, description = "Delete only if the link still has one of these entity tags (or versions, in quotes), or is there at all (`*`)", pattern = r#"^(\*|"[0-9]{1,19}(\.[0-9]{1,18}\.[^",]*)?"( ?, ?"[0-9]{1,19}(\.[0-9]{1,18}\.[^",]*)?")*)$"#),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; a request repeated with the same key is done once", min_length = 1, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such link", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The link is not the one If-Match names", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another request", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn delete(
    State(state): State<AdminState>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    Path(code): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    caller.require(Scope::LinksWrite)?;
    let domain = params.only_domain()?;
    let key = caller.link(&state.service, domain.as_deref(), &code)?;
    let expected = expected_version(&state, &key, &headers).await?;
    let repeatable = repeatable_request(&state, &caller, &headers, &Method::DELETE, &uri)?;
    let token = repeatable.map(|request| request.token(&()));
    caller.delete(&state, &key, expected, token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Puts a draft on the domain its author may use.
pub(crate) fn placed(
    caller: &Caller,
    service: &LinkService,
    mut draft: LinkDraft,
) -> Result<LinkDraft, Problem> {
    if draft.restore.is_some() {
        // Whoever may do that can say that others made a link.
        caller.require(Scope::Admin)?;
    }
    if draft.domain.is_none() {
        draft.domain = caller.home().map(ToOwned::to_owned);
    }
    // An unknown domain is named by the service, along with all else that is wrong.
    if let Ok(domain) = service.parts().domains.named(draft.domain.as_deref()) {
        caller.enter(&domain)?;
    }
    Ok(draft)
}

pub(super) fn view(state: &AdminState, link: &Link) -> LinkView {
    let parts = state.service.parts();
    LinkView::of(link, &parts.domains, parts.clock.now())
}

pub(super) fn repeatable_request(
    state: &AdminState,
    caller: &Caller,
    headers: &HeaderMap,
    method: &Method,
    uri: &Uri,
) -> Result<Option<Repeatable>, Problem> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let now = state.service.parts().clock.now();
    repeatable(headers, caller.id(), method, path, now)
}

fn tag(state: &AdminState, link: &Link) -> EntityTag {
    EntityTag::of(link, state.service.parts().clock.now())
}

fn entity_tag_header(tag: &EntityTag) -> Option<(HeaderName, HeaderValue)> {
    Some((ETAG, tag.header()?))
}

fn shown(state: &AdminState, link: &Link) -> Response {
    let mut response = Json(view(state, link)).into_response();
    let tag = entity_tag_header(&tag(state, link));
    response.headers_mut().extend(tag);
    response
}

fn location(key: &LinkKey) -> String {
    let code = utf8_percent_encode(key.code.as_str(), UNRESERVED);
    let path = format!("/api/v1/links/{code}");
    if key.domain.is_default() {
        return path;
    }
    let domain = utf8_percent_encode(key.domain.as_str(), UNRESERVED);
    format!("{path}?domain={domain}")
}

/// What `If-Match` says about the version the store must find.
async fn expected_version(
    state: &AdminState,
    key: &LinkKey,
    headers: &HeaderMap,
) -> Result<Option<u64>, Problem> {
    let Some(wanted) = if_match(headers)? else {
        return Ok(None);
    };
    let now = match state.service.get(key).await {
        Ok(link) => Some(tag(state, &link)),
        Err(tollgate_links::LinkError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    wanted.expected(now.as_ref())
}

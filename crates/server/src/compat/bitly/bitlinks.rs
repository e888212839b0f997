//! Links: made, found, edited.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tollgate_access::Scope;
use tollgate_clock::UnixMillis;
use tollgate_links::{Link, LinkDraft, LinkKey, LinkPatch, NewLink};

use super::clicks::{self, Asked, Counted};
use super::failure::Failure;
use super::shown::{bitlink, expanded};
use super::{ALIAS, User};
use crate::admin::AdminState;
use crate::api::body;
use crate::api::links::placed;
use crate::compat::named;
use crate::problem::{Kind, Problem};

/// A link somebody wants.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    long_url: String,
    domain: Option<String>,
    title: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    deeplinks: Vec<Value>,
    keyword: Option<String>,
    expiration_at: Option<UnixMillis>,
}

/// A link that was asked for.
#[derive(Debug, Deserialize)]
struct ToExpand {
    bitlink_id: String,
}

/// What shall change in a link.
#[derive(Debug, Default, Deserialize)]
struct Changes {
    long_url: Option<String>,
    title: Option<String>,
    tags: Option<Vec<String>>,
    archived: Option<bool>,
    #[serde(default)]
    deeplinks: Vec<Value>,
    expiration_at: Option<UnixMillis>,
}

pub(super) async fn shorten(
    State(state): State<AdminState>,
    user: User,
    request: Request,
) -> Result<Response, Failure> {
    let Wanted {
        long_url, domain, ..
    } = body::object(request, &state).await?;
    let wanted = Wanted {
        long_url,
        domain,
        ..Wanted::default()
    };
    make(&state, &user, wanted).await
}

pub(super) async fn create(
    State(state): State<AdminState>,
    user: User,
    request: Request,
) -> Result<Response, Failure> {
    let wanted = body::object(request, &state).await?;
    make(&state, &user, wanted).await
}

/// An equal link is answered, as Bitly does, instead of another one.
async fn make(state: &AdminState, user: &User, wanted: Wanted) -> Result<Response, Failure> {
    let User(caller) = user;
    caller.require(Scope::LinksWrite)?;
    caller.may_create(state).await?;
    no_deeplinks(&wanted.deeplinks)?;
    let draft = LinkDraft {
        url: wanted.long_url,
        domain: wanted
            .domain
            .filter(|domain| !domain.eq_ignore_ascii_case(ALIAS)),
        title: wanted.title,
        tags: wanted.tags,
        code: wanted.keyword,
        expires_at: wanted.expiration_at,
        reuse: true,
        ..LinkDraft::default()
    };
    let draft = placed(caller, &state.service, draft)?;
    let new = NewLink {
        draft,
        idempotency: None,
    };
    let created = caller.create(state, new).await?;
    let status = if created.reused {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let shown = Json(bitlink(&created.link, &state.service));
    Ok((status, shown).into_response())
}

pub(super) async fn expand(
    State(state): State<AdminState>,
    user: User,
    request: Request,
) -> Result<Json<Value>, Failure> {
    user.0.require(Scope::LinksRead)?;
    let ToExpand { bitlink_id } = body::object(request, &state).await?;
    let key = key(&state, &user, &bitlink_id)?;
    let link = state.service.get(&key).await?;
    Ok(Json(expanded(&link, &state.service)))
}

/// A link, or its clicks.
pub(super) async fn get(
    State(state): State<AdminState>,
    user: User,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Path(path) = path.map_err(|error| bad(error.body_text()))?;
    let Query(asked) = query.map_err(|error| bad(error.body_text()))?;
    let (id, counted) = counted(&path);
    let Some(counted) = counted else {
        user.0.require(Scope::LinksRead)?;
        let link = find(&state, &user, id).await?;
        return Ok(Json(bitlink(&link, &state.service)));
    };
    user.0.require(Scope::StatsRead)?;
    let link = find(&state, &user, id).await?;
    clicks::count(&state, &link, counted, &asked).await
}

pub(super) async fn update(
    State(state): State<AdminState>,
    user: User,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(|error| bad(error.body_text()))?;
    user.0.require(Scope::LinksWrite)?;
    let changes: Changes = body::object(request, &state).await?;
    no_deeplinks(&changes.deeplinks)?;
    if changes.archived == Some(true) {
        let reason = "links cannot be archived here: delete it by the native API, or leave it";
        return Err(Failure::wrong("archived", reason));
    }
    let patch = LinkPatch {
        url: changes.long_url,
        title: changes.title.map(Some),
        tags: changes.tags,
        expires_at: changes.expiration_at.map(Some),
        ..LinkPatch::default()
    };
    let key = key(&state, &user, &id)?;
    let link = user.0.edit(&state, &key, patch, None, None).await?;
    Ok(Json(bitlink(&link, &state.service)))
}

fn bad(detail: String) -> Failure {
    Problem::new(Kind::BadRequest, detail).into()
}

fn no_deeplinks(deeplinks: &[Value]) -> Result<(), Failure> {
    if deeplinks.is_empty() {
        return Ok(());
    }
    let reason = "there are no deep links here: give the link rules by the native API";
    Err(Failure::wrong("deeplinks", reason))
}

fn key(state: &AdminState, User(caller): &User, id: &str) -> Result<LinkKey, Failure> {
    Ok(named::link(caller, &state.service, id, Some(ALIAS))?)
}

async fn find(state: &AdminState, user: &User, id: &str) -> Result<Link, Failure> {
    let key = key(state, user, id)?;
    Ok(state.service.get(&key).await?)
}

/// The bitlink of a path, and what is asked for of its clicks. A code may be called `clicks`.
fn counted(path: &str) -> (&str, Option<Counted>) {
    let ends = [
        ("/clicks/summary", Counted::Summary),
        ("/clicks", Counted::Series),
    ];
    ends.into_iter()
        .find_map(|(end, counted)| {
            let id = path.strip_suffix(end)?;
            id.contains('/').then_some((id, Some(counted)))
        })
        .unwrap_or((path, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_stand_behind_a_bitlink() {
        for (path, id, what) in [
            ("bit.ly/abc", "bit.ly/abc", None),
            ("bit.ly/abc/clicks", "bit.ly/abc", Some(Counted::Series)),
            (
                "bit.ly/abc/clicks/summary",
                "bit.ly/abc",
                Some(Counted::Summary),
            ),
            ("bit.ly/clicks", "bit.ly/clicks", None),
            (
                "bit.ly/clicks/clicks",
                "bit.ly/clicks",
                Some(Counted::Series),
            ),
        ] {
            assert_eq!(counted(path), (id, what), "{path}");
        }
    }
}

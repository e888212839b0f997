//! Pages of links.

use std::num::NonZeroUsize;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_access::Scope;
use tollgate_links::store::{Cursor, ListOrder, ListQuery, MAX_PAGE_LINKS};
use tollgate_links::{Domain, LinkError, LinkView, Tag};
use utoipa::ToSchema;

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::links::view;
use super::query::Params;
use crate::admin::AdminState;
use crate::problem::Problem;

/// One page of links.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkPage {
    /// The links, in the order asked for.
    links: Vec<LinkView>,
    /// Ask with this as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List links
///
/// Pages stay stable while links are made: following cursors never shows a link twice and never
/// skips one that was there from the start.
#[utoipa::path(
    get,
    path = "/api/v1/links",
    tag = "links",
    operation_id = "listLinks",
    params(
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before", min_length = 1),
        ("limit" = Option<u16>, Query, description = "Links on a page, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000),
        ("q" = Option<String>, Query, description = "Only links whose code, title or target begins with this, whatever the case; a scheme and `www.` before the target's host make no difference"),
        ("tag" = Option<String>, Query, description = "Only links with this tag", min_length = 1),
        ("domain" = Option<String>, Query, description = "Only links of this domain; all the key may see if absent", min_length = 1),
        ("password_hashes" = Option<bool>, Query, description = "`true` adds the hash of each password, for a full export: scope admin"),
        ("order" = Option<String>, Query, description = "`-created` (newest first, the default), `created`, `code` or `-code`", pattern = "^-?(created|code)$"),
    ),
    responses(
        (status = 200, description = "A page", body = LinkPage),
        Reading,
    ),
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(Scope::LinksRead)?;
    let query = ListQuery {
        cursor: params.take("cursor")?.map(Cursor),
        limit: params
            .take_limit(MAX_PAGE_LINKS)?
            .and_then(NonZeroUsize::new),
        prefix: params.take("q")?.and_then(|text| prefix(&text)),
        tag: tag(params.take("tag")?)?,
        domain: domain(&state, &caller, params.take("domain")?)?,
        order: order(params.take("order")?)?,
    };
    let hashes = params.take_switch("password_hashes")?;
    params.finish()?;
    if hashes {
        caller.require(Scope::Admin)?;
    }
    let page = state.service.list(&query).await.map_err(in_query)?;
    let shown = page.links.iter().map(|link| {
        let shown = view(&state, link);
        if hashes {
            shown.with_password_hash(link)
        } else {
            shown
        }
    });
    Ok(Json(LinkPage {
        links: shown.collect(),
        next_cursor: page.next.map(|Cursor(text)| text),
    })
    .into_response())
}

/// What is looked for. Of a whole URL, as people paste it, only what links are found by.
fn prefix(text: &str) -> Option<String> {
    let beginning = |word: &str| {
        let found = text.get(..word.len())?;
        found.eq_ignore_ascii_case(word).then_some(word.len())
    };
    let scheme = beginning("https://").or_else(|| beginning("http://"));
    let bare = match scheme {
        Some(length) => {
            let rest = &text[length..];
            match rest.get(..4) {
                Some(www) if www.eq_ignore_ascii_case("www.") => &rest[4..],
                _ => rest,
            }
        }
        None => text,
    };
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// What the service calls a field is a parameter here.
fn in_query(error: LinkError) -> Problem {
    match error {
        LinkError::Invalid(errors) => match errors.first() {
            Some(error) => Params::wrong(&error.field, &error.reason),
            None => Problem::internal(),
        },
        other => other.into(),
    }
}

pub(super) fn tag(text: Option<String>) -> Result<Option<Tag>, Problem> {
    text.map(|text| Tag::parse(&text).map_err(|error| Params::wrong("tag", error.to_string())))
        .transpose()
}

pub(super) fn domain(
    state: &AdminState,
    caller: &Caller,
    name: Option<String>,
) -> Result<Option<Domain>, Problem> {
    let Some(name) = name else {
        return Ok(caller.own_domain().cloned());
    };
    let domain = state
        .service
        .parts()
        .domains
        .named(Some(&name))
        .map_err(|error| Params::wrong("domain", error.to_string()))?;
    caller.enter(&domain)?;
    Ok(Some(domain))
}

fn order(text: Option<String>) -> Result<ListOrder, Problem> {
    match text.as_deref() {
        None | Some("-created") => Ok(ListOrder::CreatedDescending),
        Some("created") => Ok(ListOrder::CreatedAscending),
        Some("code") => Ok(ListOrder::CodeAscending),
        Some("-code") => Ok(ListOrder::CodeDescending),
        Some(_) => Err(Params::wrong(
            "order",
            "use created, -created, code or -code",
        )),
    }
}

//! Tags: listed, counted, renamed, deleted. Here a tag is a word that links have: it is there as
//! long as a link has it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_clicks::query::Totals;
use tollgate_links::store::ListQuery;
use tollgate_links::{Link, LinkError, LinkPatch, Tag};

use super::Holder;
use super::asked::Asked;
use super::failure::Failure;
use super::paging::Page;
use super::shown::summary;
use crate::admin::AdminState;
use crate::api::body;
use crate::api::caller::Caller;
use crate::compat::totals::of_links;
use crate::compat::walk::walk;

/// The most tags of one page, which is also what stands on it if the client names no number.
const MOST_ITEMS: usize = 10_000;
/// How often the tags of a link are written that somebody else edits at the same time.
const MAX_ATTEMPTS: usize = 4;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renaming {
    old_name: String,
    new_name: String,
}

/// What is known of a tag.
#[derive(Default)]
struct Counted {
    links: u64,
    visits: Totals,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    let page = Page::of(&asked, MOST_ITEMS, MOST_ITEMS)?;
    let tags = count(&state, &caller, &asked, false).await?;
    let names: Vec<String> = tags.into_keys().map(|tag| tag.to_string()).collect();
    let total = names.len() as u64;
    let names = page.cut(names);
    let pagination = page.told(names.len(), total);
    Ok(Json(
        json!({ "tags": { "data": names, "pagination": pagination } }),
    ))
}

pub(super) async fn stats(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    caller.require(Scope::StatsRead)?;
    let page = Page::of(&asked, MOST_ITEMS, MOST_ITEMS)?;
    let mut tags: Vec<(Tag, Counted)> = count(&state, &caller, &asked, true)
        .await?
        .into_iter()
        .collect();
    order(&mut tags, asked.get("orderBy"))?;
    let total = tags.len() as u64;
    let shown: Vec<Value> = page
        .cut(tags)
        .into_iter()
        .map(|(tag, counted)| {
            json!({
                "tag": tag.as_str(),
                "shortUrlsCount": counted.links,
                "visitsSummary": summary(counted.visits),
            })
        })
        .collect();
    let pagination = page.told(shown.len(), total);
    Ok(Json(
        json!({ "tags": { "data": shown, "pagination": pagination } }),
    ))
}

fn order(tags: &mut [(Tag, Counted)], by: Option<&str>) -> Result<(), Failure> {
    let (field, direction) = match by {
        None => return Ok(()),
        Some(by) => by.split_once('-').unwrap_or((by, "ASC")),
    };
    match field {
        "tag" => {}
        "shortUrlsCount" => tags.sort_by_key(|(_, counted)| counted.links),
        "visits" => tags.sort_by_key(|(_, counted)| counted.visits.all()),
        "nonBotVisits" => tags.sort_by_key(|(_, counted)| counted.visits.people),
        _ => {
            let reason = "order by tag, shortUrlsCount, visits or nonBotVisits";
            return Err(Failure::invalid("orderBy", reason));
        }
    }
    match direction {
        "ASC" => {}
        "DESC" => tags.reverse(),
        _ => return Err(Failure::invalid("orderBy", "the direction is ASC or DESC")),
    }
    Ok(())
}

/// The tags of all links that a caller may see.
async fn count(
    state: &AdminState,
    caller: &Caller,
    asked: &Asked,
    visits: bool,
) -> Result<BTreeMap<Tag, Counted>, Failure> {
    let query = ListQuery {
        domain: caller.own_domain().cloned(),
        ..ListQuery::default()
    };
    let has_tags = |link: &Link| !link.spec.tags.is_empty();
    let links = all(state, query, has_tags).await?;
    let totals = if visits {
        of_links(state, &links).await?
    } else {
        vec![Totals::default(); links.len()]
    };
    let term = asked.get("searchTerm").map(str::to_lowercase);
    let mut tags: BTreeMap<Tag, Counted> = BTreeMap::new();
    for (link, totals) in links.iter().zip(totals) {
        for tag in &link.spec.tags {
            let wanted = term
                .as_deref()
                .is_none_or(|term| tag.as_str().contains(term));
            if wanted {
                let counted = tags.entry(tag.clone()).or_default();
                counted.links += 1;
                counted.visits.people += totals.people;
                counted.visits.programs += totals.programs;
            }
        }
    }
    Ok(tags)
}

/// Links of a listing, unless there are too many to look at.
async fn all(
    state: &AdminState,
    query: ListQuery,
    wanted: impl FnMut(&Link) -> bool,
) -> Result<Vec<Link>, Failure> {
    let most = state.options.compat.most_links;
    let walked = walk(&state.service, query, most, wanted).await?;
    if walked.complete {
        return Ok(walked.links);
    }
    let reason = format!("more than {most} links would have to be looked at");
    Err(Failure::invalid("tags", reason))
}

pub(super) async fn rename(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    request: Request,
) -> Result<StatusCode, Failure> {
    caller.require(Scope::LinksWrite)?;
    let Renaming { old_name, new_name } = body::object(request, &state).await?;
    let old = Tag::parse(&old_name).map_err(|_| Failure::no_such_tag(&old_name))?;
    let new =
        Tag::parse(&new_name).map_err(|error| Failure::invalid("newName", error.to_string()))?;
    let links = having(&state, &caller, &old).await?;
    if links.is_empty() {
        return Err(Failure::no_such_tag(old.as_str()));
    }
    if old == new {
        return Ok(StatusCode::NO_CONTENT);
    }
    if !having(&state, &caller, &new).await?.is_empty() {
        return Err(Failure::tag_taken(old.as_str(), new.as_str()));
    }
    replace(&state, &caller, links, &old, Some(&new)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn delete(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<StatusCode, Failure> {
    caller.require(Scope::LinksWrite)?;
    for tag in asked.tags("tags")? {
        let links = having(&state, &caller, &tag).await?;
        replace(&state, &caller, links, &tag, None).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The links with a tag.
async fn having(state: &AdminState, caller: &Caller, tag: &Tag) -> Result<Vec<Link>, Failure> {
    let query = ListQuery {
        domain: caller.own_domain().cloned(),
        tag: Some(tag.clone()),
        ..ListQuery::default()
    };
    all(state, query, |_| true).await
}

/// Edits links one by one: those that come first are done if a later one fails.
async fn replace(
    state: &AdminState,
    caller: &Caller,
    links: Vec<Link>,
    old: &Tag,
    new: Option<&Tag>,
) -> Result<(), Failure> {
    for link in links {
        let mut link = link;
        for attempt in 1.. {
            let kept = link.spec.tags.iter().filter(|tag| *tag != old).chain(new);
            let patch = LinkPatch {
                tags: Some(kept.map(ToString::to_string).collect()),
                ..LinkPatch::default()
            };
            let version = Some(link.version);
            let key = &link.key;
            match caller.edit(state, key, patch, version, None).await {
                Ok(_) | Err(LinkError::NotFound(_)) => break,
                Err(LinkError::VersionMismatch(_)) if attempt < MAX_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
            link = match state.service.get(&link.key).await {
                Ok(link) if link.spec.tags.contains(old) => link,
                Ok(_) | Err(LinkError::NotFound(_)) => break,
                Err(error) => return Err(error.into()),
            };
        }
    }
    Ok(())
}

//! Visits: of short URLs, tags, domains, and of codes that do not exist.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tollgate_access::Scope as Right;
use tollgate_audit::Action;
use tollgate_clicks::query::{QueryError, Scope};
use tollgate_links::Tag;

use super::Holder;
use super::asked::{Asked, domain};
use super::failure::Failure;
use super::short_urls::find;
use super::shown::summary;
use super::visit_list::{Wanted, page};
use crate::admin::AdminState;
use crate::api::stats::{all_of, name, tagged};
use crate::audit::{Change, named};
use crate::compat::totals::{total, totals};
use crate::problem::Problem;

pub(super) async fn of_short_url(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    let link = find(&state, &caller, code, &asked).await?;
    let wanted = Wanted::all(Scope::Link(name(&link.key)));
    Ok(Json(page(&state, wanted, &asked).await?))
}

/// Forgets all visits of a link. Sums of its domain and of everything stay.
pub(super) async fn delete_of_short_url(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::LinksWrite)?;
    let link = find(&state, &caller, code, &asked).await?;
    let clicks = state.clicks()?;
    let name = name(&link.key);
    let visits = total(&state, Scope::Link(name.clone())).await?.all();
    let (clicks, resource) = (clicks.clone(), named(&state, &link.key));
    let forgotten = async move {
        let store = &clicks.store;
        store.forget(&name).await.map_err(QueryError::from)?;
        let change = Change::new(resource, json!({"clicks": [visits, null]}));
        Ok::<_, Problem>(((), Some(change)))
    };
    caller
        .recorded(&state, Action::ClicksDelete, forgotten)
        .await?;
    Ok(Json(json!({ "deletedVisits": visits })))
}

pub(super) async fn of_tag(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    tag: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    let Path(tag) = tag.map_err(|error| Failure::invalid("tag", error.body_text()))?;
    let tag = Tag::parse(&tag).map_err(|_| Failure::no_such_tag(&tag))?;
    let domain = asked.domain(&state, &caller)?;
    let links = tagged(&state, tag.clone(), domain.clone()).await?;
    // Links of other domains may have it.
    if links.is_empty() && domain.as_ref() == caller.own_domain() {
        return Err(Failure::no_such_tag(tag.as_str()));
    }
    let wanted = Wanted::all(Scope::Links(links));
    Ok(Json(page(&state, wanted, &asked).await?))
}

pub(super) async fn of_domain(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    name: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    let Path(name) = name.map_err(|error| Failure::invalid("domain", error.body_text()))?;
    let domain = domain(&state, &caller, &name)?;
    let wanted = Wanted::all(all_of(Some(&domain)));
    Ok(Json(page(&state, wanted, &asked).await?))
}

pub(super) async fn non_orphan(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    let scope = all_of(asked.domain(&state, &caller)?.as_ref());
    Ok(Json(page(&state, Wanted::all(scope), &asked).await?))
}

pub(super) async fn orphan(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    caller.all_domains()?;
    let nothing = match asked.get("type") {
        None | Some("invalid_short_url") => false,
        // Those are not counted here.
        Some("base_url" | "regular_404") => true,
        Some(_) => {
            let reason = "use base_url, invalid_short_url or regular_404";
            return Err(Failure::invalid("type", reason));
        }
    };
    let wanted = Wanted {
        scope: Scope::Orphans,
        domain: asked.domain(&state, &caller)?,
        nothing,
    };
    Ok(Json(page(&state, wanted, &asked).await?))
}

pub(super) async fn delete_orphan(_: Holder) -> Failure {
    Failure::not_done_here("Orphan visits cannot be deleted here: they go after clicks.retain_raw.")
}

/// How many visits there are.
pub(super) async fn overview(
    State(state): State<AdminState>,
    Holder(caller): Holder,
) -> Result<Json<Value>, Failure> {
    caller.require(Right::StatsRead)?;
    let own = caller.own_domain();
    let mut scopes = vec![all_of(own)];
    if own.is_none() {
        scopes.push(Scope::Orphans);
    }
    let mut totals = totals(&state, scopes).await?.into_iter();
    let visits = totals.next().unwrap_or_default();
    let orphans = totals.next().unwrap_or_default();
    Ok(Json(json!({
        "visits": {
            "nonOrphanVisits": summary(visits),
            "orphanVisits": summary(orphans),
        },
    })))
}

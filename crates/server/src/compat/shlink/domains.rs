//! Domains. Which there are is the configuration's choice.

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_access::Scope;

use super::Holder;
use super::asked::domain;
use super::failure::Failure;
use crate::admin::AdminState;
use crate::api::body;

/// Where visitors of nothing are sent: nowhere, on any domain.
fn redirects() -> Value {
    json!({
        "baseUrlRedirect": null,
        "regular404Redirect": null,
        "invalidShortUrlRedirect": null,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    domain: String,
    base_url_redirect: Option<String>,
    regular404_redirect: Option<String>,
    invalid_short_url_redirect: Option<String>,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Holder(caller): Holder,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    let domains = &state.service.parts().domains;
    let own = caller.own_domain();
    let shown: Vec<Value> = domains
        .all()
        .into_iter()
        .filter(|domain| own.is_none_or(|own| own == domain))
        .map(|domain| {
            json!({
                "domain": domains.host_of(&domain),
                "isDefault": domain.is_default(),
                "redirects": redirects(),
            })
        })
        .collect();
    Ok(Json(json!({
        "domains": { "data": shown, "defaultRedirects": redirects() },
    })))
}

/// Takes what says that there are no redirects, as the web client's forms do.
pub(super) async fn redirect(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    request: Request,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksWrite)?;
    let wanted: Wanted = body::object(request, &state).await?;
    domain(&state, &caller, &wanted.domain)?;
    let all = [
        wanted.base_url_redirect,
        wanted.regular404_redirect,
        wanted.invalid_short_url_redirect,
    ];
    if all.into_iter().flatten().any(|url| !url.is_empty()) {
        let detail = "Domains have no redirects here; edge.root says where / leads.";
        return Err(Failure::not_done_here(detail));
    }
    Ok(Json(redirects()))
}

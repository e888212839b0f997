//! Short URLs and counts as Shlink shows them.

use serde_json::{Value, json};
use tollgate_clicks::query::Totals;
use tollgate_clock::UnixMillis;
use tollgate_links::Link;

use super::failure::Failure;
use crate::admin::AdminState;
use crate::compat::time::{ATOM, written};
use crate::compat::totals::of_links;

/// Visits, with those of programs apart.
pub(super) fn summary(totals: Totals) -> Value {
    json!({
        "total": totals.all(),
        "nonBots": totals.people,
        "bots": totals.programs,
    })
}

/// Links with their visits.
pub(super) async fn short_urls(state: &AdminState, links: &[Link]) -> Result<Vec<Value>, Failure> {
    let totals = of_links(state, links).await?;
    let shown = links
        .iter()
        .zip(totals)
        .map(|(link, totals)| short_url(state, link, totals));
    Ok(shown.collect())
}

/// One link.
pub(super) async fn one(state: &AdminState, link: Link) -> Result<Value, Failure> {
    let shown = short_urls(state, &[link]).await?;
    Ok(shown.into_iter().next().unwrap_or_default())
}

fn short_url(state: &AdminState, link: &Link, totals: Totals) -> Value {
    let spec = &link.spec;
    let domain = &link.key.domain;
    let moment = |at: Option<UnixMillis>| at.map(|at| written(at, ATOM));
    let tags: Vec<&str> = spec.tags.iter().map(|tag| tag.as_str()).collect();
    json!({
        "shortCode": link.key.code.as_str(),
        "shortUrl": state.service.parts().domains.short_url(&link.key),
        "longUrl": spec.target.as_str(),
        "dateCreated": written(link.created_at, ATOM),
        "visitsSummary": summary(totals),
        "tags": tags,
        "meta": {
            "validSince": moment(spec.starts_at),
            "validUntil": moment(spec.expires_at),
            "maxVisits": spec.max_clicks,
        },
        "domain": (!domain.is_default()).then(|| domain.as_str()),
        "title": spec.title,
        // Search engines may follow every short link: /robots.txt says so.
        "crawlable": true,
        "forwardQuery": spec.forward_query,
        "hasRedirectRules": !spec.rules.is_empty(),
    })
}

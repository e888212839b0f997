//! What was counted, and lists of links by it.

use std::hash::Hasher as _;

use http::StatusCode;
use serde_json::{Map, Value, json};
use siphasher::sip::SipHasher13;
use tollgate_access::Scope;
use tollgate_clicks::query::Scope as Clicked;
use tollgate_links::Link;
use tollgate_links::store::{ListOrder, ListQuery};

use super::actions::{asked, listed};
use super::answer::Answer;
use super::parameters::Parameters;
use crate::admin::AdminState;
use crate::api::caller::Caller;
use crate::api::stats::{all_of, name};
use crate::compat::totals::{of_links as clicks_of_links, total};
use crate::compat::walk::walk;
use crate::problem::Problem;

/// What the format `simple` cannot say.
const NOT_SIMPLE: &str = "Need either XML or JSON format for stats";
/// The most links of one list.
const MOST_LISTED: usize = 1_000;

/// In which order links are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Top,
    Bottom,
    Last,
    Random,
}

/// One link with its clicks.
pub(super) async fn of_link(
    state: &AdminState,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Answer, Answer> {
    caller.require(Scope::StatsRead)?;
    let link = asked(state, caller, parameters).await?;
    let clicks = total(state, Clicked::Link(name(&link.key))).await?.all();
    let fields = json!({
        "message": "success",
        "link": listed(state, &link, clicks),
    });
    Ok(Answer::done(fields, NOT_SIMPLE))
}

/// A list of links with their clicks, beside the sums of all.
pub(super) async fn of_links(
    state: &AdminState,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Answer, Answer> {
    caller.require(Scope::StatsRead)?;
    caller.require(Scope::LinksRead)?;
    let filter = match parameters.get("filter") {
        Some("bottom") => Filter::Bottom,
        Some("last") => Filter::Last,
        Some("rand" | "random") => Filter::Random,
        // As YOURLS does with what it does not know.
        _ => Filter::Top,
    };
    let limit = number(parameters, "limit")?.min(MOST_LISTED);
    let start = number(parameters, "start")?;
    let links = if limit == 0 {
        Vec::new()
    } else {
        list(state, caller, filter, start, limit).await?
    };
    let mut shown = Map::new();
    for (place, (link, clicks)) in links.iter().enumerate() {
        shown.insert(format!("link_{}", place + 1), listed(state, link, *clicks));
    }
    let mut answer = Answer::done(json!({ "message": "success" }), NOT_SIMPLE)
        .with("stats", sums(state, caller).await?);
    if !shown.is_empty() {
        answer = answer.with("links", shown);
    }
    Ok(answer)
}

/// The sums of all links.
pub(super) async fn of_everything(state: &AdminState, caller: &Caller) -> Result<Answer, Answer> {
    caller.require(Scope::StatsRead)?;
    let fields = json!({
        "message": "success",
        "db-stats": sums(state, caller).await?,
    });
    Ok(Answer::done(fields, NOT_SIMPLE))
}

fn number(parameters: &Parameters, name: &str) -> Result<usize, Answer> {
    let Some(text) = parameters.get(name) else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        let message = format!("\"{name}\" has to be a number from 0 on");
        Answer::failed(StatusCode::BAD_REQUEST, message)
    })
}

/// Links and clicks of all that a caller may see.
async fn sums(state: &AdminState, caller: &Caller) -> Result<Value, Problem> {
    let own = caller.own_domain();
    let links = match own {
        None => state.service.parts().store.count().await?,
        Some(_) => {
            let most = state.options.compat.most_links;
            let all = walk(&state.service, of_caller(caller), most, |_| true).await?;
            all.links.len() as u64
        }
    };
    let clicks = total(state, all_of(own)).await?.all();
    Ok(json!({ "total_links": links.to_string(), "total_clicks": clicks.to_string() }))
}

fn of_caller(caller: &Caller) -> ListQuery {
    ListQuery {
        domain: caller.own_domain().cloned(),
        order: ListOrder::CreatedDescending,
        ..ListQuery::default()
    }
}

async fn list(
    state: &AdminState,
    caller: &Caller,
    filter: Filter,
    start: usize,
    limit: usize,
) -> Result<Vec<(Link, u64)>, Answer> {
    let bound = state.options.compat.most_links;
    let most = match filter {
        Filter::Last => start.saturating_add(limit).min(bound),
        _ => bound,
    };
    let walked = walk(&state.service, of_caller(caller), most, |_| true).await?;
    if filter != Filter::Last && !walked.complete {
        let message =
            format!("There are more than {bound} links, too many to be compared: use filter=last");
        return Err(Answer::failed(StatusCode::BAD_REQUEST, message));
    }
    let page = |links: Vec<Link>| links.into_iter().skip(start).take(limit).collect();
    let links: Vec<Link> = match filter {
        Filter::Last => page(walked.links),
        Filter::Random => {
            let mut links = walked.links;
            let now = state.service.parts().clock.now().as_millis();
            links.sort_by_cached_key(|link| shuffled(link, now));
            page(links)
        }
        Filter::Top | Filter::Bottom => {
            let clicks = clicks_of_links(state, &walked.links).await?;
            let mut links: Vec<(Link, u64)> = walked
                .links
                .into_iter()
                .zip(clicks.iter().map(|totals| totals.all()))
                .collect();
            links.sort_by_key(|(_, clicks)| *clicks);
            if filter == Filter::Top {
                links.reverse();
            }
            return Ok(links.into_iter().skip(start).take(limit).collect());
        }
    };
    let clicks = clicks_of_links(state, &links).await?;
    let clicks = clicks.iter().map(|totals| totals.all());
    Ok(links.into_iter().zip(clicks).collect())
}

/// Another order at each moment.
fn shuffled(link: &Link, now: i64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(now.cast_unsigned(), 0);
    hasher.write(link.key.domain.as_str().as_bytes());
    hasher.write_u8(b'/');
    hasher.write(link.key.code.as_str().as_bytes());
    hasher.finish()
}

//! Clicks that another shortener has counted.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;
use tollgate_access::Scope;
use tollgate_audit::Action;
use tollgate_clicks::import::{Imported, PastClick, PastClicks};
use tollgate_clicks::query::{LinkName, QueryError};
use tollgate_clock::UnixMillis;
use utoipa::ToSchema;

use super::Answer;
use super::body::JsonBody;
use super::caller::Caller;
use super::describe::Writing;
use super::query::Params;
use super::stats::name;
use crate::admin::AdminState;
use crate::audit::Change;
use crate::clicks::Clicks;
use crate::problem::{Kind, Problem};

/// The longest name of a source, in bytes.
const MAX_SOURCE: usize = 100;
/// The most links in one request.
const MAX_LINKS: usize = 1_000;
/// The most clicks of a link that nothing is known of.
const MAX_UNTIMED: u64 = 1_000_000_000_000;
/// The longest name of a city, in bytes.
const MAX_CITY: usize = 100;

/// Clicks of another shortener.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClicksImport {
    /// Who counted them: 1 to 100 visible ASCII characters but the slash. What was counted of a link
    /// under one name is not counted again.
    #[schema(
        example = "shlink",
        min_length = 1,
        max_length = 100,
        pattern = "^[!-.0-~]+$"
    )]
    source: String,
    /// Links with their clicks, at most 1000.
    #[schema(max_items = 1000)]
    links: Vec<LinkClicks>,
}

/// Clicks of one link, in the order of their source.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkClicks {
    /// The code of the link.
    code: String,
    /// The host it lives on; the key's own, or the default one, if absent.
    #[serde(default)]
    domain: Option<String>,
    /// How many clicks of the link at the source come before these.
    #[serde(default)]
    #[schema(format = "uint64")]
    after: u64,
    /// The clicks.
    #[serde(default)]
    clicks: Vec<OneClick>,
    /// So many more follow, of which nothing else is known.
    #[serde(default)]
    #[schema(format = "uint64")]
    untimed: u64,
}

/// One click.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OneClick {
    /// When. One without a time, or with one before 1970-01-02 or in the future, counts without.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<UnixMillis>,
    /// The page the visitor came from.
    #[serde(default)]
    referrer: Option<String>,
    /// `User-Agent`.
    #[serde(default)]
    user_agent: Option<String>,
    /// The visitor's address, of which no more is kept than `clicks.addresses` allows.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The URL that was asked for, for the `utm_` parameters of its query.
    #[serde(default)]
    url: Option<String>,
    /// Two letters of ISO 3166; found out from the address if absent.
    #[serde(default)]
    country: Option<String>,
    /// The city by its English name; only with `country`.
    #[serde(default)]
    city: Option<String>,
    /// Whether a program followed the link; found out if absent.
    #[serde(default)]
    bot: Option<bool>,
}

/// What became of the clicks, in the order of the links.
#[derive(Serialize, ToSchema)]
pub(super) struct ClicksImported {
    links: Vec<LinkImported>,
}

/// What became of the clicks of one link.
#[derive(Serialize, ToSchema)]
struct LinkImported {
    /// The code.
    code: String,
    /// The host, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Clicks that were counted now.
    counted: u64,
    /// Clicks of the link that are counted from this source in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Why they are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Count clicks of another shortener
///
/// The clicks of a link at a source are numbered in their order there, and the API remembers how many
/// are counted: a request that is sent twice counts them once, and a later one only what has come
/// since. Clicks without a time are in totals only: the statistics tell them as `untimed`.
#[utoipa::path(
    post,
    path = "/api/v1/clicks/import",
    tag = "clicks",
    operation_id = "importClicks",
    request_body = ClicksImport,
    responses(
        (status = 200, description = "What became of the clicks of each link", body = ClicksImported),
        (status = 404, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Writing,
    ),
)]
pub(super) async fn import(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    JsonBody(wanted): JsonBody<ClicksImport>,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let clicks = state.clicks()?;
    let source = source(&wanted.source)?;
    if wanted.links.len() > MAX_LINKS {
        let reason = format!("are at most {MAX_LINKS}, not {}", wanted.links.len());
        return Err(wrong("links", reason));
    }
    let looking = wanted
        .links
        .iter()
        .map(|link| linked(&state, &caller, link));
    let names = join_all(looking).await;
    let mut links = Vec::with_capacity(names.len());
    let (mut counting, mut places) = (Vec::new(), Vec::new());
    for (link, name) in wanted.links.into_iter().zip(names) {
        let (code, domain) = (link.code.clone(), link.domain.clone());
        let problem = match name.and_then(|name| past(name, source.clone(), link)) {
            Ok(past) => {
                places.push((links.len(), past.after));
                counting.push(past);
                None
            }
            // The store is away, or full: that is about the whole request.
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(problem) => Some(problem),
        };
        links.push(LinkImported {
            code,
            domain,
            counted: 0,
            position: None,
            problem,
        });
    }
    let (clicks, sum) = (clicks.clone(), links.len());
    let counted = async move {
        let imported = count(&clicks, counting).await?;
        let new: u64 = imported.iter().map(newly).sum();
        let numbers = json!({"links": [null, sum], "clicks": [null, new]});
        let change = (new > 0).then(|| Change::new(source, numbers));
        Ok::<_, Problem>((imported, change))
    };
    let imported = caller
        .recorded(&state, Action::ClicksImport, counted)
        .await?;
    for ((place, after), imported) in places.into_iter().zip(imported) {
        links[place].tell(imported, after);
    }
    Ok(Json(ClicksImported { links }).into_response())
}

const fn newly(imported: &Imported) -> u64 {
    match imported {
        Imported::Counted { new, .. } => *new,
        Imported::Gap { .. } => 0,
    }
}

impl LinkImported {
    /// What became of clicks that come after so many others.
    fn tell(&mut self, imported: Imported, after: u64) {
        match imported {
            Imported::Counted { new, position } => {
                self.counted = new;
                self.position = Some(position);
            }
            Imported::Gap { position } => {
                let detail = format!(
                    "{position} clicks of this link are counted from this source, and these come \
                     after {after}: send those in between first."
                );
                self.problem = Some(Problem::new(Kind::ClicksMissing, detail));
            }
        }
    }
}

/// The link whose clicks they are.
async fn linked(
    state: &AdminState,
    caller: &Caller,
    link: &LinkClicks,
) -> Result<LinkName, Problem> {
    let key = caller.link(&state.service, link.domain.as_deref(), &link.code)?;
    state.service.get(&key).await?;
    Ok(name(&key))
}

fn past(link: LinkName, source: SmolStr, told: LinkClicks) -> Result<PastClicks, Problem> {
    if told.untimed > MAX_UNTIMED || told.after > MAX_UNTIMED {
        return Err(wrong("untimed", format!("is at most {MAX_UNTIMED}")));
    }
    let clicks = told.clicks.into_iter().enumerate();
    Ok(PastClicks {
        link,
        source,
        after: told.after,
        clicks: clicks.map(checked).collect::<Result<_, _>>()?,
        untimed: told.untimed,
    })
}

/// Counts clicks; answers what became of those of each link.
async fn count(clicks: &Clicks, past: Vec<PastClicks>) -> Result<Vec<Imported>, Problem> {
    // It computes for long: not among the requests of others.
    let importer = std::sync::Arc::clone(&clicks.importer);
    let runtime = tokio::runtime::Handle::current();
    let work = move || runtime.block_on(async move { importer.import(&past).await });
    let imported = tokio::task::spawn_blocking(work).await;
    let imported = imported.map_err(|_| Problem::internal())?;
    Ok(imported.map_err(QueryError::from)?)
}

fn source(name: &str) -> Result<SmolStr, Problem> {
    let fits = (1..=MAX_SOURCE).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if fits {
        return Ok(name.into());
    }
    let reason = format!("has 1 to {MAX_SOURCE} visible ASCII characters and no slash");
    Err(wrong("source", reason))
}

fn checked((place, told): (usize, OneClick)) -> Result<PastClick, Problem> {
    let country = match told.country.filter(|country| !country.is_empty()) {
        None => None,
        Some(code) if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Some(code.to_ascii_uppercase().into())
        }
        Some(_) => {
            let field = format!("clicks[{place}].country");
            return Err(wrong(&field, "is two letters of ISO 3166, such as DE"));
        }
    };
    let city = told.city.filter(|city| !city.is_empty());
    if city.as_ref().is_some_and(|city| city.len() > MAX_CITY) {
        let field = format!("clicks[{place}].city");
        return Err(wrong(&field, format!("has at most {MAX_CITY} bytes")));
    }
    Ok(PastClick {
        at: told.at,
        referrer: told.referrer,
        user_agent: told.user_agent,
        address: told.address,
        url: told.url,
        country,
        city: city.map(Into::into),
        bot: told.bot,
    })
}

fn wrong(field: &str, reason: impl Into<String>) -> Problem {
    Problem::wrong(Kind::InvalidFields, field, reason)
}

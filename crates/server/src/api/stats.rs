//! What was counted of clicks.

use std::num::NonZeroUsize;

use axum::extract::{Path, State};
use tollgate_access::Scope as AccessScope;
use tollgate_clicks::import::{UNTIMED, UNTIMED_END};
use tollgate_clicks::query::{LinkName, Period, Query, QueryError, Scope};
use tollgate_links::store::{ListQuery, MAX_PAGE_LINKS};
use tollgate_links::{Domain, LinkError, LinkKey, Tag};

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use super::stats_query::{take_format, take_query};
use super::stats_view::{StatsView, answer};
use crate::admin::AdminState;
use crate::clicks::Clicks;
use crate::problem::{Kind, Problem};

impl AdminState {
    /// The clicks, where they are counted.
    pub(crate) fn clicks(&self) -> Result<&Clicks, Problem> {
        self.clicks.as_ref().ok_or_else(|| {
            Problem::new(
                Kind::ClicksOff,
                "The operator can count them by clicks.enabled = true.",
            )
        })
    }
}

/// What clicks call a link.
pub(crate) fn name(key: &LinkKey) -> LinkName {
    LinkName {
        domain: key.domain.as_str().into(),
        code: key.code.as_str().into(),
    }
}

/// All clicks of a domain, or of everything.
pub(crate) fn all_of(domain: Option<&Domain>) -> Scope {
    domain.map_or(Scope::Everything, |domain| {
        Scope::Domain(domain.as_str().into())
    })
}

/// Show a link's statistics
///
/// Clicks over time, and by what visitors have in common. Sums are kept as long as the link.
#[utoipa::path(
    get,
    path = "/api/v1/links/{code}/stats",
    tag = "clicks",
    operation_id = "getLinkStats",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("from" = Option<String>, Query, description = "Where the period begins: a date, a time in `tz`, or one with its offset. If absent, a midnight before `to`: 30 days with the day of `to`, 2 for `hour`, 85 for `week`, 365 for `month`", min_length = 1),
        ("to" = Option<String>, Query, description = "Where it ends, itself not included; now if absent", min_length = 1),
        ("tz" = Option<String>, Query, description = "The time zone in which days begin, such as `Europe/Berlin`; UTC if absent", min_length = 1),
        ("bucket" = Option<String>, Query, description = "The length of a step: `hour`, `day` (the default), `week` or `month`", pattern = "^(hour|day|week|month)$"),
        ("by" = Option<String>, Query, description = "Dimensions to count by, joined by commas or repeated: `referrer`, `channel`, `country`, `city`, `browser`, `os`, `device`, `language`, `utm_source`, `utm_medium`, `utm_campaign`, `utm_term`, `utm_content`, `bot`, `link`, `domain`"),
        ("top" = Option<u16>, Query, description = "Values of each dimension, 1 to 1000; 10 if absent", minimum = 1, maximum = 1000),
        ("filter" = Option<String>, Query, description = "`dimension=value`: only such clicks; may be repeated"),
        ("bots" = Option<String>, Query, description = "Whether programs count: `include` (the default), `exclude` or `only`", pattern = "^(include|exclude|only)$"),
        ("compare" = Option<String>, Query, description = "`previous` counts the period before, too", pattern = "^(previous|none)$"),
        ("format" = Option<String>, Query, description = "`json` (the default), or `csv`: the series, or with one dimension its values", pattern = "^(json|csv)$"),
    ),
    responses(
        (status = 200, description = "What was counted", content(
            (StatsView = "application/json"),
            (String = "text/csv"),
        )),
        (status = 404, description = "There is no such link and nothing was counted of it, or clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn link_stats(
    State(state): State<AdminState>,
    caller: Caller,
    Path(code): Path<String>,
    mut params: Params,
) -> Answer {
    caller.require(AccessScope::StatsRead)?;
    let clicks = state.clicks()?;
    let domain = params.take("domain")?;
    let key = caller.link(&state.service, domain.as_deref(), &code)?;
    let format = take_format(&mut params)?;
    let now = state.service.parts().clock.now();
    let query = take_query(&mut params, Scope::Link(name(&key)), now)?;
    params.finish()?;
    let statistics = clicks.store.statistics(query.clone()).await?;
    let untimed = untimed(clicks, &query).await?;
    if statistics.total == 0 && untimed == 0 {
        exists(&state, &key).await?;
    }
    answer(&query, statistics, untimed, format)
}

/// Clicks without a time, which are in no period. None with filters: nothing is known of them.
async fn untimed(clicks: &Clicks, query: &Query) -> Result<u64, Problem> {
    if !query.filters.is_empty() {
        return Ok(0);
    }
    let day = Period::new(UNTIMED, UNTIMED_END)?;
    let untimed = Query {
        bots: query.bots,
        ..Query::new(query.scope.clone(), day)
    };
    Ok(clicks.store.statistics(untimed).await?.total)
}

/// Refuses a link that is not there. One that is gone may still have clicks.
pub(super) async fn exists(state: &AdminState, key: &LinkKey) -> Result<(), Problem> {
    state.service.get(key).await?;
    Ok(())
}

/// Show the statistics of many links
///
/// Of all of them, of a domain, or of those with a tag.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    tag = "clicks",
    operation_id = "getStats",
    params(
        ("domain" = Option<String>, Query, description = "Only links of this domain; all the key may see if absent", min_length = 1),
        ("tag" = Option<String>, Query, description = "Only links that have this tag now, at most 10,000", min_length = 1),
        ("from" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("to" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("tz" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("bucket" = Option<String>, Query, description = "As for one link", pattern = "^(hour|day|week|month)$"),
        ("by" = Option<String>, Query, description = "As for one link"),
        ("top" = Option<u16>, Query, description = "As for one link", minimum = 1, maximum = 1000),
        ("filter" = Option<String>, Query, description = "As for one link"),
        ("bots" = Option<String>, Query, description = "As for one link", pattern = "^(include|exclude|only)$"),
        ("compare" = Option<String>, Query, description = "As for one link", pattern = "^(previous|none)$"),
        ("format" = Option<String>, Query, description = "As for one link", pattern = "^(json|csv)$"),
    ),
    responses(
        (status = 200, description = "What was counted", content(
            (StatsView = "application/json"),
            (String = "text/csv"),
        )),
        (status = 404, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn stats(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(AccessScope::StatsRead)?;
    let clicks = state.clicks()?;
    let domain = super::list::domain(&state, &caller, params.take("domain")?)?;
    let tag = super::list::tag(params.take("tag")?)?;
    let format = take_format(&mut params)?;
    let now = state.service.parts().clock.now();
    let mut query = take_query(&mut params, Scope::Everything, now)?;
    params.finish()?;
    query.scope = match (tag, domain) {
        (Some(tag), domain) => Scope::Links(tagged(&state, tag, domain).await?),
        (None, domain) => all_of(domain.as_ref()),
    };
    let statistics = clicks.store.statistics(query.clone()).await?;
    let untimed = untimed(clicks, &query).await?;
    answer(&query, statistics, untimed, format)
}

/// The links with a tag.
pub(crate) async fn tagged(
    state: &AdminState,
    tag: Tag,
    domain: Option<Domain>,
) -> Result<Vec<LinkName>, Problem> {
    let mut query = ListQuery {
        domain,
        tag: Some(tag),
        limit: NonZeroUsize::new(MAX_PAGE_LINKS),
        ..ListQuery::default()
    };
    let mut names = Vec::new();
    loop {
        let page = state
            .service
            .list(&query)
            .await
            .map_err(|error: LinkError| error)?;
        names.extend(page.links.iter().map(|link| name(&link.key)));
        if names.len() > Scope::MAX_LINKS {
            let most = Scope::MAX_LINKS;
            return Err(QueryError::TooManyLinks { most }.into());
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(names);
        }
    }
}

/// Show the statistics of codes that do not exist
///
/// `by=link` tells which codes were asked for.
#[utoipa::path(
    get,
    path = "/api/v1/stats/orphans",
    tag = "clicks",
    operation_id = "getOrphanStats",
    params(
        ("from" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("to" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("tz" = Option<String>, Query, description = "As for one link", min_length = 1),
        ("bucket" = Option<String>, Query, description = "As for one link", pattern = "^(hour|day|week|month)$"),
        ("by" = Option<String>, Query, description = "As for one link"),
        ("top" = Option<u16>, Query, description = "As for one link", minimum = 1, maximum = 1000),
        ("filter" = Option<String>, Query, description = "As for one link"),
        ("bots" = Option<String>, Query, description = "As for one link", pattern = "^(include|exclude|only)$"),
        ("compare" = Option<String>, Query, description = "As for one link", pattern = "^(previous|none)$"),
        ("format" = Option<String>, Query, description = "As for one link", pattern = "^(json|csv)$"),
    ),
    responses(
        (status = 200, description = "What was counted", content(
            (StatsView = "application/json"),
            (String = "text/csv"),
        )),
        (status = 404, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn orphan_stats(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(AccessScope::StatsRead)?;
    caller.all_domains()?;
    let clicks = state.clicks()?;
    let format = take_format(&mut params)?;
    let now = state.service.parts().clock.now();
    let query = take_query(&mut params, Scope::Orphans, now)?;
    params.finish()?;
    let statistics = clicks.store.statistics(query.clone()).await?;
    answer(&query, statistics, 0, format)
}

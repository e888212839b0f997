//! Single clicks of a link.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tollgate_access::Scope as AccessScope;
use tollgate_clicks::query::{ClickPage, List, MAX_PAGE, Period, Scope};
use tollgate_clicks::store::ClickStore;
use tollgate_clock::UnixMillis;
use utoipa::ToSchema;

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use super::stats::{exists, name};
use super::stats_query::{Format, take_format, take_moment, take_zone};
use super::stats_view::{ClickView, csv_response, table};
use crate::admin::AdminState;
use crate::problem::Problem;

/// Clicks of a page if the caller names no number.
const DEFAULT_CLICKS: usize = 100;

/// One page of clicks.
#[derive(Serialize, ToSchema)]
pub(super) struct ClickList {
    /// Newest first.
    clicks: Vec<ClickView>,
    /// Ask with this as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List a link's clicks
///
/// Newest first, as long as they are kept: see `clicks.retain_raw`.
#[utoipa::path(
    get,
    path = "/api/v1/links/{code}/clicks",
    tag = "clicks",
    operation_id = "listLinkClicks",
    params(
        ("code" = String, Path, description = "The part after the slash"),
        ("domain" = Option<String>, Query, description = "The host it lives on; the key's own, or the default one, if absent", min_length = 1),
        ("from" = Option<String>, Query, description = "Only clicks from here on: a date, a time in `tz`, or one with its offset", min_length = 1),
        ("to" = Option<String>, Query, description = "Only clicks before this", min_length = 1),
        ("tz" = Option<String>, Query, description = "The time zone of `from` and `to`; UTC if absent", min_length = 1),
        ("bots" = Option<String>, Query, description = "Whether programs are listed: `include` (the default), `exclude` or `only`", pattern = "^(include|exclude|only)$"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before", min_length = 1),
        ("limit" = Option<u16>, Query, description = "Clicks on a page, 1 to 1000; 100 if absent. Not for `csv`, which has all", minimum = 1, maximum = 1000),
        ("format" = Option<String>, Query, description = "`json` (the default), or `csv`: all clicks", pattern = "^(json|csv)$"),
    ),
    responses(
        (status = 200, description = "A page, or all as CSV", content(
            (ClickList = "application/json"),
            (String = "text/csv"),
        )),
        (status = 404, description = "There is no such link and it has no clicks, or clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn link_clicks(
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
    let zone = take_zone(&mut params)?;
    let from = take_moment(&mut params, "from", &zone)?;
    let to = take_moment(&mut params, "to", &zone)?;
    let limit = params.take_limit(MAX_PAGE)?;
    let list = List {
        scope: Scope::Link(name(&key)),
        period: period(from, to, state.service.parts().clock.now())?,
        bots: params
            .take("bots")?
            .map(|bots| bots.parse())
            .transpose()?
            .unwrap_or_default(),
        after: params
            .take("cursor")?
            .map(|cursor| cursor.parse())
            .transpose()?,
        limit: limit.unwrap_or(DEFAULT_CLICKS),
    };
    params.finish()?;
    if format == Format::Csv {
        if limit.is_some() || list.after.is_some() {
            return Err(Params::wrong(
                "format",
                "csv has all clicks: leave out limit and cursor",
            ));
        }
        let list = List {
            limit: MAX_PAGE,
            ..list
        };
        let first = clicks.store.clicks(list.clone()).await?;
        if first.clicks.is_empty() {
            exists(&state, &key).await?;
        }
        return Ok(csv_response(all(Arc::clone(&clicks.store), list, first)));
    }
    let page = clicks.store.clicks(list).await?;
    if page.clicks.is_empty() {
        exists(&state, &key).await?;
    }
    Ok(Json(ClickList {
        clicks: page.clicks.iter().map(ClickView::of).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    })
    .into_response())
}

/// The period of a listing, of which either end may be left open.
fn period(
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<Option<Period>, Problem> {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let from = from.unwrap_or_default();
    let to = to.unwrap_or(now.saturating_add(DAY));
    Ok(Some(Period::new(from, to)?))
}

/// Every page from the first on, as CSV. A store that fails in between breaks the answer off, so
/// that nobody takes it for whole.
fn all(store: Arc<dyn ClickStore>, list: List, first: ClickPage) -> Body {
    let head = stream::iter([bytes(vec![ClickView::header()])]);
    let pages = stream::try_unfold(Some((Some(first), list)), move |next| {
        let store = Arc::clone(&store);
        async move {
            let Some((page, list)) = next else {
                return Ok(None);
            };
            let page = match page {
                Some(page) => page,
                None => store.clicks(list.clone()).await.map_err(|error| {
                    tracing::error!(%error, "a table of clicks was broken off");
                    io::Error::other(error)
                })?,
            };
            let rows = page.clicks.iter().map(|click| ClickView::of(click).cells());
            let rows = bytes(rows.collect())?;
            let next = page.next.map(|after| {
                let after = Some(after);
                (None, List { after, ..list })
            });
            Ok(Some((rows, next)))
        }
    });
    Body::from_stream(head.chain(pages))
}

fn bytes(rows: Vec<Vec<String>>) -> io::Result<Bytes> {
    table(rows).map(Bytes::from).map_err(io::Error::other)
}

//! Clicks as they come, as server-sent events.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tollgate_access::Scope as AccessScope;
use tollgate_clicks::consume::{Live, LiveReceiver};
use tollgate_clicks::{ClickKind, EnrichedClick};

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use super::stats_view::ClickView;
use crate::admin::AdminState;
use crate::problem::Problem;

/// How often a silent stream says that it is still there, so that no proxy takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which clicks are wanted.
struct Wanted {
    domain: Option<String>,
    code: Option<String>,
    orphans: bool,
}

impl Wanted {
    fn admits(&self, click: &EnrichedClick) -> bool {
        let click = &click.click;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.domain, &click.domain)
            && is(&self.code, &click.code)
            && (self.orphans || click.kind == ClickKind::Visit)
    }
}

/// A stream of clicks and what it listens to.
struct Listener {
    live: LiveReceiver,
    wanted: Wanted,
    shutdown: CancellationToken,
}

impl Listener {
    /// The next event; none when the server shuts down.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        loop {
            let heard = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                heard = self.live.next() => heard?,
            };
            match heard {
                Live::Click(click) if self.wanted.admits(&click) => {
                    let view = ClickView::of(&click);
                    let event = Event::default().event("click").id(view.id.clone());
                    return Some(event.json_data(view));
                }
                Live::Click(_) => {}
                Live::Missed(missed) => {
                    let missed = serde_json::json!({ "missed": missed });
                    return Some(Event::default().event("lagged").json_data(missed));
                }
            }
        }
    }
}

/// Watch clicks
///
/// Server-sent events: `click` with a click as JSON, as soon as it is counted, and `lagged` with
/// the number of clicks that were missed because the reader was too slow. Nothing is sent again to
/// who connects anew.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "clicks",
    operation_id = "watchClicks",
    params(
        ("domain" = Option<String>, Query, description = "Only links of this domain; all the key may see if absent", min_length = 1),
        ("code" = Option<String>, Query, description = "Only the link with this code, on the key's own or the default domain if no other is named"),
        ("orphans" = Option<bool>, Query, description = "Also visits of codes that do not exist"),
    ),
    responses(
        (status = 200, description = "A stream that does not end", body = String, content_type = "text/event-stream"),
        (status = 404, description = "Clicks are not counted", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn events(
    State(state): State<AdminState>,
    caller: Caller,
    mut params: Params,
) -> Answer {
    caller.require(AccessScope::StatsRead)?;
    let clicks = state.clicks()?;
    let domain = params.take("domain")?;
    let code = params.take("code")?;
    let orphans = params.take_switch("orphans")?;
    params.finish()?;
    let wanted = match code {
        Some(code) => {
            let key = caller.link(&state.service, domain.as_deref(), &code)?;
            Wanted {
                domain: Some(key.domain.as_str().to_owned()),
                code: Some(key.code.as_str().to_owned()),
                orphans,
            }
        }
        None => Wanted {
            domain: super::list::domain(&state, &caller, domain)?
                .map(|domain| domain.as_str().to_owned()),
            code: None,
            orphans,
        },
    };
    let listener = Listener {
        live: clicks.live.subscribe(),
        wanted,
        shutdown: clicks.shutdown.clone(),
    };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((event, listener))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

//! Pages of single visits, newest first.

use serde_json::{Value, json};
use tollgate_clicks::query::{Bots, List, MAX_PAGE, Period, Query, Scope};
use tollgate_clicks::{ClickKind, Dimension, EnrichedClick};
use tollgate_clock::UnixMillis;
use tollgate_links::{Code, Domain, LinkKey};

use super::asked::Asked;
use super::failure::Failure;
use super::paging::Page;
use crate::admin::AdminState;
use crate::compat::time::{ATOM, written};
use crate::compat::totals::total;

/// The most visits of one page, which is also what stands on it if the client names no number.
const MOST_ITEMS: usize = 10_000;
/// The most visits that are gone through to come to a page.
const MOST_VISITS: usize = 100_000;

/// Which visits are listed.
pub(super) struct Wanted {
    /// Of what.
    pub(super) scope: Scope,
    /// Only those of this domain.
    pub(super) domain: Option<Domain>,
    /// None at all.
    pub(super) nothing: bool,
}

impl Wanted {
    /// All of a scope.
    pub(super) const fn all(scope: Scope) -> Self {
        Self {
            scope,
            domain: None,
            nothing: false,
        }
    }
}

/// The answer to a request for visits.
pub(super) async fn page(
    state: &AdminState,
    wanted: Wanted,
    asked: &Asked,
) -> Result<Value, Failure> {
    let page = Page::of(asked, MOST_ITEMS, MOST_ITEMS)?;
    let from = asked.moment("startDate")?;
    let until = asked.moment("endDate")?;
    let bots = if asked.is_on("excludeBots") {
        Bots::Exclude
    } else {
        Bots::Include
    };
    if page.end() > MOST_VISITS {
        let reason =
            format!("pages by number end at {MOST_VISITS} visits: use startDate and endDate");
        return Err(Failure::invalid("page", reason));
    }
    let dates = Dates { from, until };
    let Visits { here, total } = match dates.period()? {
        Some(period) if !wanted.nothing => {
            let list = List {
                scope: wanted.scope.clone(),
                period,
                bots,
                after: None,
                limit: MAX_PAGE,
            };
            read(state, list, &wanted, &dates, page).await?
        }
        _ => Visits::default(),
    };
    let shown: Vec<Value> = here.iter().map(|click| shown(state, click)).collect();
    let pagination = page.told(shown.len(), total);
    Ok(json!({ "visits": { "data": shown, "pagination": pagination } }))
}

/// The first and the last moment that are asked for.
struct Dates {
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
}

impl Dates {
    /// The period that has them all; `None` for an empty one, `Some(None)` for no bounds.
    fn period(&self) -> Result<Option<Option<Period>>, Failure> {
        if self.from.is_none() && self.until.is_none() {
            return Ok(Some(None));
        }
        let from = self.from.unwrap_or_default();
        let until = self.until.unwrap_or(Period::LAST);
        if from > until {
            return Ok(None);
        }
        let end = until.saturating_add(std::time::Duration::from_millis(1));
        Ok(Some(Some(Period::new(from, end.min(Period::LAST))?)))
    }

    /// Periods are of whole hours, so each visit is looked at.
    fn have(&self, at: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at <= until)
    }
}

/// Visits of a page, and how many there are in all.
#[derive(Default)]
struct Visits {
    here: Vec<EnrichedClick>,
    total: u64,
}

async fn read(
    state: &AdminState,
    mut list: List,
    wanted: &Wanted,
    dates: &Dates,
    page: Page,
) -> Result<Visits, Failure> {
    let clicks = state.clicks()?;
    let mut visits = Visits::default();
    let mut seen = 0;
    loop {
        let read = clicks.store.clicks(list.clone()).await?;
        for click in read.clicks {
            let here = dates.have(click.click.at)
                && wanted
                    .domain
                    .as_ref()
                    .is_none_or(|domain| domain.as_str() == click.click.domain);
            if !here {
                continue;
            }
            if (page.start()..page.end()).contains(&seen) {
                visits.here.push(click);
            }
            seen += 1;
        }
        list.after = read.next;
        if list.after.is_none() {
            visits.total = seen as u64;
            return Ok(visits);
        }
        if seen >= page.end() {
            break;
        }
    }
    // There are more: how many is told by the sums.
    let counted = match list.period {
        None => {
            let totals = total(state, list.scope).await?;
            match list.bots {
                Bots::Exclude => totals.people,
                _ => totals.all(),
            }
        }
        Some(period) => {
            let query = Query {
                bots: list.bots,
                bucket: tollgate_clicks::query::Bucket::Month,
                ..Query::new(list.scope, within(period, state)?)
            };
            clicks.store.statistics(query).await?.total
        }
    };
    visits.total = counted.max(seen as u64 + 1);
    Ok(visits)
}

/// A period that ends tomorrow at the latest: until the end of time it would have too many months.
fn within(period: Period, state: &AdminState) -> Result<Period, Failure> {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    let tomorrow = state.service.parts().clock.now().saturating_add(DAY);
    if period.to() <= tomorrow || period.from() >= tomorrow {
        return Ok(period);
    }
    Ok(Period::new(period.from(), tomorrow)?)
}

fn shown(state: &AdminState, visit: &EnrichedClick) -> Value {
    let click = &visit.click;
    let key = LinkKey {
        domain: Domain::from_stored(&click.domain),
        code: Code::from_stored(&click.code),
    };
    let text = |snippet: &Option<tollgate_clicks::Snippet>| {
        snippet
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let mut shown = json!({
        "referer": text(&click.referrer),
        "date": written(click.at, ATOM),
        "userAgent": text(&click.user_agent),
        "visitLocation": location(visit),
        "potentialBot": visit.bot,
        "visitedUrl": state.service.parts().domains.short_url(&key),
        // Nothing is kept of it.
        "redirectUrl": null,
    });
    if click.kind == ClickKind::Orphan {
        shown["type"] = "invalid_short_url".into();
    }
    shown
}

/// Where a visit came from, as far as it is known: the country by its code, and the city.
fn location(visit: &EnrichedClick) -> Value {
    let Some(country) = visit.values.get(Dimension::Country) else {
        return Value::Null;
    };
    let city = visit.values.get(Dimension::City);
    // Cities are known with their country behind: `Paris, FR`.
    let city = city.map(|city| city.rsplit_once(", ").map_or(&**city, |(name, _)| name));
    json!({
        "countryCode": country.as_str(),
        "countryName": country.as_str(),
        "regionName": null,
        "cityName": city,
        "latitude": null,
        "longitude": null,
        "timezone": null,
        "isEmpty": false,
    })
}

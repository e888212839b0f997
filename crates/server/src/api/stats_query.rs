//! The query parameters of statistics.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use tollgate_clicks::Dimension;
use tollgate_clicks::query::{Bucket, Period, Query, QueryError, Scope, moment, zone};
use tollgate_clock::UnixMillis;

use super::query::Params;
use crate::problem::Problem;

/// The most values of a dimension that can be asked for.
const MAX_TOP: usize = 1_000;

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

/// Takes `format`.
pub(super) fn take_format(params: &mut Params) -> Result<Format, Problem> {
    match params.take("format")?.as_deref() {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(_) => Err(Params::wrong("format", "use json or csv")),
    }
}

/// Takes `tz`.
pub(super) fn take_zone(params: &mut Params) -> Result<TimeZone, Problem> {
    let name = params.take("tz")?;
    Ok(name.map_or(Ok(TimeZone::UTC), |name| zone(&name))?)
}

/// Takes `from` or `to`.
pub(super) fn take_moment(
    params: &mut Params,
    name: &'static str,
    zone: &TimeZone,
) -> Result<Option<UnixMillis>, Problem> {
    let text = params.take(name)?;
    Ok(text.map(|text| moment(name, &text, zone)).transpose()?)
}

/// Takes everything that a query has beside its scope.
pub(super) fn take_query(
    params: &mut Params,
    scope: Scope,
    now: UnixMillis,
) -> Result<Query, Problem> {
    let zone = take_zone(params)?;
    let bucket: Bucket = match params.take("bucket")? {
        Some(name) => name.parse::<Bucket>()?,
        None => Bucket::Day,
    };
    let to = take_moment(params, "to", &zone)?;
    // The end is not included, but what was clicked right now is.
    let to = to.unwrap_or_else(|| now.saturating_add(Duration::from_millis(1)));
    let from = take_moment(params, "from", &zone)?;
    let from = from.unwrap_or_else(|| usual_start(bucket, to, &zone));
    let mut query = Query::new(scope, Period::new(from, to)?);
    query.bucket = bucket;
    query.zone = zone;
    for list in params.take_all("by") {
        for name in list.split(',') {
            let dimension = name.parse::<Dimension>().map_err(QueryError::from)?;
            if !query.by.contains(&dimension) {
                query.by.push(dimension);
            }
        }
    }
    for filter in params.take_all("filter") {
        query.filters.push(filter.parse()?);
    }
    if let Some(bots) = params.take("bots")? {
        query.bots = bots.parse()?;
    }
    if let Some(top) = params.take("top")? {
        let top = top.parse().ok().filter(|top| (1..=MAX_TOP).contains(top));
        query.top =
            top.ok_or_else(|| Params::wrong("top", format!("give a number from 1 to {MAX_TOP}")))?;
    }
    query.compare = match params.take("compare")?.as_deref() {
        None | Some("none") => false,
        Some("previous") => true,
        Some(_) => return Err(Params::wrong("compare", "use previous or none")),
    };
    Ok(query)
}

/// Where a period begins that names no beginning: at midnight, so many days before its end that a
/// series of this bucket says something.
fn usual_start(bucket: Bucket, to: UnixMillis, zone: &TimeZone) -> UnixMillis {
    let days = match bucket {
        Bucket::Hour => 1,
        Bucket::Day => 29,
        Bucket::Week => 12 * 7,
        Bucket::Month => 364,
    };
    let start = Timestamp::from_millisecond(to.as_millis())
        .ok()
        .and_then(|to| {
            let date = zone.to_datetime(to).date().checked_sub(days.days()).ok()?;
            zone.to_timestamp(date.at(0, 0, 0, 0)).ok()
        });
    // At the ends of time, all of it.
    let start = start.map_or(0, |start| start.as_millisecond().max(0));
    UnixMillis::from_millis(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_a_midnight_of_the_zone() {
        let to = "2026-11-25T12:30:00Z".parse().unwrap();
        let start = |bucket, name| usual_start(bucket, to, &zone(name).unwrap()).to_string();
        assert_eq!(start(Bucket::Hour, "UTC"), "2026-11-24T00:00:00Z");
        assert_eq!(start(Bucket::Day, "UTC"), "2026-10-27T00:00:00Z");
        // Summer ends on 2026-10-25.
        assert_eq!(start(Bucket::Day, "Europe/Berlin"), "2026-10-26T23:00:00Z");
        assert_eq!(start(Bucket::Week, "Europe/Berlin"), "2026-09-01T22:00:00Z");
        let early = UnixMillis::from_millis(1_000);
        assert_eq!(
            usual_start(Bucket::Month, early, &TimeZone::UTC).as_millis(),
            0
        );
    }
}

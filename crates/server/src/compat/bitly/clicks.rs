//! Clicks of a link over time.

use std::time::Duration;

use axum::Json;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_clicks::query::{Bucket, Period, Query, QueryError, Scope, moment};
use tollgate_clock::UnixMillis;
use tollgate_links::Link;

use super::failure::Failure;
use crate::admin::AdminState;
use crate::api::stats::name;
use crate::compat::time::{BASIC_OFFSET, written};
use crate::compat::totals::total;
use crate::problem::Problem;

/// All units since the link was made.
const ALL: i64 = -1;
/// The most units that can be asked for by number.
const MOST_UNITS: i64 = 10_000;

/// What is asked for of the clicks of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Each unit of time.
    Series,
    /// The sum.
    Summary,
}

/// The parameters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    unit: Option<String>,
    units: Option<String>,
    unit_reference: Option<String>,
    size: Option<String>,
}

/// Counts the clicks of a link.
pub(super) async fn count(
    state: &AdminState,
    link: &Link,
    counted: Counted,
    asked: &Asked,
) -> Result<Json<Value>, Failure> {
    let unit = asked.unit.as_deref().unwrap_or("day");
    let bucket: Bucket = unit
        .parse()
        .map_err(|_| Failure::wrong("unit", "clicks are counted by hour, day, week and month"))?;
    let units = number("units", asked.units.as_deref(), ALL)?;
    if units != ALL && !(1..=MOST_UNITS).contains(&units) {
        let reason = format!("give a number from 1 to {MOST_UNITS}, or {ALL} for all");
        return Err(Failure::wrong("units", reason));
    }
    let now = state.service.parts().clock.now();
    let reference = match asked
        .unit_reference
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        Some(text) => read_moment(text)?,
        None => now,
    };
    let mut answer = json!({
        "unit": bucket.name(),
        "units": units,
        "unit_reference": written(reference, BASIC_OFFSET),
    });
    let scope = Scope::Link(name(&link.key));
    if counted == Counted::Summary && units == ALL && reference >= now {
        answer["total_clicks"] = total(state, scope).await?.all().into();
        return Ok(Json(answer));
    }
    let series = series(state, scope, link, (bucket, units), reference).await?;
    match counted {
        Counted::Summary => {
            let clicks: u64 = series.iter().map(|(_, clicks)| clicks).sum();
            answer["total_clicks"] = clicks.into();
        }
        Counted::Series => {
            let size = number("size", asked.size.as_deref(), i64::MAX)?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let newest_first = series.iter().rev().take(size);
            let clicks = newest_first.map(|(start, clicks)| {
                json!({ "date": written(*start, BASIC_OFFSET), "clicks": clicks })
            });
            answer["link_clicks"] = clicks.collect();
        }
    }
    Ok(Json(answer))
}

/// The beginning of each unit and the clicks in it, oldest first.
async fn series(
    state: &AdminState,
    scope: Scope,
    link: &Link,
    (bucket, units): (Bucket, i64),
    reference: UnixMillis,
) -> Result<Vec<(UnixMillis, u64)>, Failure> {
    const HOUR: u64 = 3_600;
    let longest = Duration::from_secs(match bucket {
        Bucket::Hour => HOUR,
        Bucket::Day => 24 * HOUR,
        Bucket::Week => 7 * 24 * HOUR,
        Bucket::Month => 31 * 24 * HOUR,
    });
    // The unit of the reference counts as a whole, so a moment after it is the end.
    let to = reference.saturating_add(Duration::from_millis(1));
    let from = match u32::try_from(units) {
        Ok(units) => reference.saturating_sub(longest.saturating_mul(units)),
        Err(_) => link.created_at.min(reference),
    };
    let from = from.max(UnixMillis::from_millis(0));
    let Some(clicks) = &state.clicks else {
        return Ok(Vec::new());
    };
    let period = Period::new(from, to).map_err(in_parameter)?;
    let query = Query {
        bucket,
        ..Query::new(scope, period)
    };
    let counted = clicks.store.statistics(query).await.map_err(in_parameter)?;
    let steps = counted.series.iter().map(|step| (step.start, step.clicks));
    let mut series: Vec<(UnixMillis, u64)> = steps.collect();
    if let Ok(units) = usize::try_from(units) {
        series.drain(..series.len().saturating_sub(units));
    }
    Ok(series)
}

fn number(name: &str, text: Option<&str>, usual: i64) -> Result<i64, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(usual);
    };
    text.parse()
        .map_err(|_| Failure::wrong(name, "give a whole number"))
}

/// RFC 3339, or with an offset without a colon, as Bitly writes it.
fn read_moment(text: &str) -> Result<UnixMillis, Failure> {
    let with_colon = match text
        .len()
        .checked_sub(5)
        .and_then(|at| text.split_at_checked(at))
    {
        Some((time, offset))
            if offset.is_ascii() && offset.starts_with(['+', '-']) && !offset.contains(':') =>
        {
            format!("{time}{}:{}", &offset[..3], &offset[3..])
        }
        _ => text.to_owned(),
    };
    moment("unit_reference", &with_colon, &TimeZone::UTC).map_err(in_parameter)
}

/// What our query calls something, as the parameter that it comes from.
fn in_parameter(error: QueryError) -> Failure {
    let name = match error.parameter() {
        Some("bucket") => "units",
        Some(_) => "unit_reference",
        None => return Problem::from(error).into(),
    };
    Failure::wrong(name, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_bitly_writes_them() {
        let read = |text: &str| read_moment(text).map(|at| at.to_string()).ok();
        let moment = Some("2026-11-25T11:00:00Z".to_owned());
        assert_eq!(read("2026-11-25T12:00:00+0100"), moment);
        assert_eq!(read("2026-11-25T12:00:00+01:00"), moment);
        assert_eq!(read("2026-11-25T11:00:00Z"), moment);
        assert!(read("2026-11-25").is_some());
        for text in [
            "soon",
            "+0100",
            "é+010",
            "2026-11-25T12:00:00+01é",
            "2026-11-25T12:00:00+1é1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

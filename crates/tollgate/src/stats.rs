//! `tollgate stats`: what was clicked, through the API.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;
use ureq::http::Method;

use crate::args::StatsArgs;
use crate::client::{Client, NOTHING, segment};
use crate::show;

/// What clicks are counted by if nothing else is asked for.
const USUAL: &str = "referrer,country,device,browser";
/// The longest bar of a chart, in characters.
const BAR: u64 = 40;
/// A character that is filled by so many eighths from the left.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// What was counted.
#[derive(Debug, Serialize, Deserialize)]
struct Stats {
    from: UnixMillis,
    to: UnixMillis,
    tz: String,
    bucket: String,
    total: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    untimed: u64,
    series: Vec<Step>,
    by: BTreeMap<String, Vec<Counted>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
    source: String,
}

const fn is_zero(clicks: &u64) -> bool {
    *clicks == 0
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    start: UnixMillis,
    clicks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    value: String,
    clicks: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Previous {
    from: UnixMillis,
    to: UnixMillis,
    total: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
}

/// Shows the statistics that are asked for.
pub(crate) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let path = match &args.code {
        Some(code) => format!("/api/v1/links/{}/stats", segment(code)),
        None if args.orphans => "/api/v1/stats/orphans".to_owned(),
        None => "/api/v1/stats".to_owned(),
    };
    let tz = match &args.tz {
        Some(tz) => Some(tz.clone()),
        None => TimeZone::system().iana_name().map(str::to_owned),
    };
    let top = args.top.to_string();
    let by = args.by.as_deref().or((!args.csv).then_some(USUAL));
    let mut query = vec![
        ("domain", args.domain.as_deref()),
        ("tag", args.tag.as_deref()),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
        ("tz", tz.as_deref()),
        ("bucket", Some(args.bucket.as_str())),
        ("by", by.filter(|by| !by.is_empty())),
        ("top", Some(top.as_str())),
        ("bots", Some(args.bots.as_str())),
        ("compare", args.compare.then_some("previous")),
        ("format", args.csv.then_some("csv")),
    ];
    query.extend(
        args.filters
            .iter()
            .map(|filter| ("filter", Some(filter.as_str()))),
    );
    if args.csv {
        return show::bytes(&client.send(Method::GET, &path, &query, &[], NOTHING)?);
    }
    let stats: Stats = client.call(Method::GET, &path, &query, &[], NOTHING)?;
    match args.server.json {
        true => show::json(&stats),
        false => print(&stats),
    }
}

fn print(stats: &Stats) -> anyhow::Result<()> {
    let zone = TimeZone::get(&stats.tz).unwrap_or(TimeZone::UTC);
    let visitors = stats
        .unique
        .map(|unique| format!(", about {unique} visitors"));
    show::line(format_args!(
        "{} clicks{}, {} to {} ({})",
        stats.total,
        visitors.unwrap_or_default(),
        time(stats.from, &zone),
        time(stats.to, &zone),
        stats.tz,
    ))?;
    if stats.untimed > 0 {
        show::line(format_args!(
            "{} more without a time, counted by another shortener",
            stats.untimed
        ))?;
    }
    if let Some(previous) = &stats.previous {
        let change = match previous.total {
            0 => String::new(),
            before => {
                let percent = (stats.total as f64 / before as f64 - 1.0) * 100.0;
                format!(" ({percent:+.0} %)")
            }
        };
        let from = time(previous.from, &zone);
        show::line(format_args!(
            "{} in the period before, from {from}{change}",
            previous.total
        ))?;
    }
    show::line("")?;
    let most = stats
        .series
        .iter()
        .map(|step| step.clicks)
        .max()
        .unwrap_or(0);
    let rows = stats.series.iter().map(|step| {
        let mut row = vec![
            label(step.start, &stats.bucket, &zone),
            step.clicks.to_string(),
            step.unique
                .map(|unique| unique.to_string())
                .unwrap_or_default(),
        ];
        row.extend(chart().then(|| bar(step.clicks, most)));
        row
    });
    show::table(&["WHEN", "CLICKS", "VISITORS", ""], rows)?;
    for (dimension, values) in &stats.by {
        show::line("")?;
        let most = values.iter().map(|one| one.clicks).max().unwrap_or(0);
        let rows = values.iter().map(|one| {
            let mut row = vec![one.value.clone(), one.clicks.to_string()];
            row.extend(chart().then(|| bar(one.clicks, most)));
            row
        });
        show::table(&[&dimension.to_uppercase(), "CLICKS", ""], rows)?;
    }
    Ok(())
}

/// Bars are for people.
fn chart() -> bool {
    std::io::stdout().is_terminal()
}

/// A bar as long as `part` of `whole`; something, if it is not nothing.
fn bar(part: u64, whole: u64) -> String {
    if part == 0 {
        return String::new();
    }
    let eighths = u128::from(part) * u128::from(BAR) * 8 / u128::from(whole.max(part));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// A moment in the zone, without seconds.
fn time(at: UnixMillis, zone: &TimeZone) -> String {
    strftime(at, zone, "%Y-%m-%d %H:%M")
}

/// A step as short as it can be told.
fn label(at: UnixMillis, bucket: &str, zone: &TimeZone) -> String {
    strftime(
        at,
        zone,
        match bucket {
            "hour" => "%Y-%m-%d %H:%M",
            "month" => "%Y-%m",
            _ => "%Y-%m-%d",
        },
    )
}

fn strftime(at: UnixMillis, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(at.as_millis()) {
        Ok(moment) => zone.to_datetime(moment).strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(100, 100), "█".repeat(40));
        assert_eq!(bar(51, 100), "█".repeat(20) + "▍");
        assert_eq!(bar(u64::MAX, u64::MAX), "█".repeat(40));
    }

    #[test]
    fn steps_are_told_in_the_zone() {
        let at = "2026-11-24T23:00:00Z".parse().unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(label(at, "day", &berlin), "2026-11-25");
        assert_eq!(label(at, "hour", &TimeZone::UTC), "2026-11-24 23:00");
        assert_eq!(label(at, "month", &TimeZone::UTC), "2026-11");
    }
}

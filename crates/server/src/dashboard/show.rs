//! How values are shown on pages.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tollgate_clock::UnixMillis;

/// Statistics, as far as pages show them.
#[derive(Deserialize)]
pub(super) struct Stats {
    pub(super) bucket: String,
    pub(super) total: u64,
    pub(super) unique: Option<u64>,
    #[serde(default)]
    pub(super) untimed: u64,
    pub(super) series: Vec<Step>,
    #[serde(default)]
    pub(super) by: std::collections::BTreeMap<String, Vec<Counted>>,
    pub(super) previous: Option<Previous>,
}

#[derive(Deserialize)]
pub(super) struct Step {
    pub(super) start: UnixMillis,
    pub(super) clicks: u64,
    pub(super) unique: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Counted {
    pub(super) value: String,
    pub(super) clicks: u64,
}

#[derive(Deserialize)]
pub(super) struct Previous {
    pub(super) total: u64,
}

/// A number with separators between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment, to the minute.
pub(super) fn when(at: UnixMillis) -> Markup {
    let text = at.to_string();
    let short = text.get(..16).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) title=(text) { (short) } }
}

/// A span of milliseconds in the largest unit that divides it.
fn in_units(millis: u64) -> (u64, &'static str) {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
    ];
    UNITS
        .into_iter()
        .find(|(length, _)| millis.is_multiple_of(*length))
        .map_or((millis, "millisecond"), |(length, name)| {
            (millis / length, name)
        })
}

/// How long something takes, from milliseconds.
pub(super) fn span(millis: u64) -> String {
    match in_units(millis) {
        (1, name) => format!("1 {name}"),
        (count, name) => format!("{} {name}s", number(count)),
    }
}

/// So many in each window of these milliseconds.
pub(super) fn rate(limit: u64, window_ms: u64) -> String {
    let limit = number(limit);
    match in_units(window_ms) {
        (1, "hour") => format!("{limit} an hour"),
        (1, name) => format!("{limit} a {name}"),
        _ => format!("{limit} in {}", span(window_ms)),
    }
}

/// A span of microseconds.
pub(super) fn micros(micros: Option<u64>) -> String {
    match micros {
        None => "–".to_owned(),
        Some(micros) if micros < 1_000 => format!("{micros} µs"),
        Some(micros) => format!("{:.1} ms", micros as f64 / 1_000.0),
    }
}

/// A part of a whole; none if there is nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A share, as a percentage.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// How a number compares with the one before.
pub(super) fn change(now: u64, before: u64) -> String {
    match (now, before) {
        (0, 0) => "none before either".to_owned(),
        (_, 0) => "none before".to_owned(),
        (now, before) => {
            let percent = (now as f64 / before as f64 - 1.0) * 100.0;
            format!("{percent:+.0} % to the period before")
        }
    }
}

/// Clicks over time: a chart, and a table for whom a chart tells nothing.
pub(super) fn chart(stats: &Stats) -> Markup {
    let seconds = |step: &Step| step.start.as_millis() / 1_000;
    let unique: Option<Vec<u64>> = stats.series.iter().map(|step| step.unique).collect();
    let day = stats.bucket != "hour";
    let series = json!({
        "start": stats.series.iter().map(seconds).collect::<Vec<_>>(),
        "clicks": stats.series.iter().map(|step| step.clicks).collect::<Vec<_>>(),
        "unique": unique,
        "day": day,
    });
    let length = if day { 10 } else { 16 };
    html! {
        div.chart data-series=(series) role="img" aria-label={ "Chart of clicks by the " (stats.bucket) "; the same as a table follows" } {}
        details {
            summary { "The same as a table" }
            div.scroll tabindex="0" role="region" aria-label="Clicks over time" {
                table {
                    thead { tr { th scope="col" { "From" } th.number scope="col" { "Clicks" } th.number scope="col" { "Visitors" } } }
                    tbody {
                        @for step in stats.series.iter().rev() {
                            @let start = step.start.to_string();
                            tr {
                                td { (start.get(..length).unwrap_or(&start).replace('T', " ")) }
                                td.number { (number(step.clicks)) }
                                td.number { @if let Some(unique) = step.unique { (number(unique)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Values of one dimension, the most clicked first.
pub(super) fn ranking(title: &str, values: &[Counted], name: impl Fn(&str) -> Markup) -> Markup {
    let most = values.iter().map(|one| one.clicks).max().unwrap_or(1);
    html! {
        section.card {
            h2 { (title) }
            @if values.is_empty() {
                p.soft { "Nothing yet." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Value" } th.number scope="col" { "Clicks" } } }
                    tbody {
                        @for one in values {
                            tr {
                                th.long scope="row" {
                                    (name(&one.value))
                                    meter min="0" max=(most) value=(one.clicks) aria-hidden="true" {}
                                }
                                td.number { (number(one.clicks)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(number(12_345_678), "12,345,678");
        assert_eq!(span(60_000), "1 minute");
        assert_eq!(span(1_250), "1,250 milliseconds");
        assert_eq!(rate(5, 1_000), "5 a second");
        assert_eq!(rate(5, 3_600_000), "5 an hour");
        assert_eq!(rate(5, 90_000), "5 in 90 seconds");
        assert_eq!(span(90_000), "90 seconds");
        assert_eq!(span(172_800_000), "2 days");
        assert_eq!(micros(Some(50)), "50 µs");
        assert_eq!(micros(Some(2_500)), "2.5 ms");
        assert_eq!(change(150, 100), "+50 % to the period before");
        assert_eq!(change(5, 0), "none before");
    }
}

//! How statistics and clicks are shown.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tollgate_clicks::query::{Query, Statistics};
use tollgate_clicks::{ClickKind, Dimension, EnrichedClick, Network};
use tollgate_clock::UnixMillis;
use utoipa::ToSchema;

use super::Answer;
use super::query::Params;
use super::stats_query::Format;
use crate::problem::Problem;

/// The media type of CSV (RFC 4180).
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

/// What was counted.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsView {
    /// Where the period begins.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMillis,
    /// Where it ends: this moment is not in it any more.
    #[schema(value_type = String, format = DateTime)]
    to: UnixMillis,
    /// Where days begin.
    #[schema(example = "Europe/Berlin")]
    tz: String,
    /// The length of the steps of the series.
    #[schema(example = "day")]
    bucket: &'static str,
    /// Clicks.
    total: u64,
    /// Visitors, estimated. Those of two days count twice. Absent with a filter that is answered
    /// from sums, which do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
    /// Clicks beside these whose time is not known: another shortener had counted them. Absent if
    /// there are none, and with filters.
    #[serde(skip_serializing_if = "is_zero")]
    untimed: u64,
    /// Every step of the period, those without clicks included.
    series: Vec<StepView>,
    /// Clicks by value, for each dimension asked for.
    by: BTreeMap<&'static str, Vec<CountedView>>,
    /// The period of the same length before, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousView>,
    /// `rollups` if sums that are kept were read, `clicks` if single clicks were counted.
    #[schema(example = "rollups")]
    source: &'static str,
}

/// A step of the series.
#[derive(Serialize, ToSchema)]
pub(super) struct StepView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    start: UnixMillis,
    /// Clicks.
    clicks: u64,
    /// Visitors, estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
}

/// Clicks with a value.
#[derive(Serialize, ToSchema)]
pub(super) struct CountedView {
    /// The value; `(none)` for clicks without one, `(other)` for the sum of all that are not shown.
    value: String,
    /// Clicks.
    clicks: u64,
}

/// The period before.
#[derive(Serialize, ToSchema)]
pub(super) struct PreviousView {
    /// Where it begins.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMillis,
    /// Where it ends.
    #[schema(value_type = String, format = DateTime)]
    to: UnixMillis,
    /// Clicks.
    total: u64,
    /// Visitors, estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<u64>,
}

/// One click.
#[derive(Serialize, ToSchema)]
pub(super) struct ClickView {
    /// Its name: no other click has it.
    pub(super) id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: UnixMillis,
    /// The domain of the link; absent for the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// The code.
    code: String,
    /// `visit`, or `orphan` if there was no such link.
    #[schema(example = "visit")]
    kind: &'static str,
    /// Whether a program followed the link.
    bot: bool,
    /// The page the visitor came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<String>,
    /// `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// The visitor's address, if it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// What is known, by dimension.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"browser": "Firefox", "country": "DE"}))]
    values: BTreeMap<&'static str, String>,
}

const fn is_zero(clicks: &u64) -> bool {
    *clicks == 0
}

impl StatsView {
    fn of(query: &Query, statistics: Statistics, untimed: u64) -> Self {
        let Statistics {
            period,
            total,
            unique,
            series,
            by,
            previous,
            from_raw,
        } = statistics;
        let by = by.into_iter().map(|breakdown| {
            let values = breakdown.values.into_iter();
            let values = values.map(|counted| CountedView {
                value: counted.value.to_string(),
                clicks: counted.clicks,
            });
            (breakdown.dimension.name(), values.collect())
        });
        Self {
            from: period.from(),
            to: period.to(),
            tz: query.zone.iana_name().unwrap_or("UTC").to_owned(),
            bucket: query.bucket.name(),
            total,
            unique,
            untimed,
            series: series
                .into_iter()
                .map(|step| StepView {
                    start: step.start,
                    clicks: step.clicks,
                    unique: step.unique,
                })
                .collect(),
            by: by.collect(),
            previous: previous.map(|previous| PreviousView {
                from: previous.period.from(),
                to: previous.period.to(),
                total: previous.total,
                unique: previous.unique,
            }),
            source: if from_raw { "clicks" } else { "rollups" },
        }
    }

    /// Rows of the series, or of the one dimension that was asked for.
    fn csv(&self) -> Vec<Vec<String>> {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        if let Some((name, values)) = self.by.first_key_value() {
            let values = values
                .iter()
                .map(|one| vec![one.value.clone(), one.clicks.to_string()]);
            return std::iter::once(row(&[name, "clicks"]))
                .chain(values)
                .collect();
        }
        let steps = self.series.iter().map(|step| {
            let unique = step.unique.map(|unique| unique.to_string());
            vec![
                step.start.to_string(),
                step.clicks.to_string(),
                unique.unwrap_or_default(),
            ]
        });
        std::iter::once(row(&["start", "clicks", "unique"]))
            .chain(steps)
            .collect()
    }
}

/// Statistics in the format that was asked for.
pub(super) fn answer(
    query: &Query,
    statistics: Statistics,
    untimed: u64,
    format: Format,
) -> Answer {
    let view = StatsView::of(query, statistics, untimed);
    match format {
        Format::Json => Ok(Json(view).into_response()),
        Format::Csv if view.by.len() > 1 => Err(Params::wrong(
            "by",
            "a table has one dimension, or none for the series",
        )),
        Format::Csv => Ok(csv_response(
            table(view.csv()).map_err(|_| Problem::internal())?,
        )),
    }
}

/// An answer of CSV.
pub(super) fn csv_response(body: impl Into<axum::body::Body>) -> Response {
    ([(CONTENT_TYPE, CSV)], body.into()).into_response()
}

/// Rows as CSV. Text of visitors that a spreadsheet would run as a formula is quoted by an
/// apostrophe (OWASP, CSV injection).
pub(super) fn table(rows: Vec<Vec<String>>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.into_iter().map(|cell| {
            if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                format!("'{cell}")
            } else {
                cell
            }
        }))?;
    }
    writer
        .into_inner()
        .map_err(|error| error.into_error().into())
}

impl ClickView {
    pub(super) fn of(click: &EnrichedClick) -> Self {
        let EnrichedClick {
            click, bot, values, ..
        } = click;
        let text =
            |snippet: &Option<tollgate_clicks::Snippet>| snippet.as_ref().map(ToString::to_string);
        Self {
            id: format!("{:016x}-{}", click.id.process, click.id.number),
            at: click.at,
            domain: (!click.domain.is_empty()).then(|| click.domain.to_string()),
            code: click.code.to_string(),
            kind: match click.kind {
                ClickKind::Visit => "visit",
                ClickKind::Orphan => "orphan",
            },
            bot: *bot,
            referrer: text(&click.referrer),
            user_agent: text(&click.user_agent),
            address: match click.network {
                Some(Network::Full(address)) => Some(address.to_string()),
                Some(Network::Truncated(_)) | None => None,
            },
            values: values
                .iter()
                .map(|(dimension, text)| (dimension.name(), text.to_string()))
                .collect(),
        }
    }

    /// The cells of [`ClickView::header`].
    pub(super) fn cells(self) -> Vec<String> {
        let mut cells = vec![
            self.id,
            self.at.to_string(),
            self.domain.unwrap_or_default(),
            self.code,
            self.kind.to_owned(),
            self.bot.to_string(),
            self.referrer.unwrap_or_default(),
            self.user_agent.unwrap_or_default(),
            self.address.unwrap_or_default(),
        ];
        let mut values = self.values;
        cells.extend(dimensions().map(|name| values.remove(name).unwrap_or_default()));
        cells
    }

    /// The columns of a table of clicks.
    pub(super) fn header() -> Vec<String> {
        let fields = [
            "id",
            "at",
            "domain",
            "code",
            "kind",
            "bot",
            "referrer_url",
            "user_agent",
            "address",
        ];
        fields
            .into_iter()
            .chain(dimensions())
            .map(str::to_owned)
            .collect()
    }
}

/// Those that a click has by itself.
fn dimensions() -> impl Iterator<Item = &'static str> {
    Dimension::ALL
        .into_iter()
        .filter(|one| *one <= Dimension::UtmContent)
        .map(Dimension::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_runs_nothing() {
        let row = ["=1+1", "a,b", "-2", "\"x\""].map(str::to_owned);
        let text = String::from_utf8(table(vec![row.to_vec()]).unwrap()).unwrap();
        assert_eq!(text, "'=1+1,\"a,b\",'-2,\"\"\"x\"\"\"\n");
    }

    #[test]
    fn tables_of_clicks_have_a_column_for_each_dimension_of_their_own() {
        let header = ClickView::header();
        assert_eq!(header.len(), 9 + 13);
        assert!(header.contains(&"utm_content".to_owned()) && !header.contains(&"link".to_owned()));
    }
}

//! What became of an import, or would become of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::row::{Fault, LeftOut, Place};

/// The most rows that a report names; all are told while they come.
const MOST_NAMED: usize = 1_000;

/// What became of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    /// Links made.
    pub(super) created: u64,
    /// Links that were there, with the same target.
    pub(super) present: u64,
    /// Those of them that differ in something else, and were left as they are.
    pub(super) differing: u64,
    /// Rows whose code belongs to a link with another target.
    pub(super) conflicts: u64,
    /// Rows that can become no link.
    pub(super) bad: u64,
    /// Both together.
    pub(super) failed: u64,
    /// How many rows had something that links cannot take over, by its name.
    pub(super) left_out: BTreeMap<String, u64>,
    /// Clicks.
    pub(super) clicks: ClickCounts,
}

/// What became of clicks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ClickCounts {
    /// Clicks that the source has.
    pub(super) found: u64,
    /// Those that are counted now.
    pub(super) counted: u64,
    /// Those that were counted by an earlier import.
    pub(super) before: u64,
    /// Those of links that are not there.
    pub(super) lost: u64,
}

/// A row that is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    reason: String,
}

/// What is the matter with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It can become no link.
    Bad,
    /// Its code belongs to another link.
    Conflict,
    /// The link is there and differs.
    Differs,
    /// Something of it is left out.
    LeftOut,
}

/// The rows there is something to tell of.
#[derive(Debug, Default)]
pub(super) struct Told {
    rows: Vec<Named>,
    more: u64,
}

impl Told {
    /// Notes a row, and answers the line to be printed for it.
    pub(super) fn note(&mut self, place: &Place, kind: Kind, fault: &Fault) -> String {
        self.add(
            place,
            kind,
            fault.field.as_deref().map(str::to_owned),
            &fault.reason,
        );
        match kind {
            Kind::Differs => format!("{place}: there before, but differs: {fault}"),
            Kind::LeftOut | Kind::Bad | Kind::Conflict => format!("{place}: {fault}"),
        }
    }

    /// Notes something that is left out of a row.
    pub(super) fn left_out(&mut self, place: &Place, what: &LeftOut, reason: &str) -> String {
        self.add(place, Kind::LeftOut, Some(what.field.clone()), reason);
        format!("{place}: {} is left out: {reason}", what.field)
    }

    fn add(&mut self, place: &Place, kind: Kind, field: Option<String>, reason: &str) {
        if self.rows.len() >= MOST_NAMED {
            self.more += 1;
            return;
        }
        let (line, link) = match place {
            Place::Line(line) => (Some(*line), None),
            Place::Link(link) => (None, Some(link.clone())),
        };
        self.rows.push(Named {
            line,
            link,
            kind,
            field,
            reason: reason.to_owned(),
        });
    }
}

/// The report as JSON.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    dry_run: bool,
    #[serde(flatten)]
    counts: &'a Counts,
    rows: &'a [Named],
    /// Rows that there is no room for.
    more_rows: u64,
}

impl<'a> Report<'a> {
    pub(super) fn new(dry_run: bool, counts: &'a Counts, told: &'a Told) -> Self {
        Self {
            dry_run,
            counts,
            rows: &told.rows,
            more_rows: told.more,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} created, {} there before, {} failed",
            self.created, self.present, self.failed
        )
    }
}

/// The report for people.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts;
        if self.dry_run {
            write!(f, "dry run, nothing is changed: ")?;
        }
        write!(f, "{counts}")?;
        if counts.failed > 0 {
            write!(
                f,
                "\nof those that failed, {} are bad and {} have a code that belongs to another link",
                counts.bad, counts.conflicts
            )?;
        }
        if counts.differing > 0 {
            write!(
                f,
                "\nof those there before, {} differ and are left as they are",
                counts.differing
            )?;
        }
        let clicks = &counts.clicks;
        if clicks.found > 0 {
            write!(f, "\nclicks: {} found", clicks.found)?;
            if !self.dry_run {
                write!(
                    f,
                    ", {} counted, {} counted before",
                    clicks.counted, clicks.before
                )?;
            }
            if clicks.lost > 0 {
                write!(f, ", {} of links that are not there", clicks.lost)?;
            }
        }
        if !counts.left_out.is_empty() {
            let left_out: Vec<String> = counts
                .left_out
                .iter()
                .map(|(field, rows)| format!("{field} ({rows})"))
                .collect();
            write!(f, "\nleft out: {}", left_out.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_all_and_no_more() {
        let mut told = Told::default();
        let fault = Fault::of("url", "not a URL");
        let line = told.note(&Place::Line(3), Kind::Bad, &fault);
        assert_eq!(line, "line 3: url: not a URL");
        let mut counts = Counts {
            created: 2,
            ..Counts::default()
        };
        let text = |counts: &Counts| Report::new(false, counts, &Told::default()).to_string();
        assert_eq!(text(&counts), "2 created, 0 there before, 0 failed");
        counts.failed = 1;
        counts.bad = 1;
        counts.left_out.insert("ip".to_owned(), 2);
        counts.clicks.found = 5;
        counts.clicks.counted = 5;
        let all = text(&counts);
        assert!(all.contains("1 are bad"), "{all}");
        assert!(
            all.contains("5 found, 5 counted, 0 counted before"),
            "{all}"
        );
        assert!(all.ends_with("left out: ip (2)"), "{all}");
        let json = serde_json::to_value(Report::new(true, &counts, &told)).unwrap();
        assert_eq!(json["dry_run"], true);
        assert_eq!(json["left_out"]["ip"], 2);
        let row =
            serde_json::json!({"line": 3, "kind": "bad", "field": "url", "reason": "not a URL"});
        assert_eq!(json["rows"][0], row);
    }

    #[test]
    fn a_report_has_an_end() {
        let mut told = Told::default();
        for line in 0..=MOST_NAMED as u64 {
            told.note(&Place::Line(line), Kind::Bad, &Fault::whole("x"));
        }
        assert_eq!((told.rows.len(), told.more), (MOST_NAMED, 1));
    }
}

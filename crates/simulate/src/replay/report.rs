//! What came of a replay.

use serde::Serialize;
use tollgate_clock::UnixMillis;

use super::Formats;

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The domain of the policies.
    pub domain: String,
    /// What was read.
    pub lines: LinesReport,
    /// When the first request came; none if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// When the last one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// Lines that are requests.
    pub requests: u64,
    /// Of them, how many would have been refused.
    pub refused: u64,
    /// How many no rule counted.
    pub uncounted: u64,
    /// How many would have passed, but waited first.
    pub delayed: u64,
    /// The longest that one would have waited.
    pub longest_delay_ms: u64,
    /// Requests of good clients, if it was told who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good: Option<GoodReport>,
    /// The rules of the domain, in the order of the file.
    pub rules: Vec<RuleReport>,
    /// The keys refused most, or that would have been in shadow mode; the most refused first.
    pub worst: Vec<Worst>,
    /// The share of keys that limits are proposed for, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The store that decided.
    pub store: StoreReport,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinesReport {
    /// Lines that are not empty.
    pub read: u64,
    /// Requests by the format of their line.
    pub formats: Formats,
    /// Requests that are earlier than one before them. They were decided at the time of that.
    pub late: u64,
    /// By how much at most.
    pub most_late_ms: u64,
    /// Lines that are no requests.
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
}

/// A line that is no request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The log.
    pub log: String,
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// How it begins.
    pub text: String,
}

/// Requests of good clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GoodReport {
    /// How many.
    pub requests: u64,
    /// How many of them would have been refused: false positives.
    pub refused: u64,
}

impl GoodReport {
    /// The share of them that would have been refused.
    #[must_use]
    pub fn block_rate(&self) -> f64 {
        self.refused as f64 / self.requests.max(1) as f64
    }
}

/// What a rule would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub policy: String,
    /// Its place in the file.
    pub path: String,
    /// Its limit; none if it is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Its window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// Its algorithm; none if it has nothing to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Whether it only looks on.
    pub shadow: bool,
    /// Requests it counted.
    pub requests: u64,
    /// Requests it refused.
    pub refused: u64,
    /// Requests it would have refused if it did not only look on.
    pub would_refuse: u64,
    /// Who they came from.
    pub keys: KeysReport,
    /// Requests of good clients that it counted, and refused or would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good: Option<GoodReport>,
    /// Limits that would leave the wanted share of keys alone, one for each unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Suggestion>,
}

/// The keys of a rule: the descriptors that it counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysReport {
    /// How many.
    pub count: u64,
    /// Whether all of them were counted, and not a sample.
    pub exact: bool,
    /// The share of them that it never refused, or never would have.
    pub never_refused: f64,
    /// By how much that may be wrong, with odds of 20 to 1: twice the deviation of the sample.
    pub never_refused_error: f64,
    /// Requests of the busiest; of the sample, if it is one.
    pub busiest: u64,
}

/// A limit that would leave the wanted share of keys alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The unit as policies write it; none if it is the window of the rule alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How long it is.
    pub window_ms: u64,
    /// The limit.
    pub limit: u64,
    /// The limit that would leave every key alone.
    pub highest: u64,
    /// How many counters that is taken from.
    pub keys: u64,
    /// Whether all of them were looked at, and not a sample.
    pub exact: bool,
}

/// A key that is refused often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// By which rule.
    pub policy: String,
    /// Its values.
    pub key: String,
    /// How often, at most.
    pub refused: u64,
    /// How much of that may be another's.
    pub error: u64,
}

/// The store that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Keys that it remembered in the end.
    pub keys: u64,
    /// Its memory in the end.
    pub bytes: u64,
    /// Keys that it forgot too early, to make room. Where there are some, limits were not exact.
    pub evictions: u64,
    /// Requests of keys for which there was no room.
    pub overflowed: u64,
}

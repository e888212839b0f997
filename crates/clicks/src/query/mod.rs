//! Questions to the statistics, and their answers.

pub(crate) mod answer;
mod bucket;
mod error;
mod list;
mod period;
pub(crate) mod plan;
mod scope;

use jiff::tz::TimeZone;
use tollgate_clock::UnixMillis;

pub use bucket::{Bucket, MAX_BUCKETS};
pub use error::QueryError;
pub use list::{ClickCursor, ClickPage, List, MAX_PAGE};
pub use period::{Period, QUARTER_MS, moment, zone};
pub use scope::{LinkName, Scope};

use crate::{Dimension, Value};

/// Whether clicks of programs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bots {
    /// All clicks are.
    #[default]
    Include,
    /// Only clicks of people are.
    Exclude,
    /// Only those of programs are.
    Only,
}

impl Bots {
    /// Whether a click is counted.
    #[must_use]
    pub const fn admits(self, bot: bool) -> bool {
        match self {
            Self::Include => true,
            Self::Exclude => !bot,
            Self::Only => bot,
        }
    }
}

impl std::str::FromStr for Bots {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        Ok(match text {
            "include" => Self::Include,
            "exclude" => Self::Exclude,
            "only" => Self::Only,
            text => return Err(QueryError::Bots(text.chars().take(64).collect())),
        })
    }
}

/// Clicks with this value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// In which dimension.
    pub dimension: Dimension,
    /// The value; `Value::Other` only meets clicks while they are counted, never raw ones.
    pub value: Value,
}

impl std::str::FromStr for Filter {
    type Err = QueryError;

    /// Reads `dimension=value`.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let (dimension, value) = text
            .split_once('=')
            .ok_or_else(|| QueryError::Filter(text.chars().take(64).collect()))?;
        Ok(Self {
            dimension: dimension.parse()?,
            value: Value::of(value),
        })
    }
}

/// A question to the statistics.
///
/// Without filters, or with one filter and a breakdown by no other dimension, roll-ups answer it,
/// for as long as the links exist. Otherwise raw clicks are read one by one: they have to be kept
/// still, and not to be too many.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which clicks.
    pub scope: Scope,
    /// When.
    pub period: Period,
    /// Where a day begins.
    pub zone: TimeZone,
    /// The length of the steps of the series.
    pub bucket: Bucket,
    /// What to count by.
    pub by: Vec<Dimension>,
    /// The most values of each dimension; all others are added up in [`Value::Other`].
    pub top: usize,
    /// Whether programs count.
    pub bots: Bots,
    /// All of them have to match.
    pub filters: Vec<Filter>,
    /// Count the period before, too.
    pub compare: bool,
}

impl Query {
    /// Everything of a scope in a period by the day in UTC: to be changed from there.
    #[must_use]
    pub const fn new(scope: Scope, period: Period) -> Self {
        Self {
            scope,
            period,
            zone: TimeZone::UTC,
            bucket: Bucket::Day,
            by: Vec::new(),
            top: 10,
            bots: Bots::Include,
            filters: Vec::new(),
            compare: false,
        }
    }
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// What was counted: the period of the query.
    pub period: Period,
    /// Clicks.
    pub total: u64,
    /// Visitors, estimated: see docs/statistics.md. A visitor of two days counts twice, because nothing is
    /// kept that would tell. None if a filter is answered by roll-ups, which do not know.
    pub unique: Option<u64>,
    /// Each step of the period, those without clicks included.
    pub series: Vec<Step>,
    /// For each dimension asked for, its values, most clicks first.
    pub by: Vec<Breakdown>,
    /// The period before, if asked for.
    pub previous: Option<Previous>,
    /// Whether raw clicks were read; otherwise roll-ups.
    pub from_raw: bool,
}

/// All clicks of a scope that were ever counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Those of people.
    pub people: u64,
    /// Those of programs.
    pub programs: u64,
}

impl Totals {
    /// Both.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.people.saturating_add(self.programs)
    }
}

/// A step of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins: the beginning of the bucket in the time zone, or of the period.
    pub start: UnixMillis,
    /// Clicks.
    pub clicks: u64,
    /// Visitors, as in [`Statistics`].
    pub unique: Option<u64>,
}

/// Clicks by a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// Which.
    pub dimension: Dimension,
    /// Most clicks first, then by the value; `Value::Other` last.
    pub values: Vec<Counted>,
}

/// Clicks of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The value.
    pub value: Value,
    /// Clicks.
    pub clicks: u64,
}

/// The period before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// When it was: as long as the period of the query, directly before it.
    pub period: Period,
    /// Clicks.
    pub total: u64,
    /// Visitors, as in [`Statistics`].
    pub unique: Option<u64>,
}

use std::fmt;
use std::str::FromStr;

use super::{Bots, Period, QueryError, Scope};
use crate::EnrichedClick;

/// The most clicks of one page.
pub const MAX_PAGE: usize = 1_000;

/// Asks for raw clicks, newest first: by the day on which they happened (UTC), and in it by when
/// they were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which clicks.
    pub scope: Scope,
    /// When; none is all that are kept.
    pub period: Option<Period>,
    /// Whether those of programs are listed.
    pub bots: Bots,
    /// Those behind this one, which an earlier page gave out.
    pub after: Option<ClickCursor>,
    /// The most clicks of the page; at most [`MAX_PAGE`].
    pub limit: usize,
}

/// A page of raw clicks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickPage {
    /// The clicks. What is not kept of them is empty: the campaign's query, and the network if it
    /// is not the full address.
    pub clicks: Vec<EnrichedClick>,
    /// Where the next page begins; none if there is none.
    pub next: Option<ClickCursor>,
}

/// A place in a listing. Written as text for clients, who need not understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickCursor {
    /// Days since 1970.
    pub(crate) day: i64,
    /// Which click of the day.
    pub(crate) number: i64,
}

impl fmt::Display for ClickCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.day, self.number)
    }
}

impl FromStr for ClickCursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let numbers = text
            .split_once('.')
            .and_then(|(day, number)| Some((day.parse().ok()?, number.parse().ok()?)));
        let (day, number) = numbers.ok_or(QueryError::BadCursor)?;
        Ok(Self { day, number })
    }
}

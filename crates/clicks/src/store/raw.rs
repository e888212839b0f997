//! Single clicks as engines with rows keep them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::AddrParseError;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use smol_str::SmolStr;
use tollgate_clock::UnixMillis;

use super::{EnrichedBatch, clicks_of};
use crate::query::{LinkName, Period};
use crate::rollup::{DAY_MS, RollupBatch, ScopeName};
use crate::{Click, ClickId, ClickKind, Dimension, EnrichedClick, Network, Snippet, Values};

/// How many days a click may be counted late, and still be kept single.
const LATEST_DAYS: i64 = 366;

/// A day, since 1970 in UTC, whose raw clicks are kept and dropped together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(pub(super) i64);

impl Day {
    /// The day of a moment.
    pub(super) const fn of(at: UnixMillis) -> Self {
        Self(at.as_millis().div_euclid(DAY_MS))
    }

    /// When it begins.
    pub(super) const fn start(self) -> UnixMillis {
        UnixMillis::from_millis(self.0.saturating_mul(DAY_MS))
    }

    /// The first and the last day of a period; of all time if there is none.
    pub(super) fn range(period: Option<Period>) -> (Self, Self) {
        period.map_or((Self(i64::MIN), Self(i64::MAX)), |period| {
            let last = UnixMillis::from_millis(period.to().as_millis() - 1);
            (Self::of(period.from()), Self::of(last))
        })
    }

    /// The first day whose raw clicks are kept.
    pub(super) fn kept(now: UnixMillis, retain: std::time::Duration) -> Self {
        if retain.is_zero() {
            // No click is so far in the future.
            return Self(Self::of(now).0 + 3);
        }
        // What is counted without a time is on the first day, and is no single clicks.
        Self::of(now.saturating_sub(retain)).max(Self(1))
    }

    /// The first day whose clicks are kept single when they are counted now. Those that are older than
    /// a year are not, however long others are kept: every day has a place of its own, and ten
    /// years of another shortener would make thousands at once.
    pub(super) fn taken(now: UnixMillis, retain: std::time::Duration) -> Self {
        Self::kept(now, retain).max(Self(Self::of(now).0 - LATEST_DAYS))
    }
}

/// As `2030-01-31`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.start().as_millis()) {
            Ok(start) => write!(f, "{}", TimeZone::UTC.to_datetime(start).date()),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// Dimensions with a column each.
fn dimensions() -> impl Iterator<Item = Dimension> {
    Dimension::ALL
        .into_iter()
        .filter(|dimension| *dimension <= Dimension::UtmContent)
}

/// Columns of text behind the others.
pub(super) const TEXTS: usize = 3 + Dimension::UtmContent as usize + 1;

/// Their names, in their order.
pub(super) fn text_columns() -> impl Iterator<Item = &'static str> {
    ["referrer_url", "user_agent", "accept_language"]
        .into_iter()
        .chain(dimensions().map(Dimension::name))
}

/// The names of all columns of a click, in the order of [`RawClick`].
pub(super) fn columns() -> Vec<&'static str> {
    let first = [
        "link", "domain", "orphan", "at", "process", "event", "bot", "adjusted", "visitor",
        "network",
    ];
    first.into_iter().chain(text_columns()).collect()
}

/// The beginning of a query for clicks, up to its condition: the number of each, domain and code of its
/// link, and the other columns of [`StoredClick`]. The table is called `raw`, that of links `scope`.
pub(super) fn selected(table: &dyn fmt::Display) -> String {
    let own = columns().into_iter().skip(2);
    let own: String = own.map(|column| format!(", raw.{column}")).collect();
    format!(
        "SELECT raw.number, scope.domain, scope.code{own} FROM {table} AS raw
         LEFT JOIN click_scopes AS scope ON scope.id = raw.link"
    )
}

/// A click on its way into its columns.
pub(super) struct RawClick<'c> {
    /// The scope of its link, and that of its domain; of an orphan, none.
    pub(super) link: Option<i64>,
    pub(super) domain: Option<i64>,
    /// Of an orphan, domain and code.
    pub(super) orphan: Option<String>,
    pub(super) at: i64,
    pub(super) process: i64,
    pub(super) event: i64,
    pub(super) bot: bool,
    pub(super) adjusted: bool,
    pub(super) visitor: Option<i64>,
    pub(super) network: Option<String>,
    pub(super) texts: [Option<&'c str>; TEXTS],
}

impl<'c> RawClick<'c> {
    fn of(enriched: &'c EnrichedClick, number: impl Fn(&ScopeName) -> Option<i64>) -> Self {
        let click = &enriched.click;
        let (link, domain, orphan) = match click.kind {
            ClickKind::Orphan => {
                let orphan = format!("{}/{}", click.domain, click.code);
                (None, None, Some(orphan))
            }
            ClickKind::Visit => {
                let link = ScopeName::Link(LinkName {
                    domain: click.domain.clone(),
                    code: click.code.clone(),
                });
                let domain = ScopeName::Domain(click.domain.clone());
                (number(&link), number(&domain), None)
            }
        };
        let mut texts = [None; TEXTS];
        let snippets = [&click.referrer, &click.user_agent, &click.language];
        let snippets = snippets.map(|snippet| snippet.as_ref().map(Snippet::as_str));
        let values =
            dimensions().map(|dimension| enriched.values.get(dimension).map(SmolStr::as_str));
        for (text, found) in texts.iter_mut().zip(snippets.into_iter().chain(values)) {
            *text = found;
        }
        Self {
            link,
            domain,
            orphan,
            at: click.at.as_millis(),
            process: click.id.process.cast_signed(),
            event: click.id.number.cast_signed(),
            bot: enriched.bot,
            adjusted: enriched.adjusted,
            visitor: click.visitor.map(u64::cast_signed),
            network: click.network.and_then(|network| match network {
                Network::Full(address) => Some(address.to_string()),
                Network::Truncated(_) => None,
            }),
            texts,
        }
    }
}

/// The raw clicks of batches.
#[derive(Default)]
pub(super) struct RawClicks<'c> {
    /// Those that are kept, by their day.
    pub(super) days: BTreeMap<Day, Vec<RawClick<'c>>>,
    /// The last day of which some are not.
    pub(super) late: Option<Day>,
}

impl<'c> RawClicks<'c> {
    /// Those of days before `keep` are not kept. `numbers` are those of the scopes of the roll-ups.
    pub(super) fn of(
        batches: &'c [EnrichedBatch],
        rollups: &RollupBatch,
        numbers: &[i64],
        keep: Day,
    ) -> Self {
        let numbers: BTreeMap<&ScopeName, i64> =
            rollups.scopes.iter().zip(numbers.iter().copied()).collect();
        let mut clicks = Self::default();
        for click in clicks_of(batches) {
            let day = Day::of(click.click.at);
            if day < keep {
                clicks.late = clicks.late.max(Some(day));
                continue;
            }
            let raw = RawClick::of(click, |name| numbers.get(name).copied());
            clicks.days.entry(day).or_default().push(raw);
        }
        clicks
    }
}

/// What the columns hold.
pub(super) struct StoredClick<'r> {
    /// Domain and code of its link; none if that was forgotten.
    pub(super) link: Option<(&'r str, &'r str)>,
    pub(super) orphan: Option<&'r str>,
    pub(super) at: i64,
    pub(super) process: i64,
    pub(super) event: i64,
    pub(super) bot: bool,
    pub(super) adjusted: bool,
    pub(super) visitor: Option<i64>,
    pub(super) network: Option<&'r str>,
    pub(super) texts: [Option<&'r str>; TEXTS],
}

impl StoredClick<'_> {
    /// The click; an error if it has an address that is none.
    pub(super) fn read(self) -> Result<EnrichedClick, AddrParseError> {
        let (kind, (domain, code)) = match self.orphan {
            Some(orphan) => (
                ClickKind::Orphan,
                orphan.split_once('/').unwrap_or(("", orphan)),
            ),
            None => (ClickKind::Visit, self.link.unwrap_or_default()),
        };
        let snippet = |place: usize| {
            self.texts[place].and_then(|text| Snippet::of(text.as_bytes(), usize::MAX))
        };
        let mut values = Values::default();
        for (dimension, text) in dimensions().zip(&self.texts[3..]) {
            values.set(dimension, text.map(SmolStr::new));
        }
        Ok(EnrichedClick {
            click: Click {
                id: ClickId {
                    process: self.process.cast_unsigned(),
                    number: self.event.cast_unsigned(),
                },
                at: UnixMillis::from_millis(self.at),
                domain: domain.into(),
                code: code.into(),
                kind,
                referrer: snippet(0),
                user_agent: snippet(1),
                language: snippet(2),
                campaign: None,
                visitor: self.visitor.map(i64::cast_unsigned),
                network: self.network.map(str::parse).transpose()?.map(Network::Full),
            },
            adjusted: self.adjusted,
            bot: self.bot,
            values,
        })
    }
}

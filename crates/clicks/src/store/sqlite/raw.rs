//! Single clicks, in a table for each day, which is dropped as a whole.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params_from_iter};
use smol_str::SmolStr;
use tollgate_clock::UnixMillis;
use tollgate_sqlite::rusqlite;

use super::damaged;
use crate::rollup::DAY_MS;
use crate::{Click, ClickId, ClickKind, Dimension, EnrichedClick, Network, Snippet, Values};

/// A day, since 1970 in UTC, that has a table.
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

    /// Its table.
    pub(super) const fn table(self) -> Table {
        Table(self)
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

/// The name of the table of a day.
pub(super) struct Table(Day);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"clicks_{}\"", self.0)
    }
}

/// Dimensions with a column each.
fn dimensions() -> impl Iterator<Item = Dimension> {
    Dimension::ALL
        .into_iter()
        .filter(|dimension| *dimension <= Dimension::UtmContent)
}

const FIRST_COLUMNS: &str = "link, domain, orphan, at, process, event, bot, adjusted, visitor, \
     network, referrer_url, user_agent, accept_language";
const FIRST_COUNT: usize = 13;

fn columns() -> String {
    let mut columns = FIRST_COLUMNS.to_owned();
    for dimension in dimensions() {
        columns.push_str(", ");
        columns.push_str(dimension.name());
    }
    columns
}

/// Makes the table of a day if it is not there.
pub(super) fn create(connection: &Connection, day: Day) -> rusqlite::Result<()> {
    let known = connection
        .prepare_cached("SELECT 1 FROM click_raw_days WHERE day = ?1")?
        .query_row([day.0], |_| Ok(()))
        .optional()?;
    if known.is_some() {
        return Ok(());
    }
    let table = day.table();
    let texts: String = dimensions()
        .map(|dimension| format!(", {} TEXT", dimension.name()))
        .collect();
    // Of an orphan, `orphan` is the code, and there is no link.
    connection.execute_batch(&format!(
        "CREATE TABLE {table}(
            number INTEGER PRIMARY KEY, link INTEGER, domain INTEGER, orphan TEXT,
            at INTEGER NOT NULL, process INTEGER NOT NULL, event INTEGER NOT NULL,
            bot INTEGER NOT NULL, adjusted INTEGER NOT NULL, visitor INTEGER, network TEXT,
            referrer_url TEXT, user_agent TEXT, accept_language TEXT{texts}
         ) STRICT;
         CREATE INDEX \"clicks_link_{day}\" ON {table}(link);
         CREATE INDEX \"clicks_domain_{day}\" ON {table}(domain);"
    ))?;
    connection.execute("INSERT INTO click_raw_days(day) VALUES (?1)", [day.0])?;
    Ok(())
}

/// What a raw click belongs to.
pub(super) enum Of {
    /// A link on a domain, by their scopes.
    Link { link: i64, domain: i64 },
    /// None: the code does not exist.
    Nothing,
}

/// Writes raw clicks of one day.
pub(super) fn insert<'c>(
    connection: &Connection,
    day: Day,
    clicks: impl Iterator<Item = (&'c Arc<EnrichedClick>, Of)>,
) -> rusqlite::Result<()> {
    create(connection, day)?;
    let columns = columns();
    let marks = columns
        .split(',')
        .map(|_| "?")
        .collect::<Vec<_>>()
        .join(",");
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO {}({columns}) VALUES ({marks})",
        day.table()
    ))?;
    for (enriched, of) in clicks {
        let click = &enriched.click;
        let (link, domain, orphan) = match of {
            Of::Link { link, domain } => (Some(link), Some(domain), None),
            Of::Nothing => (None, None, Some(orphan(click))),
        };
        let network = click.network.and_then(|network| match network {
            Network::Full(address) => Some(address.to_string()),
            Network::Truncated(_) => None,
        });
        let process = click.id.process.cast_signed();
        let event = click.id.number.cast_signed();
        let visitor = click.visitor.map(u64::cast_signed);
        let at = click.at.as_millis();
        let text = |snippet: &'c Option<Snippet>| snippet.as_ref().map(Snippet::as_str);
        let referrer = text(&click.referrer);
        let agent = text(&click.user_agent);
        let language = text(&click.language);
        let first: [&dyn ToSql; FIRST_COUNT] = [
            &link,
            &domain,
            &orphan,
            &at,
            &process,
            &event,
            &enriched.bot,
            &enriched.adjusted,
            &visitor,
            &network,
            &referrer,
            &agent,
            &language,
        ];
        let texts: Vec<Option<&str>> = dimensions()
            .map(|dimension| enriched.values.get(dimension).map(SmolStr::as_str))
            .collect();
        let all = first
            .into_iter()
            .chain(texts.iter().map(|text| text as &dyn ToSql));
        insert.execute(params_from_iter(all))?;
    }
    Ok(())
}

/// How the name of an orphan is stored.
fn orphan(click: &Click) -> String {
    format!("{}/{}", click.domain, click.code)
}

/// The columns of a click, for [`read`]; the table has to be called `raw`, with its scope beside it
/// as `scope`.
pub(super) fn selected() -> String {
    let columns = columns();
    let own: Vec<String> = columns
        .split(", ")
        .skip(2)
        .map(|column| format!("raw.{column}"))
        .collect();
    format!("raw.number, scope.domain, scope.code, {}", own.join(", "))
}

/// The tables of a query for [`selected`].
pub(super) fn from(day: Day) -> String {
    format!(
        "{} AS raw LEFT JOIN click_scopes AS scope ON scope.id = raw.link",
        day.table()
    )
}

/// Reads what [`selected`] names: the number of the click in its day, and the click.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<(i64, EnrichedClick)> {
    let text = |column: usize| -> rusqlite::Result<Option<&str>> {
        Ok(row.get_ref(column)?.as_str_or_null()?)
    };
    let orphan = text(3)?;
    let (kind, domain, code) = match orphan {
        Some(orphan) => {
            let (domain, code) = orphan.split_once('/').unwrap_or(("", orphan));
            (ClickKind::Orphan, domain, code)
        }
        None => (
            ClickKind::Visit,
            text(1)?.unwrap_or_default(),
            text(2)?.unwrap_or_default(),
        ),
    };
    let snippet = |column: usize| -> rusqlite::Result<Option<Snippet>> {
        Ok(text(column)?.and_then(|text| Snippet::of(text.as_bytes(), usize::MAX)))
    };
    let network = text(10)?
        .map(|address| address.parse().map_err(|error| damaged(10, error)))
        .transpose()?;
    let mut values = Values::default();
    for (place, dimension) in dimensions().enumerate() {
        values.set(dimension, text(14 + place)?.map(SmolStr::new));
    }
    let enriched = EnrichedClick {
        click: Click {
            id: ClickId {
                process: row.get::<_, i64>(5)?.cast_unsigned(),
                number: row.get::<_, i64>(6)?.cast_unsigned(),
            },
            at: UnixMillis::from_millis(row.get(4)?),
            domain: domain.into(),
            code: code.into(),
            kind,
            referrer: snippet(11)?,
            user_agent: snippet(12)?,
            language: snippet(13)?,
            campaign: None,
            visitor: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
            network: network.map(Network::Full),
        },
        adjusted: row.get(8)?,
        bot: row.get(7)?,
        values,
    };
    Ok((row.get(0)?, enriched))
}

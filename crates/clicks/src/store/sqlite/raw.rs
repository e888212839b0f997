//! Single clicks, in a table for each day, which is dropped as a whole.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params_from_iter};
use tollgate_sqlite::rusqlite;

use super::damaged;
use crate::EnrichedClick;
use crate::store::raw::{self, Day, RawClick, StoredClick, TEXTS, columns, text_columns};

/// The name of the table of a day.
pub(super) struct Table(pub(super) Day);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"clicks_{}\"", self.0)
    }
}

/// Whether a day has a table.
pub(super) fn is_there(connection: &Connection, day: Day) -> rusqlite::Result<bool> {
    let known = connection
        .prepare_cached("SELECT 1 FROM click_raw_days WHERE day = ?1")?
        .query_row([day.0], |_| Ok(()))
        .optional()?;
    Ok(known.is_some())
}

/// Makes the table of a day if it is not there.
pub(super) fn create(connection: &Connection, day: Day) -> rusqlite::Result<()> {
    if is_there(connection, day)? {
        return Ok(());
    }
    let table = Table(day);
    let texts: String = text_columns()
        .map(|name| format!(", {name} TEXT"))
        .collect();
    // Of an orphan, `orphan` is the code, and there is no link.
    connection.execute_batch(&format!(
        "CREATE TABLE {table}(
            number INTEGER PRIMARY KEY, link INTEGER, domain INTEGER, orphan TEXT,
            at INTEGER NOT NULL, process INTEGER NOT NULL, event INTEGER NOT NULL,
            bot INTEGER NOT NULL, adjusted INTEGER NOT NULL, visitor INTEGER, network TEXT{texts}
         ) STRICT;
         CREATE INDEX \"clicks_link_{day}\" ON {table}(link);
         CREATE INDEX \"clicks_domain_{day}\" ON {table}(domain);"
    ))?;
    connection.execute("INSERT INTO click_raw_days(day) VALUES (?1)", [day.0])?;
    Ok(())
}

/// Writes raw clicks of one day.
pub(super) fn insert(
    connection: &Connection,
    day: Day,
    clicks: &[RawClick<'_>],
) -> rusqlite::Result<()> {
    create(connection, day)?;
    let columns = columns();
    let marks = vec!["?"; columns.len()].join(", ");
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO {}({}) VALUES ({marks})",
        Table(day),
        columns.join(", ")
    ))?;
    for click in clicks {
        let first: [&dyn ToSql; 10] = [
            &click.link,
            &click.domain,
            &click.orphan,
            &click.at,
            &click.process,
            &click.event,
            &click.bot,
            &click.adjusted,
            &click.visitor,
            &click.network,
        ];
        let texts = click.texts.iter().map(|text| text as &dyn ToSql);
        insert.execute(params_from_iter(first.into_iter().chain(texts)))?;
    }
    Ok(())
}

/// The beginning of a query for [`read`].
pub(super) fn selected(day: Day) -> String {
    raw::selected(&Table(day))
}

/// Reads a row of [`selected`]: the number of the click in its day, and the click.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<(i64, EnrichedClick)> {
    let text = |column: usize| -> rusqlite::Result<Option<&str>> {
        Ok(row.get_ref(column)?.as_str_or_null()?)
    };
    let mut texts = [None; TEXTS];
    for (place, found) in texts.iter_mut().enumerate() {
        *found = text(11 + place)?;
    }
    let stored = StoredClick {
        link: text(1)?.zip(text(2)?),
        orphan: text(3)?,
        at: row.get(4)?,
        process: row.get(5)?,
        event: row.get(6)?,
        bot: row.get(7)?,
        adjusted: row.get(8)?,
        visitor: row.get(9)?,
        network: text(10)?,
        texts,
    };
    let click = stored.read().map_err(|error| damaged(10, error))?;
    Ok((row.get(0)?, click))
}

//! Finding entries.

use std::num::NonZeroUsize;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde::Deserialize;
use tollgate_clock::UnixMillis;

use crate::chain::Hash;
use crate::{Entry, Group, Outcome};

/// How many entries are looked at for a page: a page with few that fit is short, and the next goes on behind it.
const LOOKED_AT: i64 = 200_000;

/// Which entries are wanted. What is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only these actions.
    pub action: Option<Group>,
    /// Only of whoever has this identifier or name.
    pub actor: Option<String>,
    /// Only what was done to this.
    pub resource: Option<String>,
    /// Only from this address.
    pub address: Option<String>,
    /// Only with this result.
    pub result: Option<Outcome>,
    /// Only from then on.
    pub since: Option<UnixMillis>,
    /// Only before then.
    pub until: Option<UnixMillis>,
    /// Oldest first.
    pub ascending: bool,
    /// After the page that this came with.
    pub cursor: Option<i64>,
    /// At most so many.
    pub limit: Option<NonZeroUsize>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its number: each is one more than the one before.
    pub seq: i64,
    /// Its hash in hexadecimal digits, if there is a chain.
    pub hash: Option<String>,
    /// What it says, as JSON.
    pub text: String,
}

impl Recorded {
    pub(crate) const SEQ: &'static str = "seq";
    pub(crate) const HASH: &'static str = "hash";

    /// One line of JSON: what it says, with its number and its hash.
    #[must_use]
    pub fn line(&self) -> String {
        let (seq, hash) = (Self::SEQ, Self::HASH);
        let hash = match &self.hash {
            Some(text) => format!(r#""{hash}":"{text}","#),
            None => String::new(),
        };
        // It is an object with fields.
        let fields = self.text.strip_prefix('{').unwrap_or(&self.text);
        format!(r#"{{"{seq}":{},{hash}{fields}"#, self.seq)
    }

    /// What it says; none if somebody wrote something else into the file.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        serde_json::from_str(&self.text).ok()
    }
}

/// An entry as a [line](Recorded::line) of JSON tells it, but for its hash.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Numbered {
    /// Its number.
    pub seq: i64,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Some entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the order asked for.
    pub entries: Vec<Recorded>,
    /// Ask with this for the next page; none at the end.
    pub next: Option<i64>,
}

/// The entries that fit, among those that are looked at.
pub(crate) fn find(connection: &Connection, query: &Query) -> rusqlite::Result<Page> {
    let limit = query.limit.map_or(100, NonZeroUsize::get);
    let (oldest, newest): (Option<i64>, Option<i64>) = connection.query_row(
        "SELECT (SELECT min(seq) FROM audit_entries), (SELECT max(seq) FROM audit_entries)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (Some(oldest), Some(newest)) = (oldest, newest) else {
        return Ok(Page {
            entries: Vec::new(),
            next: None,
        });
    };
    let (first, last) = match (query.ascending, query.cursor) {
        (true, cursor) => {
            let first = cursor.map_or(oldest, |after| after.saturating_add(1).max(oldest));
            (first, first.saturating_add(LOOKED_AT - 1).min(newest))
        }
        (false, cursor) => {
            let last = cursor.map_or(newest, |before| before.saturating_sub(1).min(newest));
            (last.saturating_sub(LOOKED_AT - 1).max(oldest), last)
        }
    };
    let (sql, values) = statement(query, first, last, limit + 1);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        let hash: Option<[u8; 32]> = row.get(2)?;
        Ok(Recorded {
            seq: row.get(0)?,
            hash: hash.map(|hash| Hash(hash).to_string()),
            text: row.get(1)?,
        })
    })?;
    let mut entries: Vec<Recorded> = rows.collect::<rusqlite::Result<_>>()?;
    let next = if entries.len() > limit {
        entries.truncate(limit);
        entries.last().map(|entry| entry.seq)
    } else if query.ascending {
        (last < newest).then_some(last)
    } else {
        (first > oldest).then_some(first)
    };
    Ok(Page { entries, next })
}

/// Everything that comes from outside is bound, never a part of the text.
fn statement(query: &Query, first: i64, last: i64, limit: usize) -> (String, Vec<Sql>) {
    let mut sql = "SELECT seq, entry, hash FROM audit_entries WHERE seq BETWEEN ? AND ?".to_owned();
    let mut values = vec![Sql::from(first), Sql::from(last)];
    let mut only = |condition: &str, bound: &[Sql]| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend_from_slice(bound);
    };
    if let Some(at) = query.since {
        only("at >= ?", &[at.as_millis().into()]);
    }
    if let Some(at) = query.until {
        only("at < ?", &[at.as_millis().into()]);
    }
    if let Some(group) = &query.action {
        let name = group.as_str().to_owned();
        let within = format!("{name}.*");
        only(
            "(entry ->> '$.action' = ? OR entry ->> '$.action' GLOB ?)",
            &[name.into(), within.into()],
        );
    }
    if let Some(actor) = &query.actor {
        only(
            "(entry ->> '$.actor.id' = ? OR entry ->> '$.actor.name' = ?)",
            &[actor.clone().into(), actor.clone().into()],
        );
    }
    for (path, wanted) in [
        ("$.resource", query.resource.clone()),
        ("$.from.address", query.address.clone()),
        ("$.result", query.result.map(|it| it.as_str().to_owned())),
    ] {
        if let Some(wanted) = wanted {
            only(&format!("entry ->> '{path}' = ?"), &[wanted.into()]);
        }
    }
    sql.push_str(match query.ascending {
        true => " ORDER BY seq LIMIT ?",
        false => " ORDER BY seq DESC LIMIT ?",
    });
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    (sql, values)
}

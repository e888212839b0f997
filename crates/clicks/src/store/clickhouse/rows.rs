//! Rows on their way into the table, and out of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value, json};

use super::client::{Row, damaged};
use super::schema::kind;
use crate::query::LinkName;
use crate::rollup::{QUARTERS, ScopeName};
use crate::store::StoreError;
use crate::store::raw::{Day, RawClick, StoredClick, TEXTS, text_columns};
use crate::{EnrichedClick, Position, SourceId};

/// Bits of the number of a single click that tell those of one commit apart.
const WITHIN_COMMIT: u32 = 20;

/// What is written in one commit.
#[derive(Default)]
pub(super) struct Rows {
    lines: String,
    singles: i64,
}

impl Rows {
    pub(super) fn as_str(&self) -> &str {
        &self.lines
    }

    fn push(&mut self, row: &Value) {
        self.lines.push_str(&row.to_string());
        self.lines.push('\n');
    }

    /// That this commit is the last one, and who makes it.
    pub(super) fn head(&mut self, version: u64, owner: &str) {
        self.push(&json!({"kind": kind::HEAD, "version": version}));
        self.push(&json!({
            "kind": kind::COMMIT, "name": owner, "time": version, "version": version,
        }));
    }

    /// Up to where a source is counted.
    pub(super) fn source(&mut self, version: u64, source: &str, to: Position) {
        self.push(&json!({
            "kind": kind::SOURCE, "name": source, "version": version,
            "q0": to.segment, "q1": to.offset,
        }));
    }

    /// A roll-up.
    pub(super) fn rollup(&mut self, version: u64, key: &Key, rollup: &Stored) {
        let [q0, q1, q2, q3] = rollup.quarters;
        self.push(&json!({
            "kind": key.kind, "name": key.name, "bot": u8::from(key.bot), "time": key.time,
            "version": version, "q0": q0, "q1": q1, "q2": q2, "q3": q3,
            "visitors": STANDARD_NO_PAD.encode(&rollup.visitors),
            "counts": STANDARD_NO_PAD.encode(&rollup.counts),
        }));
    }

    /// A single click. `names` are those of the roll-ups.
    pub(super) fn single(
        &mut self,
        version: u64,
        day: Day,
        click: &RawClick<'_>,
        names: &[ScopeName],
    ) -> Result<(), StoreError> {
        let base = i64::try_from(version).ok();
        let base = base.and_then(|version| version.checked_mul(1 << WITHIN_COMMIT));
        let number = base.and_then(|base| base.checked_add(self.singles));
        let number = number.ok_or_else(|| damaged("commits beyond all numbers"))?;
        self.singles += 1;
        let name = |place: Option<i64>| {
            place
                .and_then(|place| usize::try_from(place).ok())
                .and_then(|place| names.get(place))
        };
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        put("kind", kind::RAW.into());
        put("time", day.0.into());
        put("number", number.into());
        put("version", version.into());
        if let Some(ScopeName::Link(link)) = name(click.link) {
            put("link", link_text(link).into());
        }
        if let Some(ScopeName::Domain(domain)) = name(click.domain) {
            put("domain", domain.as_str().into());
        }
        put("orphan", click.orphan.clone().into());
        put("at", click.at.into());
        put("process", click.process.into());
        put("event", click.event.into());
        put("program", u8::from(click.bot).into());
        put("adjusted", u8::from(click.adjusted).into());
        put("visitor", click.visitor.into());
        put("network", click.network.clone().into());
        for (column, text) in text_columns().zip(&click.texts) {
            if let Some(text) = text {
                put(column, (*text).into());
            }
        }
        self.push(&Value::Object(row));
        Ok(())
    }

    /// That single clicks of a day are being dropped.
    pub(super) fn dropped(&mut self, version: u64, day: Day, since: Day) {
        self.push(&json!({"kind": kind::DROPPED, "time": day.0, "version": version}));
        self.push(&json!({"kind": kind::SINCE, "at": since.0, "version": version}));
    }
}

/// The key of a roll-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: u8,
    pub(super) name: String,
    pub(super) bot: bool,
    pub(super) time: i64,
}

/// A roll-up as it is stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) quarters: [u64; QUARTERS],
    pub(super) visitors: Vec<u8>,
    pub(super) counts: Vec<u8>,
}

/// What [`read_rollup`] reads; `counts` may be left out.
pub(super) fn rollup_columns(counts: bool) -> String {
    let counts = if counts { "counts" } else { "''" };
    format!("kind, name, bot, time, q0, q1, q2, q3, visitors, {counts}")
}

pub(super) fn read_rollup(row: &Row) -> Result<(Key, Stored), StoreError> {
    let key = Key {
        kind: u8::try_from(unsigned(row, 0)?).map_err(damaged)?,
        name: text(row, 1)?.to_owned(),
        bot: unsigned(row, 2)? != 0,
        time: signed(row, 3)?,
    };
    let mut stored = Stored::default();
    for (place, clicks) in stored.quarters.iter_mut().enumerate() {
        *clicks = unsigned(row, 4 + place)?;
    }
    let bytes = |column| STANDARD_NO_PAD.decode(text(row, column)?).map_err(damaged);
    stored.visitors = bytes(4 + QUARTERS)?;
    stored.counts = bytes(5 + QUARTERS)?;
    Ok((key, stored))
}

/// What [`read_single`] reads.
pub(super) fn single_columns() -> String {
    let texts: String = text_columns()
        .map(|column| format!(", `{column}`"))
        .collect();
    format!("number, link, orphan, at, process, event, program, adjusted, visitor, network{texts}")
}

/// A single click, and its number.
pub(super) fn read_single(row: &Row) -> Result<(i64, EnrichedClick), StoreError> {
    let mut texts = [None; TEXTS];
    for (place, found) in texts.iter_mut().enumerate() {
        *found = row.get(10 + place).and_then(Value::as_str);
    }
    let stored = StoredClick {
        link: text(row, 1)?.split_once('/'),
        orphan: row.get(2).and_then(Value::as_str),
        at: signed(row, 3)?,
        process: signed(row, 4)?,
        event: signed(row, 5)?,
        bot: unsigned(row, 6)? != 0,
        adjusted: unsigned(row, 7)? != 0,
        visitor: row.get(8).and_then(Value::as_i64),
        network: row.get(9).and_then(Value::as_str),
        texts,
    };
    Ok((signed(row, 0)?, stored.read().map_err(damaged)?))
}

/// A source and up to where it is counted.
pub(super) fn read_source(row: &Row) -> Result<(SourceId, Position), StoreError> {
    let position = Position {
        segment: unsigned(row, 1)?,
        offset: unsigned(row, 2)?,
    };
    Ok((SourceId(text(row, 0)?.into()), position))
}

pub(super) fn text(row: &Row, column: usize) -> Result<&str, StoreError> {
    let value = row.get(column).and_then(Value::as_str);
    value.ok_or_else(|| damaged(format!("no text in column {column}")))
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, StoreError> {
    let value = row.get(column).and_then(Value::as_u64);
    value.ok_or_else(|| damaged(format!("no number in column {column}")))
}

pub(super) fn signed(row: &Row, column: usize) -> Result<i64, StoreError> {
    let value = row.get(column).and_then(Value::as_i64);
    value.ok_or_else(|| damaged(format!("no number in column {column}")))
}

/// How a scope is known.
pub(super) fn scope_text(scope: &ScopeName) -> String {
    // A domain has no slash.
    let (kind, domain, code) = scope.columns();
    format!("{kind}{domain}/{code}")
}

/// How the link of a single click is known.
pub(super) fn link_text(link: &LinkName) -> String {
    format!("{}/{}", link.domain, link.code)
}

//! The table.

use super::client::{Client, Row, damaged};
use crate::store::StoreError;
use crate::store::raw::text_columns;

/// All is in one table, because only what is inserted into one, into one partition, is there together or not at all.
pub(super) const TABLE: &str = "tollgate_clicks";
/// The version of what is in it.
const VERSION: u64 = 1;
/// The oldest server that does what is needed: rows that are deleted at once, and inserts that are known by a token.
const OLDEST: (u64, u64) = (23, 3);
/// Commits whose tokens the server remembers. One that comes later than so many others would be taken for a new
/// one: it would have to be under way for longer than any deadline.
const REMEMBERED: u64 = 10_000;

/// What a row is. The numbers are never used again.
pub(super) mod kind {
    /// The number of the last commit.
    pub(crate) const HEAD: u8 = 0;
    /// Up to where a source is counted.
    pub(crate) const SOURCE: u8 = 1;
    /// A roll-up of an hour, and of a day.
    pub(crate) const HOUR: u8 = 2;
    pub(crate) const DAY: u8 = 3;
    /// A single click.
    pub(crate) const RAW: u8 = 4;
    /// A day whose single clicks are being dropped.
    pub(crate) const DROPPED: u8 = 5;
    /// The first day of which none was.
    pub(crate) const SINCE: u8 = 6;
    /// Who made a commit.
    pub(crate) const COMMIT: u8 = 7;
    /// The version of the table.
    pub(crate) const SCHEMA: u8 = 8;
}

/// Makes the table if it is not there, and finds out whether it can be used.
pub(super) async fn prepare(client: &Client) -> Result<(), StoreError> {
    let version = client.rows("SELECT version()").await?;
    let version = text(&version, 0)?;
    let mut numbers = version.split('.').map(|part| part.parse::<u64>().ok());
    let found = (
        numbers.next().flatten().unwrap_or(0),
        numbers.next().flatten().unwrap_or(0),
    );
    if found < OLDEST {
        let (year, month) = OLDEST;
        return Err(StoreError::Unexpected(format!(
            "{} is version {version}: {year}.{month} or later is needed",
            client.place()
        )));
    }
    client.command(create()).await?;
    let rows = format!(r#"{{"kind":{},"version":0,"q0":{VERSION}}}"#, kind::SCHEMA);
    let known = format!(
        "SELECT max(q0) FROM {TABLE} FINAL WHERE kind = {}",
        kind::SCHEMA
    );
    let mut found = client.number(&known).await?;
    if found == 0 {
        client.insert(TABLE, "schema", &rows).await?;
        found = client.number(&known).await?;
    }
    if found > VERSION {
        return Err(StoreError::NewerSchema {
            place: client.place(),
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: VERSION as u32,
        });
    }
    Ok(())
}

fn text(rows: &[Row], column: usize) -> Result<&str, StoreError> {
    let value = rows.first().and_then(|row| row.get(column));
    value
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| damaged("no text"))
}

fn create() -> String {
    let texts: String = text_columns()
        .map(|column| format!(", `{column}` Nullable(String)"))
        .collect();
    // Of rows with the same key, the one of the newest commit counts.
    format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (
            kind UInt8, name String, bot UInt8, time Int64, number Int64, version UInt64,
            q0 UInt64, q1 UInt64, q2 UInt64, q3 UInt64,
            visitors String CODEC(ZSTD), counts String CODEC(ZSTD),
            link String, domain String, orphan Nullable(String), at Int64, process Int64,
            event Int64, program UInt8, adjusted UInt8, visitor Nullable(Int64),
            network Nullable(String){texts},
            INDEX links link TYPE bloom_filter GRANULARITY 4
         ) ENGINE = ReplacingMergeTree(version) ORDER BY (kind, name, bot, time, number)
         SETTINGS non_replicated_deduplication_window = {REMEMBERED},
            replicated_deduplication_window = {REMEMBERED},
            replicated_deduplication_window_seconds = 86400,
            fsync_after_insert = 1, fsync_part_directory = 1"
    )
}

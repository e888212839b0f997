//! The partitions of raw clicks: one for each day, made ahead and dropped as a whole.

use std::fmt;

use tollgate_postgres::{Failure, Session};

use super::schema;
use crate::rollup::DAY_MS;
use crate::store::raw::Day;

/// Days that are made ahead, today not counted.
const AHEAD: i64 = 7;
/// Days that are made in one transaction.
const CHUNK: usize = 16;

/// The partition of a day.
pub(super) struct Partition(pub(super) Day);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.0.to_string().replace('-', "_");
        write!(f, "\"click_raw_{day}\"")
    }
}

/// A day as it is stored.
pub(super) fn number(day: Day) -> i32 {
    i32::try_from(day.0).unwrap_or(if day.0 < 0 { i32::MIN } else { i32::MAX })
}

/// A day that was stored.
pub(super) fn day(number: i32) -> Day {
    Day(i64::from(number))
}

/// Makes the partitions of today and of the next days.
pub(super) async fn make_ahead(session: &mut Session, today: Day) -> Result<(), Failure> {
    let wanted: Vec<Day> = (today.0..=today.0 + AHEAD).map(Day).collect();
    prepare(session, &wanted).await
}

/// Makes the partitions of days, in transactions of their own: who needs the same ones need not wait
/// until clicks are counted, and those that were made stay if there is no time for all of them.
pub(super) async fn prepare(session: &mut Session, days: &[Day]) -> Result<(), Failure> {
    if days.is_empty() {
        return Ok(());
    }
    for some in missing(session, days, "").await?.chunks(CHUNK) {
        session.begin().await?;
        make(session, some).await?;
        session.commit().await?;
    }
    Ok(())
}

/// Sees to it, within a transaction, that days have a partition, and keep it until the end of the
/// transaction.
pub(super) async fn hold(session: &mut Session, days: &[Day]) -> Result<(), Failure> {
    if days.is_empty() {
        return Ok(());
    }
    // Somebody may have dropped one since it was prepared.
    let missing = missing(session, days, "FOR KEY SHARE").await?;
    if missing.is_empty() {
        return Ok(());
    }
    make(session, &missing).await
}

async fn missing(session: &mut Session, days: &[Day], held: &str) -> Result<Vec<Day>, Failure> {
    let numbers: Vec<i32> = days.iter().copied().map(number).collect();
    let sql = format!("SELECT day FROM click_raw_days WHERE day = ANY($1) {held}");
    let mut there = Vec::new();
    for row in session.rows(&sql, &[&numbers]).await? {
        there.push(row.try_get::<_, i32>(0)?);
    }
    let missing = days.iter().filter(|day| !there.contains(&number(**day)));
    Ok(missing.copied().collect())
}

/// Makes those that are not there, within a transaction.
async fn make(session: &mut Session, days: &[Day]) -> Result<(), Failure> {
    session
        .rows(
            "SELECT pg_advisory_xact_lock($1)",
            &[&schema::PARTITIONS_LOCK],
        )
        .await?;
    for day in missing(session, days, "FOR KEY SHARE").await? {
        let partition = Partition(day);
        let (from, to) = (day.start().as_millis(), Day(day.0 + 1).start().as_millis());
        // To attach a table keeps nobody from reading and writing the others, as making it a
        // partition from the beginning would.
        session
            .script(&format!(
                "CREATE TABLE {partition}(LIKE click_raw INCLUDING DEFAULTS);
                 ALTER TABLE click_raw ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({to});
                 INSERT INTO click_raw_days(day) VALUES ({})",
                number(day)
            ))
            .await?;
    }
    Ok(())
}

/// The days between two, both included, that have a partition.
pub(super) async fn between(
    session: &mut Session,
    (first, last): (Day, Day),
) -> Result<Vec<Day>, Failure> {
    let rows = session
        .rows(
            "SELECT day FROM click_raw_days WHERE day BETWEEN $1 AND $2 ORDER BY day",
            &[&number(first), &number(last)],
        )
        .await?;
    let mut days = Vec::with_capacity(rows.len());
    for row in rows {
        days.push(day(row.try_get(0)?));
    }
    Ok(days)
}

/// Notes that raw clicks of a day are not all there.
pub(super) async fn note_gone(session: &mut Session, day: Day) -> Result<(), Failure> {
    session
        .change(
            "UPDATE click_raw_since SET day = $1 WHERE day < $1",
            &[&number(Day(day.0 + 1))],
        )
        .await?;
    Ok(())
}

/// The first day of which no raw click was dropped.
pub(super) async fn raw_since(session: &mut Session) -> Result<Day, Failure> {
    let row = session.one("SELECT day FROM click_raw_since", &[]).await?;
    Ok(day(row.try_get(0)?))
}

/// The moments of a day, as `at` has them: from, and before.
pub(super) fn moments(day: Day) -> (i64, i64) {
    let from = day.start().as_millis();
    (from, from.saturating_add(DAY_MS))
}

//! Counting batches, in one transaction.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tollgate_postgres::{Failure, Row, Session};

use super::{days, number_of, raw, schema, scopes};
use crate::rollup::{DamagedRollup, Grain, QUARTERS, Rollup, RollupBatch, Sums};
use crate::store::raw::{Day, RawClicks};
use crate::store::{AddedTogether, EnrichedBatch};
use crate::{Position, SourceId};

/// Roll-ups in one statement.
const CHUNK: usize = 1_000;

/// Up to where each source is counted, in their order.
pub(super) async fn positions(
    session: &mut Session,
    sources: &[SourceId],
) -> Result<Vec<Position>, Failure> {
    let ids: Vec<&str> = sources.iter().map(|source| source.0.as_str()).collect();
    let sql = "SELECT id, segment, at FROM click_sources WHERE id = ANY($1)";
    let found = find(session, &ids, sql).await?;
    Ok(in_order(&ids, &found))
}

/// The same; nobody else changes them before the end of the transaction, in which nothing was done
/// yet.
async fn hold_positions(session: &mut Session, ids: &[&str]) -> Result<Vec<Position>, Failure> {
    // In one order, so that nobody waits in a circle.
    let sql = "SELECT id, segment, at FROM click_sources WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    let mut found = find(session, ids, sql).await?;
    if found.len() < ids.len() {
        // Who waits for others to make new ones must not hold any: so these first, and then all.
        session.roll_back().await?;
        session.begin().await?;
        session
            .change(
                "INSERT INTO click_sources(id, segment, at)
                 SELECT id, 0, 0 FROM unnest($1::text[]) AS id ORDER BY id COLLATE \"C\"
                 ON CONFLICT DO NOTHING",
                &[&ids],
            )
            .await?;
        found = find(session, ids, sql).await?;
    }
    Ok(in_order(ids, &found))
}

type Positions = HashMap<String, Position, RandomState>;

async fn find(session: &mut Session, ids: &[&str], sql: &str) -> Result<Positions, Failure> {
    let rows = session.rows(sql, &[&ids]).await?;
    let read = |row: &Row| {
        let position = Position {
            segment: row.try_get::<_, i64>(1)?.cast_unsigned(),
            offset: row.try_get::<_, i64>(2)?.cast_unsigned(),
        };
        Ok((row.try_get(0)?, position))
    };
    rows.iter().map(read).collect()
}

fn in_order(ids: &[&str], found: &Positions) -> Vec<Position> {
    let of = |id: &&str| found.get(*id).copied().unwrap_or_default();
    ids.iter().map(of).collect()
}

/// Counts batches if each source is counted up to where its batch begins. Raw clicks of days before `keep`
/// are not kept.
pub(super) async fn add(
    session: &mut Session,
    batches: &[EnrichedBatch],
    rollups: &RollupBatch,
    keep: Day,
) -> Result<AddedTogether, Failure> {
    let scopes = scopes::make(session, &rollups.scopes).await?;
    let RawClicks { days: raw, late } = RawClicks::of(batches, rollups, &scopes, keep);
    let with_clicks: Vec<Day> = raw.keys().copied().collect();
    days::prepare(session, &with_clicks).await?;
    session.begin().await?;
    let ids: Vec<&str> = batches
        .iter()
        .map(|batch| batch.source.0.as_str())
        .collect();
    let positions = hold_positions(session, &ids).await?;
    let after = batches.iter().map(|batch| batch.after);
    if !after.eq(positions.iter().copied()) {
        session.roll_back().await?;
        return Ok(AddedTogether::Elsewhere(positions));
    }
    if let Some(late) = late {
        days::note_gone(session, late).await?;
    }
    if !rollups.rollups.is_empty() {
        days::hold(session, &with_clicks).await?;
        for clicks in raw.into_values() {
            raw::insert(session, &clicks).await?;
        }
        let lane = lane(session, &ids).await?;
        add_rollups(session, rollups, &scopes, lane).await?;
    }
    let to = || batches.iter().map(|batch| batch.to);
    let segments: Vec<i64> = to().map(|to| to.segment.cast_signed()).collect();
    let offsets: Vec<i64> = to().map(|to| to.offset.cast_signed()).collect();
    session
        .change(
            "UPDATE click_sources AS source SET segment = new.segment, at = new.at
             FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new(id, segment, at)
             WHERE source.id = new.id",
            &[&ids, &segments, &offsets],
        )
        .await?;
    session.commit().await?;
    Ok(AddedTogether::Counted)
}

/// Takes a lane until the end of the transaction: the first that nobody has, so that one instance
/// alone always has the same; waits for one only if all are taken.
async fn lane(session: &mut Session, ids: &[&str]) -> Result<i16, Failure> {
    let free = session
        .row(
            "SELECT lane FROM generate_series(0, $2::integer) AS lane
             WHERE pg_try_advisory_xact_lock($1, lane) LIMIT 1",
            &[&schema::LANE_LOCKS, &i32::from(schema::LANES - 1)],
        )
        .await?;
    if let Some(row) = free {
        let lane: i32 = row.try_get(0)?;
        return Ok(lane as i16);
    }
    let first = ids.first().copied().unwrap_or_default();
    let hash = xxhash_rust::xxh3::xxh3_64(first.as_bytes());
    let lane = (hash % schema::LANES.cast_unsigned() as u64) as i16;
    session
        .rows(
            "SELECT pg_advisory_xact_lock($1, $2)",
            &[&schema::LANE_LOCKS, &i32::from(lane)],
        )
        .await?;
    Ok(lane)
}

/// A roll-up by what its row is found by: scope, programs or people, hour or day.
type Key = (i64, bool, i32);
type Of<'r> = (Key, &'r Rollup);

async fn add_rollups(
    session: &mut Session,
    rollups: &RollupBatch,
    scopes: &[i64],
    lane: i16,
) -> Result<(), Failure> {
    let (mut hours, mut days): (Vec<Of<'_>>, Vec<Of<'_>>) = Default::default();
    for ((scope, bot, grain), rollup) in &rollups.rollups {
        let (grains, number) = match grain {
            Grain::Hour(number) => (&mut hours, number),
            Grain::Day(number) => (&mut days, number),
        };
        let number = i32::try_from(*number).unwrap_or(i32::MAX);
        grains.push(((scopes[*scope], *bot, number), rollup));
    }
    for chunk in hours.chunks(CHUNK) {
        add_hours(session, rollups, chunk, lane).await?;
    }
    for chunk in days.chunks(CHUNK) {
        add_days(session, rollups, chunk, lane).await?;
    }
    Ok(())
}

/// Columns of roll-ups.
#[derive(Default)]
struct Columns {
    scopes: Vec<i64>,
    bots: Vec<bool>,
    times: Vec<i32>,
    visitors: Vec<Vec<u8>>,
    counts: Vec<Vec<u8>>,
}

impl Columns {
    fn keys(chunk: &[Of<'_>]) -> Self {
        let mut columns = Self::default();
        for ((scope, bot, time), _) in chunk {
            columns.scopes.push(*scope);
            columns.bots.push(*bot);
            columns.times.push(*time);
        }
        columns
    }

    fn push(&mut self, sums: Sums) {
        let (visitors, counts) = sums.into_bytes();
        self.visitors.push(visitors);
        self.counts.push(counts);
    }
}

/// What is stored of roll-ups.
type Stored<const CLICKS: usize> = HashMap<Key, ([u64; CLICKS], Sums), RandomState>;

/// Reads rows of key, clicks, visitors and counts.
async fn stored<const CLICKS: usize>(
    session: &mut Session,
    sql: &str,
    keys: &Columns,
    lane: i16,
) -> Result<Stored<CLICKS>, Failure> {
    let rows = session
        .rows(sql, &[&keys.scopes, &keys.bots, &keys.times, &lane])
        .await?;
    let mut stored = Stored::default();
    for row in rows {
        let key = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let mut clicks = [0; CLICKS];
        for (place, clicks) in clicks.iter_mut().enumerate() {
            *clicks = number_of(&row, 3 + place)?;
        }
        let (visitors, counts) = (3 + CLICKS, 4 + CLICKS);
        let sums = Sums::read(row.try_get(visitors)?, row.try_get(counts)?).map_err(damaged)?;
        stored.insert(key, (clicks, sums));
    }
    Ok(stored)
}

async fn add_hours(
    session: &mut Session,
    batch: &RollupBatch,
    chunk: &[Of<'_>],
    lane: i16,
) -> Result<(), Failure> {
    let mut columns = Columns::keys(chunk);
    let mut stored: Stored<QUARTERS> = stored(
        session,
        "SELECT scope, bot, hour, q0, q1, q2, q3, visitors, counts
         FROM unnest($1::bigint[], $2::boolean[], $3::integer[]) AS key(scope, bot, hour)
         JOIN click_hours USING (scope, bot, hour) WHERE lane = $4",
        &columns,
        lane,
    )
    .await?;
    let mut quarters: [Vec<i64>; QUARTERS] = Default::default();
    for (key, rollup) in chunk {
        let (before, mut sums) = stored.remove(key).unwrap_or_default();
        for (place, column) in quarters.iter_mut().enumerate() {
            column.push(to_store(
                before[place].saturating_add(rollup.quarters[place]),
            ));
        }
        sums.add(batch, rollup);
        columns.push(sums);
    }
    let [q0, q1, q2, q3] = &quarters;
    session
        .change(
            "INSERT INTO click_hours(scope, bot, hour, lane, q0, q1, q2, q3, visitors, counts)
             SELECT scope, bot, hour, $4, q0, q1, q2, q3, visitors, counts
             FROM unnest($1::bigint[], $2::boolean[], $3::integer[], $5::bigint[], $6::bigint[],
                 $7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[])
                 AS new(scope, bot, hour, q0, q1, q2, q3, visitors, counts)
             ON CONFLICT (scope, bot, hour, lane) DO UPDATE SET q0 = excluded.q0,
                 q1 = excluded.q1, q2 = excluded.q2, q3 = excluded.q3,
                 visitors = excluded.visitors, counts = excluded.counts",
            &[
                &columns.scopes,
                &columns.bots,
                &columns.times,
                &lane,
                q0,
                q1,
                q2,
                q3,
                &columns.visitors,
                &columns.counts,
            ],
        )
        .await?;
    Ok(())
}

async fn add_days(
    session: &mut Session,
    batch: &RollupBatch,
    chunk: &[Of<'_>],
    lane: i16,
) -> Result<(), Failure> {
    let mut columns = Columns::keys(chunk);
    let mut stored: Stored<1> = stored(
        session,
        "SELECT scope, bot, day, clicks, visitors, counts
         FROM unnest($1::bigint[], $2::boolean[], $3::integer[]) AS key(scope, bot, day)
         JOIN click_days USING (scope, bot, day) WHERE lane = $4",
        &columns,
        lane,
    )
    .await?;
    let mut clicks = Vec::with_capacity(chunk.len());
    for (key, rollup) in chunk {
        let ([before], mut sums) = stored.remove(key).unwrap_or_default();
        clicks.push(to_store(
            before.saturating_add(rollup.quarters.iter().sum()),
        ));
        sums.add(batch, rollup);
        columns.push(sums);
    }
    session
        .change(
            "INSERT INTO click_days(scope, bot, day, lane, clicks, visitors, counts)
             SELECT scope, bot, day, $4, clicks, visitors, counts
             FROM unnest($1::bigint[], $2::boolean[], $3::integer[], $5::bigint[], $6::bytea[],
                 $7::bytea[]) AS new(scope, bot, day, clicks, visitors, counts)
             ON CONFLICT (scope, bot, day, lane) DO UPDATE SET clicks = excluded.clicks,
                 visitors = excluded.visitors, counts = excluded.counts",
            &[
                &columns.scopes,
                &columns.bots,
                &columns.times,
                &lane,
                &clicks,
                &columns.visitors,
                &columns.counts,
            ],
        )
        .await?;
    Ok(())
}

/// Its integers have a sign.
fn to_store(clicks: u64) -> i64 {
    i64::try_from(clicks).unwrap_or(i64::MAX)
}

/// A roll-up that nothing of ours wrote.
pub(super) fn damaged(error: DamagedRollup) -> Failure {
    Failure::Damaged(error.to_string())
}

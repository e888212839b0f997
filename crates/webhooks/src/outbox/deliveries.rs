//! Messages and what becomes of them.

use rusqlite::{Connection, Row, params};
use tollgate_clock::UnixMillis;

use super::{Delivery, DeliveryPage, DeliveryState, Sent, Waiting};
use crate::SigningSecret;

/// How much of an error is kept.
const MAX_ERROR_CHARS: usize = 300;

pub(super) fn list(
    db: &Connection,
    subscription: &str,
    state: Option<DeliveryState>,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<DeliveryPage> {
    let mut select = db.prepare_cached(
        "SELECT number, id, kind, state, queued_at, attempts, next_at, last_at, last_status,
            last_error, body
         FROM deliveries
         WHERE subscription = ?1 AND number < ?2 AND (?3 IS NULL OR state = ?3)
         ORDER BY number DESC LIMIT ?4",
    )?;
    let rows = select.query_map(
        params![
            subscription,
            before.unwrap_or(i64::MAX),
            state.map(DeliveryState::number),
            // One more than is shown tells whether there is another page.
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
        ],
        |row| Ok((row.get::<_, i64>(0)?, delivery(row)?)),
    )?;
    let mut page = rows.collect::<rusqlite::Result<Vec<(i64, Delivery)>>>()?;
    let more = page.len() > limit;
    page.truncate(limit);
    Ok(DeliveryPage {
        next: page.last().map(|(number, _)| *number).filter(|_| more),
        deliveries: page.into_iter().map(|(_, delivery)| delivery).collect(),
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state = DeliveryState::of(row.get(3)?);
    let next_at = UnixMillis::from_millis(row.get(6)?);
    Ok(Delivery {
        id: row.get(1)?,
        kind: row.get(2)?,
        state,
        queued_at: UnixMillis::from_millis(row.get(4)?),
        attempts: row.get(5)?,
        next_at: (state == DeliveryState::Waiting).then_some(next_at),
        last_at: row.get::<_, Option<i64>>(7)?.map(UnixMillis::from_millis),
        last_status: row.get(8)?,
        last_error: row.get(9)?,
        body: row.get(10)?,
    })
}

pub(super) fn send_again(
    db: &Connection,
    subscription: &str,
    id: &str,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE deliveries SET state = 0, attempts = 0, next_at = ?3, claimed_until = 0
             WHERE subscription = ?1 AND id = ?2",
        )?
        .execute(params![subscription, id, now.as_millis()])?;
    Ok(changed == 1)
}

pub(super) fn claim(
    db: &Connection,
    now: UnixMillis,
    claimed_until: UnixMillis,
    in_flight: usize,
    limit: usize,
) -> rusqlite::Result<Vec<Waiting>> {
    let now = now.as_millis();
    let mut of = db.prepare_cached(
        "SELECT id, url, secret, iif(old_until > ?1, old_secret, NULL) FROM subscriptions
         WHERE paused = 0",
    )?;
    let mut flying = db.prepare_cached(
        "SELECT count(*) FROM deliveries WHERE state = 0 AND subscription = ?1
            AND claimed_until > ?2",
    )?;
    let mut due = db.prepare_cached(
        "SELECT id, body, attempts FROM deliveries WHERE state = 0 AND subscription = ?1
            AND next_at <= ?2 AND claimed_until <= ?2 ORDER BY next_at LIMIT ?3",
    )?;
    let mut claim = db.prepare_cached("UPDATE deliveries SET claimed_until = ?2 WHERE id = ?1")?;
    let mut waiting = Vec::new();
    let mut subscriptions = of.query([now])?;
    while let Some(row) = subscriptions.next()?
        && waiting.len() < limit
    {
        let (id, url): (String, String) = (row.get(0)?, row.get(1)?);
        let secrets: Vec<SigningSecret> = [row.get(2)?, row.get::<_, Option<String>>(3)?]
            .into_iter()
            .flatten()
            .map(SigningSecret::from_stored)
            .collect();
        let flying: i64 = flying.query_row(params![id, now], |row| row.get(0))?;
        let free = in_flight.saturating_sub(usize::try_from(flying).unwrap_or(usize::MAX));
        let most = i64::try_from(free.min(limit - waiting.len())).unwrap_or(i64::MAX);
        let rows = due.query_map(params![id, now, most], |row| {
            Ok(Waiting {
                id: row.get(0)?,
                url: url.clone(),
                secrets: secrets.clone(),
                body: row.get(1)?,
                attempts: row.get(2)?,
            })
        })?;
        for message in rows {
            let message = message?;
            claim.execute(params![message.id, claimed_until.as_millis()])?;
            waiting.push(message);
        }
    }
    Ok(waiting)
}

pub(super) fn sent(db: &Connection, sent: &Sent) -> rusqlite::Result<()> {
    let state = match (&sent.error, sent.next_at) {
        (None, _) => DeliveryState::Delivered,
        (Some(_), Some(_)) => DeliveryState::Waiting,
        (Some(_), None) => DeliveryState::Dead,
    };
    let error = sent.error.as_ref();
    let error: Option<String> = error.map(|text| text.chars().take(MAX_ERROR_CHARS).collect());
    db.prepare_cached(
        "UPDATE deliveries SET state = ?2, attempts = attempts + 1, claimed_until = 0,
            next_at = coalesce(?3, next_at), last_at = ?4, last_status = ?5, last_error = ?6
         WHERE id = ?1",
    )?
    .execute(params![
        sent.id,
        state.number(),
        sent.next_at.map(UnixMillis::as_millis),
        sent.at.as_millis(),
        sent.status,
        error,
    ])?;
    Ok(())
}

pub(super) fn waiting(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM deliveries WHERE state = 0")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

pub(super) fn forget(db: &Connection, before: UnixMillis) -> rusqlite::Result<u64> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM deliveries WHERE number IN (
                SELECT number FROM deliveries WHERE state <> 0 AND last_at < ?1
                ORDER BY last_at LIMIT 1000)",
        )?
        .execute([before.as_millis()])?;
    Ok(deleted as u64)
}

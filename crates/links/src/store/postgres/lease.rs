//! What code strategies share. Each function is atomic for all instances: one statement, or a
//! transaction that holds the row everyone else needs.

use std::time::Duration;

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Session};

use super::row::damaged;
use crate::Code;
use crate::store::columns::row_count;
use crate::store::{Block, PoolCode, WorkerLease};

/// The secret of this name.
pub(super) async fn secret(
    session: &mut Session,
    name: &str,
    candidate: [u8; 32],
) -> Result<[u8; 32], Failure> {
    // Two statements: the second sees what another instance was faster to commit.
    session
        .change(
            "INSERT INTO link_secrets(name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&name, &candidate.as_slice()],
        )
        .await?;
    let row = session
        .one("SELECT secret FROM link_secrets WHERE name = $1", &[&name])
        .await?;
    let secret = row.try_get::<_, &[u8]>(0)?;
    secret.try_into().map_err(|error| damaged("secret", error))
}

/// The next numbers of a counter; `None` at its end.
pub(super) async fn lease_block(
    session: &mut Session,
    counter: &str,
    size: u64,
) -> Result<Option<Block>, Failure> {
    // As text: there is no unsigned number of 64 bits.
    let row = session
        .row(
            "INSERT INTO link_counters AS counter(name, next) VALUES ($1, $2::text::numeric)
             ON CONFLICT (name) DO UPDATE SET next = counter.next + excluded.next
                WHERE counter.next + excluded.next <= 18446744073709551615
             RETURNING next::text",
            &[&counter, &size.to_string()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let end = row.try_get::<_, &str>(0)?;
    let end: u64 = end.parse().map_err(|error| damaged("next", error))?;
    let begin = end.checked_sub(size);
    begin
        .map(|begin| Some(begin..end))
        .ok_or_else(|| damaged("next", "smaller than what was added"))
}

/// The next fence. Until the commit, no other lease is given.
async fn next_fence(session: &mut Session) -> Result<i64, Failure> {
    let row = session
        .one("UPDATE link_fences SET last = last + 1 RETURNING last", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// The lowest worker number that is free.
pub(super) async fn acquire_worker(
    session: &mut Session,
    workers: u16,
    now: UnixMillis,
    ttl: Duration,
) -> Result<Option<WorkerLease>, Failure> {
    session.begin().await?;
    let fence = next_fence(session).await?;
    let expires_at = now.saturating_add(ttl);
    let lease = loop {
        let free = session
            .row(
                "SELECT number FROM generate_series(0, $1::integer - 1) AS number
                 WHERE NOT EXISTS (
                    SELECT FROM link_workers WHERE worker = number AND expires_at > $2)
                 ORDER BY number LIMIT 1",
                &[&i32::from(workers), &now.as_millis()],
            )
            .await?;
        let Some(free) = free else { break None };
        let worker: i32 = free.try_get(0)?;
        // Its last holder may renew it at this moment: whoever is first has it.
        let taken = session
            .change(
                "INSERT INTO link_workers AS held(worker, fence, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (worker) DO UPDATE
                    SET fence = excluded.fence, expires_at = excluded.expires_at
                    WHERE held.expires_at <= $4",
                &[&worker, &fence, &expires_at.as_millis(), &now.as_millis()],
            )
            .await?;
        if taken == 1 {
            break Some(WorkerLease {
                worker: u16::try_from(worker).map_err(|error| damaged("worker", error))?,
                fence: fence.cast_unsigned(),
                expires_at,
            });
        }
    };
    session.commit().await?;
    Ok(lease)
}

/// A longer lease, if it is still this holder's.
pub(super) async fn renew_worker(
    session: &mut Session,
    lease: WorkerLease,
    expires_at: UnixMillis,
) -> Result<Option<WorkerLease>, Failure> {
    let renewed = session
        .change(
            "UPDATE link_workers SET expires_at = $3 WHERE worker = $1 AND fence = $2",
            &[
                &i32::from(lease.worker),
                &lease.fence.cast_signed(),
                &expires_at.as_millis(),
            ],
        )
        .await?;
    Ok((renewed == 1).then_some(WorkerLease {
        expires_at,
        ..lease
    }))
}

/// Gives a worker number back. The new fence keeps whoever released it from renewing it.
pub(super) async fn release_worker(
    session: &mut Session,
    lease: WorkerLease,
    free_from: UnixMillis,
) -> Result<(), Failure> {
    session.begin().await?;
    let fence = next_fence(session).await?;
    session
        .change(
            "UPDATE link_workers SET expires_at = $3, fence = $4 WHERE worker = $1 AND fence = $2",
            &[
                &i32::from(lease.worker),
                &lease.fence.cast_signed(),
                &free_from.as_millis(),
                &fence,
            ],
        )
        .await?;
    session.commit().await
}

/// Adds codes that are not there yet.
pub(super) async fn pool_add(
    session: &mut Session,
    codes: &[Code],
    available_at: UnixMillis,
) -> Result<(), Failure> {
    let codes: Vec<&str> = codes.iter().map(Code::as_str).collect();
    // In one order everywhere, or two that add the same could wait for each other.
    session
        .change(
            "INSERT INTO link_pool(code, available_at)
             SELECT code, $2 FROM unnest($1::text[]) AS code ORDER BY code COLLATE \"C\"
             ON CONFLICT DO NOTHING",
            &[&codes, &available_at.as_millis()],
        )
        .await?;
    Ok(())
}

/// Takes codes, the longest available first.
pub(super) async fn pool_take(
    session: &mut Session,
    count: usize,
    now: UnixMillis,
    ttl: Duration,
) -> Result<Vec<PoolCode>, Failure> {
    let rows = session
        .rows(
            "WITH picked AS (
                SELECT code, available_at FROM link_pool WHERE available_at <= $1
                ORDER BY available_at, code LIMIT $2 FOR UPDATE SKIP LOCKED),
             taken AS (
                UPDATE link_pool SET available_at = $3 FROM picked
                WHERE link_pool.code = picked.code RETURNING link_pool.code)
             SELECT picked.code FROM picked JOIN taken USING (code)
             ORDER BY picked.available_at, picked.code",
            &[
                &now.as_millis(),
                &row_count(count),
                &now.saturating_add(ttl).as_millis(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| Ok(PoolCode(Code::from_stored(row.try_get::<_, &str>(0)?))))
        .collect()
}

/// Removes codes for good.
pub(super) async fn pool_remove(session: &mut Session, codes: &[PoolCode]) -> Result<(), Failure> {
    let codes: Vec<&str> = codes.iter().map(|PoolCode(code)| code.as_str()).collect();
    session
        .change("DELETE FROM link_pool WHERE code = ANY($1)", &[&codes])
        .await?;
    Ok(())
}

/// How many codes can be taken.
pub(super) async fn pool_available(session: &mut Session, now: UnixMillis) -> Result<u64, Failure> {
    let row = session
        .one(
            "SELECT count(*) FROM link_pool WHERE available_at <= $1",
            &[&now.as_millis()],
        )
        .await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

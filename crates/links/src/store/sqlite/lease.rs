//! What code strategies share. Each function runs inside a write transaction, which no other
//! process can interleave with.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tollgate_clock::UnixMillis;

use super::row::damaged;
use crate::Code;
use crate::store::columns::row_count;
use crate::store::{Block, PoolCode, WorkerLease};

/// The secret of this name.
pub(super) fn secret(
    connection: &Connection,
    name: &str,
    candidate: [u8; 32],
) -> rusqlite::Result<[u8; 32]> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO secrets(name, secret) VALUES (?1, ?2)")?
        .execute((name, candidate.as_slice()))?;
    connection
        .prepare_cached("SELECT secret FROM secrets WHERE name = ?1")?
        .query_row([name], |row| {
            let secret = row.get_ref(0)?.as_blob()?;
            secret.try_into().map_err(|error| damaged(0, error))
        })
}

/// The next numbers of a counter; `None` at its end.
pub(super) fn lease_block(
    connection: &Connection,
    counter: &str,
    size: u64,
) -> rusqlite::Result<Option<Block>> {
    let next = connection
        .prepare_cached("SELECT next FROM counters WHERE name = ?1")?
        .query_row([counter], |row| row.get::<_, i64>(0))
        .optional()?
        .unwrap_or(0)
        .cast_unsigned();
    let Some(end) = next.checked_add(size) else {
        return Ok(None);
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO counters(name, next) VALUES (?1, ?2)")?
        .execute((counter, end.cast_signed()))?;
    Ok(Some(next..end))
}

fn next_fence(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("UPDATE fences SET last = last + 1 RETURNING last")?
        .query_row([], |row| row.get(0))
}

/// The lowest worker number that is free.
pub(super) fn acquire_worker(
    connection: &Connection,
    workers: u16,
    now: UnixMillis,
    ttl: Duration,
) -> rusqlite::Result<Option<WorkerLease>> {
    let held = connection
        .prepare_cached("SELECT worker FROM workers WHERE expires_at > ?1 ORDER BY worker")?
        .query_map([now.as_millis()], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<u16>>>()?;
    let Some(worker) = (0..workers).find(|worker| held.binary_search(worker).is_err()) else {
        return Ok(None);
    };
    let fence = next_fence(connection)?;
    let expires_at = now.saturating_add(ttl);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO workers(worker, fence, expires_at) VALUES (?1, ?2, ?3)",
        )?
        .execute((worker, fence, expires_at.as_millis()))?;
    Ok(Some(WorkerLease {
        worker,
        fence: fence.cast_unsigned(),
        expires_at,
    }))
}

/// A longer lease, if it is still this holder's.
pub(super) fn renew_worker(
    connection: &Connection,
    lease: WorkerLease,
    expires_at: UnixMillis,
) -> rusqlite::Result<Option<WorkerLease>> {
    let renewed = connection
        .prepare_cached("UPDATE workers SET expires_at = ?3 WHERE worker = ?1 AND fence = ?2")?
        .execute((
            lease.worker,
            lease.fence.cast_signed(),
            expires_at.as_millis(),
        ))?;
    Ok((renewed == 1).then_some(WorkerLease {
        expires_at,
        ..lease
    }))
}

/// Gives a worker number back. The new fence keeps whoever released it from renewing it.
pub(super) fn release_worker(
    connection: &Connection,
    lease: WorkerLease,
    free_from: UnixMillis,
) -> rusqlite::Result<()> {
    let fence = next_fence(connection)?;
    connection
        .prepare_cached(
            "UPDATE workers SET expires_at = ?3, fence = ?4 WHERE worker = ?1 AND fence = ?2",
        )?
        .execute((
            lease.worker,
            lease.fence.cast_signed(),
            free_from.as_millis(),
            fence,
        ))?;
    Ok(())
}

/// Adds codes that are not there yet.
pub(super) fn pool_add(
    connection: &Connection,
    codes: &[Code],
    available_at: UnixMillis,
) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO pool(code, available_at) VALUES (?1, ?2)")?;
    for code in codes {
        insert.execute((code.as_str(), available_at.as_millis()))?;
    }
    Ok(())
}

/// Takes codes, the longest available first.
pub(super) fn pool_take(
    connection: &Connection,
    count: usize,
    now: UnixMillis,
    ttl: Duration,
) -> rusqlite::Result<Vec<PoolCode>> {
    let codes = connection
        .prepare_cached(
            "SELECT code FROM pool WHERE available_at <= ?1 ORDER BY available_at, code LIMIT ?2",
        )?
        .query_map((now.as_millis(), row_count(count)), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Box<str>>>>()?;
    let back_at = now.saturating_add(ttl).as_millis();
    let mut update =
        connection.prepare_cached("UPDATE pool SET available_at = ?2 WHERE code = ?1")?;
    for code in &codes {
        update.execute((code.as_ref(), back_at))?;
    }
    let codes = codes.into_iter().map(Code::from_stored);
    Ok(codes.map(PoolCode).collect())
}

/// Removes codes for good.
pub(super) fn pool_remove(connection: &Connection, codes: &[PoolCode]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM pool WHERE code = ?1")?;
    for PoolCode(code) in codes {
        delete.execute([code.as_str()])?;
    }
    Ok(())
}

/// How many codes can be taken.
pub(super) fn pool_available(connection: &Connection, now: UnixMillis) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM pool WHERE available_at <= ?1")?
        .query_row([now.as_millis()], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

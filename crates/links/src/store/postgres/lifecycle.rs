//! Links in the order in which they are made, and in which they expire.

use parking_lot::Mutex;
use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Session};

use super::row::read_link;
use crate::Link;
use crate::store::Expiry;
use crate::store::columns::{Stored, columns, page, row_count};

/// Up to where the numbers of links are settled: nobody will commit a lower one any more. Numbers are
/// given before commits, so a link may become visible after others with higher numbers.
#[derive(Default)]
pub(super) struct Settled(Mutex<State>);

#[derive(Clone, Copy, Default)]
struct State {
    upto: i64,
    /// A number, and a transaction that began after it was given: when all transactions before
    /// have ended, it is settled.
    next: Option<(i64, i64)>,
}

/// Links made after a position.
pub(super) async fn made(
    session: &mut Session,
    settled: &Settled,
    after: Option<i64>,
    limit: usize,
) -> Result<(Vec<Link>, i64), Failure> {
    let newest = session
        .one(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM links_id_seq",
            &[],
        )
        .await?;
    let newest: i64 = newest.try_get(0)?;
    // Ahead of the database: it was replaced by an older one.
    let Some(after) = after.filter(|after| *after <= newest) else {
        *settled.0.lock() = State::default();
        return Ok((Vec::new(), newest));
    };
    let upto = settle(session, settled, newest).await?;
    if upto <= after {
        return Ok((Vec::new(), after));
    }
    let rows = session
        .rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM links WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"
            ),
            &[&after, &upto, &row_count(limit)],
        )
        .await?;
    let found = rows.iter().map(read_link).collect::<Result<Vec<_>, _>>()?;
    Ok(page(found, limit, |last| last.id, upto))
}

/// Finds out what is settled by now.
pub(super) async fn settle(
    session: &mut Session,
    settled: &Settled,
    newest: i64,
) -> Result<i64, Failure> {
    let State { upto, next } = *settled.0.lock();
    if upto == newest {
        return Ok(upto);
    }
    let (number, transaction) = match next {
        Some(next) => next,
        None => {
            let row = session.one("SELECT txid_current()", &[]).await?;
            (newest, row.try_get(0)?)
        }
    };
    let row = session
        .one("SELECT txid_snapshot_xmin(txid_current_snapshot())", &[])
        .await?;
    let oldest: i64 = row.try_get(0)?;
    let state = if oldest >= transaction {
        State {
            upto: number,
            next: None,
        }
    } else {
        State {
            upto,
            next: Some((number, transaction)),
        }
    };
    *settled.0.lock() = state;
    Ok(state.upto)
}

pub(super) async fn expired(
    session: &mut Session,
    after: Expiry,
    until: UnixMillis,
    limit: usize,
) -> Result<(Vec<Link>, Expiry), Failure> {
    let found = expiring(session, after, until, limit).await?;
    // Never back, should the clock be.
    let end = after.max(Expiry::behind(until));
    Ok(page(found, limit, |last| behind(last, until), end))
}

/// The position behind a link that has expired.
pub(in crate::store) fn behind(last: &Stored, until: UnixMillis) -> Expiry {
    Expiry {
        at: last.link.spec.expires_at.unwrap_or(until),
        link: last.id,
    }
}

/// Links that expired, with their numbers.
pub(super) async fn expiring(
    session: &mut Session,
    after: Expiry,
    until: UnixMillis,
    limit: usize,
) -> Result<Vec<Stored>, Failure> {
    let rows = session
        .rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM links WHERE (expires_at, id) > ($1, $2) AND expires_at <= $3
                  ORDER BY expires_at, id LIMIT $4"
            ),
            &[
                &after.at.as_millis(),
                &after.link,
                &until.as_millis(),
                &row_count(limit),
            ],
        )
        .await?;
    rows.iter().map(read_link).collect()
}

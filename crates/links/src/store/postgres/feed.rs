//! The feed of changes.

use tollgate_postgres::{Failure, Session};

use crate::store::{ChangeSeq, Changes, FEED_BATCH};
use crate::{Code, Domain, LinkKey};

/// Where followers are woken.
pub(super) const CHANNEL: &str = "tollgate_links";

/// Tells of changes, and keeps the newest `capacity` of all. The last thing a transaction does before
/// its commit: from here on others that change links wait for it.
pub(super) async fn push(
    session: &mut Session,
    keys: &[&LinkKey],
    capacity: u64,
) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let codes: Vec<&str> = keys.iter().map(|key| key.code.as_str()).collect();
    let domains: Vec<&str> = keys.iter().map(|key| key.domain.as_str()).collect();
    session
        .change(
            "WITH head AS (
                UPDATE link_feed_head SET last = last + cardinality($1::text[]) RETURNING last)
             INSERT INTO link_feed(seq, code, domain)
             SELECT head.last - cardinality($1::text[]) + n, code, domain
             FROM head, unnest($1::text[], $2::text[]) WITH ORDINALITY AS given(code, domain, n)",
            &[&codes, &domains],
        )
        .await?;
    let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
    session
        .rows(
            "WITH trimmed AS (
                DELETE FROM link_feed WHERE seq <= (SELECT last FROM link_feed_head) - $1)
             SELECT pg_notify($2, '')",
            &[&capacity, &CHANNEL],
        )
        .await?;
    Ok(())
}

/// Reads numbered changes after a position, up to so many, and the number of the newest: from a table, and that of its
/// head.
macro_rules! changes_in {
    ($table:literal, $head:literal) => {
        concat!(
            "SELECT head.last, feed.seq, feed.code, feed.domain FROM ",
            $head,
            " AS head LEFT JOIN LATERAL (
                SELECT seq, code, domain FROM ",
            $table,
            " WHERE seq > $1 ORDER BY seq LIMIT $2
             ) AS feed ON TRUE
             ORDER BY feed.seq"
        )
    };
}
pub(in crate::store) use changes_in;

/// What changed after a position.
pub(super) async fn changes(
    session: &mut Session,
    after: Option<ChangeSeq>,
) -> Result<Changes, Failure> {
    read_changes(session, changes_in!("link_feed", "link_feed_head"), after).await
}

/// The same by a statement that [`changes_in`] makes.
pub(in crate::store) async fn read_changes(
    session: &mut Session,
    statement: &'static str,
    after: Option<ChangeSeq>,
) -> Result<Changes, Failure> {
    let from = after.map(|ChangeSeq(seq)| i64::try_from(seq).unwrap_or(i64::MAX));
    let rows = session
        .rows(statement, &[&from, &(FEED_BATCH as i64)])
        .await?;
    let head = rows
        .first()
        .map(|row| row.try_get::<_, i64>(0))
        .transpose()?;
    let newest = head.unwrap_or(0).cast_unsigned();
    let now_on = |lost| Changes {
        keys: Vec::new(),
        upto: ChangeSeq(newest),
        lost,
    };
    let Some(ChangeSeq(after)) = after.filter(|after| after.0 != newest) else {
        return Ok(now_on(false));
    };
    let mut changes = Changes {
        keys: Vec::new(),
        upto: ChangeSeq(after),
        lost: false,
    };
    for row in &rows {
        let seq = row.try_get::<_, Option<i64>>(1)?.map(i64::cast_unsigned);
        // Trimmed, or a position from before the database was replaced by an older one.
        if seq != Some(changes.upto.0 + 1) {
            return Ok(now_on(true));
        }
        changes.upto = ChangeSeq(changes.upto.0 + 1);
        changes.keys.push(LinkKey {
            code: Code::from_stored(row.try_get::<_, &str>(2)?),
            domain: Domain::from_stored(row.try_get(3)?),
        });
    }
    Ok(changes)
}

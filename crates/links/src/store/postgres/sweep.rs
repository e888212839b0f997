//! Taking away what has had its time, a bounded number of rows at once.

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Session};

use super::row::read_link;
use super::{edit, feed};
use crate::store::Swept;
use crate::store::columns::{columns, row_count};
use crate::{Link, LinkKey, Origin};

/// Deletes links that expired and forgets tokens, at most `limit` of each. What another instance is
/// sweeping is left to it.
pub(super) async fn sweep(
    session: &mut Session,
    before: UnixMillis,
    tokens_before: UnixMillis,
    limit: usize,
    feed_capacity: u64,
) -> Result<Swept, Failure> {
    let limit = row_count(limit);
    session.begin().await?;
    let rows = session
        .rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM links WHERE expires_at < $1 ORDER BY expires_at, id LIMIT $2
                 FOR UPDATE SKIP LOCKED"
            ),
            &[&before.as_millis(), &limit],
        )
        .await?;
    let (mut ids, mut links) = (Vec::new(), Vec::new());
    for row in &rows {
        let stored = read_link(row)?;
        ids.push(stored.id);
        links.push(stored.link);
    }
    if !links.is_empty() {
        let expired: Vec<&Link> = links.iter().collect();
        edit::remove(session, &ids, &expired).await?;
        let codes: Vec<&str> = links.iter().map(|link| link.key.code.as_str()).collect();
        let domains: Vec<&str> = links.iter().map(|link| link.key.domain.as_str()).collect();
        session
            .change(
                "DELETE FROM link_history USING unnest($1::text[], $2::text[]) AS gone(code, domain)
                 WHERE link_history.code = gone.code AND link_history.domain = gone.domain",
                &[&codes, &domains],
            )
            .await?;
    }
    let tokens = session
        .change(
            "DELETE FROM link_tokens WHERE id IN (
                SELECT id FROM link_tokens WHERE at < $1 ORDER BY at, id LIMIT $2
                FOR UPDATE SKIP LOCKED)",
            &[&tokens_before.as_millis(), &limit],
        )
        .await?;
    let keys: Vec<&LinkKey> = links.iter().map(|link| &link.key).collect();
    feed::push(session, &keys, feed_capacity).await?;
    session.commit().await?;
    let mut swept = Swept {
        tokens: usize::try_from(tokens).unwrap_or(usize::MAX),
        ..Swept::default()
    };
    for link in links {
        if link.origin == Origin::Pool {
            swept.pool_codes.push(link.key.code.clone());
        }
        swept.links.push(link.key);
    }
    Ok(swept)
}

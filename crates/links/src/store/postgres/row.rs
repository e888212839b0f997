//! A link as a row.

use tollgate_clock::UnixMillis;
use tollgate_postgres::{Failure, Row, Session};

use crate::store::columns::{Stored, columns, origin_of, read_rules, read_tags};
use crate::{Code, Domain, Link, LinkKey, LinkSpec, PasswordHash, RedirectKind, TargetUrl};

/// The statement behind every redirect that is not in memory.
pub(super) const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM links WHERE code = $1 AND domain = $2"
);

/// The same, and nobody else changes the link until the end of the transaction.
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM links WHERE code = $1 AND domain = $2 FOR UPDATE"
);

/// The link of this name.
pub(super) async fn find(session: &mut Session, key: &LinkKey) -> Result<Option<Stored>, Failure> {
    // The server refuses this character, which no link's name has.
    if key.code.as_str().contains('\0') {
        return Ok(None);
    }
    let row = session
        .row(FIND, &[&key.code.as_str(), &key.domain.as_str()])
        .await?;
    row.as_ref().map(read_link).transpose()
}

/// The link of this name, held until the end of the transaction.
pub(super) async fn hold(session: &mut Session, key: &LinkKey) -> Result<Option<Stored>, Failure> {
    let row = session
        .row(FIND_FOR_UPDATE, &[&key.code.as_str(), &key.domain.as_str()])
        .await?;
    row.as_ref().map(read_link).transpose()
}

/// A value in a column that nothing of ours can have written.
pub(super) fn damaged(column: &'static str, reason: impl std::fmt::Display) -> Failure {
    Failure::Damaged(format!("the column {column}: {reason}"))
}

/// Reads a row of [`columns`].
pub(super) fn read_link(row: &Row) -> Result<Stored, Failure> {
    let at = |column: usize| {
        row.try_get::<_, Option<i64>>(column)
            .map(|ms| ms.map(UnixMillis::from_millis))
    };
    let text = |column: usize| row.try_get::<_, Option<&str>>(column);
    let tags = text(15)?.map(read_tags).transpose();
    let rules = text(18)?.map(read_rules).transpose();
    let max_clicks = row.try_get::<_, Option<i64>>(12)?.map(i64::cast_unsigned);
    let redirect = row.try_get::<_, Option<i16>>(13)?.map(i16::cast_unsigned);
    let spec = LinkSpec {
        target: TargetUrl::from_stored(row.try_get::<_, &str>(3)?),
        starts_at: at(10)?,
        expires_at: at(11)?,
        max_clicks: max_clicks
            .map(|max| max.try_into().map_err(|error| damaged("max_clicks", error)))
            .transpose()?,
        redirect: redirect
            .map(|status| {
                RedirectKind::try_from(status).map_err(|error| damaged("redirect", error))
            })
            .transpose()?,
        password: text(14)?.map(PasswordHash::from_phc),
        tags: tags
            .map_err(|error| damaged("tags", error))?
            .unwrap_or_default(),
        title: row.try_get(16)?,
        forward_query: row.try_get(17)?,
        rules: rules
            .map_err(|error| damaged("rules", error))?
            .unwrap_or_default(),
    };
    let origin = u8::try_from(row.try_get::<_, i16>(4)?)
        .ok()
        .and_then(origin_of);
    let link = Link {
        key: LinkKey {
            domain: Domain::from_stored(row.try_get(1)?),
            code: Code::from_stored(row.try_get::<_, &str>(2)?),
        },
        spec,
        origin: origin.ok_or_else(|| damaged("origin", "no such origin"))?,
        created_at: UnixMillis::from_millis(row.try_get(5)?),
        updated_at: UnixMillis::from_millis(row.try_get(6)?),
        created_by: row.try_get(7)?,
        version: row.try_get::<_, i64>(8)?.cast_unsigned(),
        clicks_used: row.try_get::<_, i64>(9)?.cast_unsigned(),
    };
    Ok(Stored {
        id: row.try_get(0)?,
        link,
    })
}

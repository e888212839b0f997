//! A link as a row.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use tollgate_clock::UnixMillis;

use crate::store::columns::{Stored, columns, origin_of, read_rules, read_tags};
use crate::{Code, Domain, Link, LinkKey, LinkSpec, PasswordHash, RedirectKind, TargetUrl};

/// A value in a column that nothing of ours can have written.
pub(super) fn damaged(
    column: usize,
    reason: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, reason.into())
}

/// The link of this name.
pub(super) fn find(connection: &Connection, key: &LinkKey) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM links WHERE code = ?1 AND domain = ?2"
        ))?
        .query_row((key.code.as_str(), key.domain.as_str()), read_link)
        .optional()
}

/// Reads a row of [`columns`].
pub(super) fn read_link(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let at = |column| {
        row.get::<_, Option<i64>>(column)
            .map(|ms| ms.map(UnixMillis::from_millis))
    };
    let redirect = row.get::<_, Option<u16>>(13)?;
    let tags = match row.get_ref(15)?.as_str_or_null()? {
        None => Vec::new(),
        Some(json) => read_tags(json).map_err(|error| damaged(15, error))?,
    };
    let rules = match row.get_ref(18)?.as_str_or_null()? {
        None => Vec::new(),
        Some(json) => read_rules(json).map_err(|error| damaged(18, error))?,
    };
    let max_clicks = row.get::<_, Option<i64>>(12)?.map(i64::cast_unsigned);
    let spec = LinkSpec {
        target: TargetUrl::from_stored(row.get::<_, Box<str>>(3)?),
        starts_at: at(10)?,
        expires_at: at(11)?,
        max_clicks: max_clicks
            .map(|max| max.try_into().map_err(|error| damaged(12, error)))
            .transpose()?,
        redirect: redirect
            .map(|status| RedirectKind::try_from(status).map_err(|error| damaged(13, error)))
            .transpose()?,
        password: row
            .get::<_, Option<Box<str>>>(14)?
            .map(PasswordHash::from_phc),
        tags,
        title: row.get(16)?,
        forward_query: row.get(17)?,
        rules,
    };
    let link = Link {
        key: LinkKey {
            domain: Domain::from_stored(row.get_ref(1)?.as_str()?),
            code: Code::from_stored(row.get::<_, Box<str>>(2)?),
        },
        spec,
        origin: origin_of(row.get(4)?).ok_or_else(|| damaged(4, "no such origin"))?,
        created_at: UnixMillis::from_millis(row.get(5)?),
        updated_at: UnixMillis::from_millis(row.get(6)?),
        created_by: row.get(7)?,
        version: row.get::<_, i64>(8)?.cast_unsigned(),
        clicks_used: row.get::<_, i64>(9)?.cast_unsigned(),
    };
    Ok(Stored {
        id: row.get(0)?,
        link,
    })
}

/// A value that no column can keep.
pub(super) fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

//! A link as a row.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use tollgate_clock::UnixMillis;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    Code, Domain, Link, LinkKey, LinkSpec, Origin, PasswordHash, RedirectKind, Rule, Tag, TargetUrl,
};

/// The columns [`read_link`] takes, in its order.
macro_rules! columns {
    () => {
        "id, domain, code, url, origin, created_at, updated_at, created_by, version, clicks_used, \
         starts_at, expires_at, max_clicks, redirect, password, tags, title, forward_query, rules"
    };
}
pub(super) use columns;

/// A link and the number that tells the order of insertion.
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) link: Link,
}

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
        Some(json) => {
            serde_json::from_str::<Vec<Rule>>(json).map_err(|error| damaged(18, error))?
        }
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

fn read_tags(json: &str) -> serde_json::Result<Vec<Tag>> {
    let tags: Vec<std::borrow::Cow<'_, str>> = serde_json::from_str(json)?;
    Ok(tags.iter().map(|tag| Tag::from_stored(tag)).collect())
}

/// The tags as the column keeps them.
pub(super) fn tags_column(spec: &LinkSpec) -> rusqlite::Result<Option<String>> {
    json_column(&spec.tags)
}

/// The rules as the column keeps them.
pub(super) fn rules_column(spec: &LinkSpec) -> rusqlite::Result<Option<String>> {
    json_column(&spec.rules)
}

fn json_column<T: serde::Serialize>(list: &[T]) -> rusqlite::Result<Option<String>> {
    if list.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(list)
        .map(Some)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Equal for equal specs on the same domain; the other way round only very probably, so whoever
/// finds a link by it compares once more.
pub(super) fn fingerprint(domain: &Domain, spec: &LinkSpec) -> rusqlite::Result<i64> {
    // A destructuring, so that a new field of the spec cannot be forgotten here.
    let LinkSpec {
        target,
        starts_at,
        expires_at,
        max_clicks,
        redirect,
        password,
        tags,
        title,
        forward_query,
        rules,
    } = spec;
    let mut hash = Xxh3::new();
    let mut put = |field: Option<&[u8]>| match field {
        // The length keeps apart what would run together.
        Some(bytes) => {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        None => hash.update(&u64::MAX.to_le_bytes()),
    };
    put(Some(domain.as_str().as_bytes()));
    put(Some(target.as_str().as_bytes()));
    for at in [starts_at, expires_at] {
        put(at
            .map(|at| at.as_millis().to_le_bytes())
            .as_ref()
            .map(<[u8; 8]>::as_slice));
    }
    put(max_clicks
        .map(|max| max.get().to_le_bytes())
        .as_ref()
        .map(<[u8; 8]>::as_slice));
    put(redirect
        .map(|kind| kind.status().to_le_bytes())
        .as_ref()
        .map(<[u8; 2]>::as_slice));
    put(password.as_ref().map(|hash| hash.as_phc().as_bytes()));
    put(title.as_ref().map(String::as_bytes));
    put(Some(&[u8::from(*forward_query)]));
    for tag in tags {
        put(Some(tag.as_str().as_bytes()));
    }
    put(json_column(rules)?.as_deref().map(str::as_bytes));
    Ok(hash.digest().cast_signed())
}

/// The number a row holds for an origin; never changes.
pub(super) const fn origin_number(origin: Origin) -> u8 {
    match origin {
        Origin::Alias => 0,
        Origin::Counter => 1,
        Origin::Hash => 2,
        Origin::Snowflake => 3,
        Origin::Pool => 4,
        Origin::Random => 5,
    }
}

const fn origin_of(number: u8) -> Option<Origin> {
    Some(match number {
        0 => Origin::Alias,
        1 => Origin::Counter,
        2 => Origin::Hash,
        3 => Origin::Snowflake,
        4 => Origin::Pool,
        5 => Origin::Random,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_reads_back() {
        for origin in [
            Origin::Alias,
            Origin::Counter,
            Origin::Hash,
            Origin::Snowflake,
            Origin::Pool,
            Origin::Random,
        ] {
            assert_eq!(origin_of(origin_number(origin)), Some(origin));
        }
        assert_eq!(origin_of(6), None);
    }

    #[test]
    fn a_fingerprint_keeps_fields_apart() {
        let print = |change: fn(&mut LinkSpec)| {
            let mut spec = LinkSpec::to(TargetUrl::from_stored("https://a.example/"));
            change(&mut spec);
            fingerprint(&Domain::default_domain(), &spec).unwrap()
        };
        assert_eq!(print(|_| ()), print(|_| ()));
        assert_ne!(
            print(|spec| spec.starts_at = Some(UnixMillis::from_millis(5))),
            print(|spec| spec.expires_at = Some(UnixMillis::from_millis(5)))
        );
        assert_ne!(
            print(|spec| spec.tags = vec![Tag::from_stored("ab")]),
            print(|spec| spec.tags = vec![Tag::from_stored("a"), Tag::from_stored("b")])
        );
    }
}

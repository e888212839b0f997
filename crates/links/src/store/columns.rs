//! What engines with rows keep in columns that need thought, the same in all of them. The shared cache
//! writes those fields in the same way.

use xxhash_rust::xxh3::Xxh3;

use super::EditAction;
use crate::{Domain, Link, LinkSpec, Origin, Rule, Tag};

/// The columns of a link, in the order in which engines read them.
macro_rules! columns {
    () => {
        "id, domain, code, url, origin, created_at, updated_at, created_by, version, clicks_used, \
         starts_at, expires_at, max_clicks, redirect, password, tags, title, forward_query, rules"
    };
}
pub(super) use columns;

/// A link and the number that tells the order of insertion.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) link: Link,
}

/// A page of links, and the position to go on from: behind the last of a full one, or else `end`.
pub(super) fn page<P>(
    found: Vec<Stored>,
    limit: usize,
    behind: impl FnOnce(&Stored) -> P,
    end: P,
) -> (Vec<Link>, P) {
    let upto = match found.last() {
        Some(last) if found.len() >= limit => behind(last),
        _ => end,
    };
    let links = found.into_iter().map(|stored| stored.link);
    (links.collect(), upto)
}

/// A number of rows, as statements are given it.
pub(super) fn row_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads [`tags_column`].
pub(crate) fn read_tags(json: &str) -> serde_json::Result<Vec<Tag>> {
    let tags: Vec<std::borrow::Cow<'_, str>> = serde_json::from_str(json)?;
    Ok(tags.iter().map(|tag| Tag::from_stored(tag)).collect())
}

/// Reads [`rules_column`].
pub(crate) fn read_rules(json: &str) -> serde_json::Result<Vec<Rule>> {
    serde_json::from_str(json)
}

/// The tags as the column keeps them.
pub(crate) fn tags_column(spec: &LinkSpec) -> serde_json::Result<Option<String>> {
    json_column(&spec.tags)
}

/// The rules as the column keeps them.
pub(crate) fn rules_column(spec: &LinkSpec) -> serde_json::Result<Option<String>> {
    json_column(&spec.rules)
}

fn json_column<T: serde::Serialize>(list: &[T]) -> serde_json::Result<Option<String>> {
    if list.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(list).map(Some)
}

/// Equal for equal specs on the same domain; the other way round only very probably, so whoever
/// finds a link by it compares once more.
pub(super) fn fingerprint(domain: &Domain, spec: &LinkSpec) -> serde_json::Result<i64> {
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
pub(crate) const fn origin_number(origin: Origin) -> u8 {
    match origin {
        Origin::Alias => 0,
        Origin::Counter => 1,
        Origin::Hash => 2,
        Origin::Snowflake => 3,
        Origin::Pool => 4,
        Origin::Random => 5,
    }
}

/// Reads [`origin_number`].
pub(crate) const fn origin_of(number: u8) -> Option<Origin> {
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

/// The number a row holds for an action; never changes.
pub(super) const fn action_number(action: EditAction) -> u8 {
    match action {
        EditAction::Created => 0,
        EditAction::Updated => 1,
        EditAction::Deleted => 2,
    }
}

/// Reads [`action_number`].
pub(super) const fn action_of(number: u8) -> Option<EditAction> {
    Some(match number {
        0 => EditAction::Created,
        1 => EditAction::Updated,
        2 => EditAction::Deleted,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tollgate_clock::UnixMillis;

    use super::*;
    use crate::TargetUrl;

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

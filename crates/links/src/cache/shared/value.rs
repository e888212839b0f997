//! A link as the shared cache holds it: the number of the format, and a record in postcard. Names, which are
//! in the key, are left out.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;

use crate::store::columns;
use crate::{Link, LinkKey, LinkSpec, PasswordHash, RedirectKind, TargetUrl};

/// Grows with each change of [`Value`] or [`Record`]. Servers read no other than their own.
const FORMAT: u8 = 1;

/// What was found in the store.
#[derive(Debug, Serialize, Deserialize)]
struct Value<'a> {
    /// How long the store took, in microseconds.
    took: u64,
    /// Nothing if there is no such link.
    #[serde(borrow)]
    link: Option<Record<'a>>,
}

/// Texts are borrowed where that can be.
#[derive(Debug, Serialize, Deserialize)]
struct Record<'a> {
    target: &'a str,
    starts_at: Option<i64>,
    expires_at: Option<i64>,
    max_clicks: Option<NonZeroU64>,
    redirect: Option<u16>,
    password: Option<&'a str>,
    #[serde(borrow)]
    tags: Option<Cow<'a, str>>,
    title: Option<&'a str>,
    forward_query: bool,
    #[serde(borrow)]
    rules: Option<Cow<'a, str>>,
    origin: u8,
    created_at: i64,
    updated_at: i64,
    created_by: &'a str,
    version: u64,
    clicks_used: u64,
}

/// Writes a link, or that there is none. `None` if it cannot be written, which no link has shown.
pub(super) fn encode(link: Option<&Link>, took: Duration) -> Option<Vec<u8>> {
    let value = Value {
        took: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        link: match link {
            Some(link) => Some(record(link)?),
            None => None,
        },
    };
    postcard::to_extend(&value, vec![FORMAT]).ok()
}

fn record(link: &Link) -> Option<Record<'_>> {
    // A destructuring, so that a new field cannot be forgotten here.
    let Link {
        key: _,
        spec,
        origin,
        created_at,
        updated_at,
        created_by,
        version,
        clicks_used,
    } = link;
    let LinkSpec {
        target,
        starts_at,
        expires_at,
        max_clicks,
        redirect,
        password,
        tags: _,
        title,
        forward_query,
        rules: _,
    } = spec;
    Some(Record {
        target: target.as_str(),
        starts_at: starts_at.map(UnixMillis::as_millis),
        expires_at: expires_at.map(UnixMillis::as_millis),
        max_clicks: *max_clicks,
        redirect: redirect.map(RedirectKind::status),
        password: password.as_ref().map(PasswordHash::as_phc),
        tags: columns::tags_column(spec).ok()?.map(Cow::Owned),
        title: title.as_deref(),
        forward_query: *forward_query,
        rules: columns::rules_column(spec).ok()?.map(Cow::Owned),
        origin: columns::origin_number(*origin),
        created_at: created_at.as_millis(),
        updated_at: updated_at.as_millis(),
        created_by,
        version: *version,
        clicks_used: *clicks_used,
    })
}

/// Reads what [`encode`] wrote, and how long the store took. `None` for what another format, or nobody,
/// has written.
pub(super) fn decode(key: &LinkKey, bytes: &[u8]) -> Option<(Option<Link>, Duration)> {
    let (&FORMAT, bytes) = bytes.split_first()? else {
        return None;
    };
    let (value, rest) = postcard::take_from_bytes::<Value<'_>>(bytes).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let link = match value.link {
        Some(record) => Some(link(key, &record)?),
        None => None,
    };
    Some((link, Duration::from_micros(value.took)))
}

fn link(key: &LinkKey, record: &Record<'_>) -> Option<Link> {
    let redirect = match record.redirect {
        Some(status) => Some(RedirectKind::try_from(status).ok()?),
        None => None,
    };
    Some(Link {
        key: key.clone(),
        spec: LinkSpec {
            target: TargetUrl::from_stored(record.target),
            starts_at: record.starts_at.map(UnixMillis::from_millis),
            expires_at: record.expires_at.map(UnixMillis::from_millis),
            max_clicks: record.max_clicks,
            redirect,
            password: record.password.map(PasswordHash::from_phc),
            tags: match &record.tags {
                Some(tags) => columns::read_tags(tags).ok()?,
                None => Vec::new(),
            },
            title: record.title.map(str::to_owned),
            forward_query: record.forward_query,
            rules: match &record.rules {
                Some(rules) => columns::read_rules(rules).ok()?,
                None => Vec::new(),
            },
        },
        origin: columns::origin_of(record.origin)?,
        created_at: UnixMillis::from_millis(record.created_at),
        updated_at: UnixMillis::from_millis(record.updated_at),
        created_by: record.created_by.to_owned(),
        version: record.version,
        clicks_used: record.clicks_used,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::{Code, Condition, Domain, Origin, Os, Rule, Tag};

    fn moments() -> impl Strategy<Value = UnixMillis> {
        any::<i64>().prop_map(UnixMillis::from_millis)
    }

    fn specs() -> impl Strategy<Value = LinkSpec> {
        let times = (option::of(moments()), option::of(moments()));
        let redirect = option::of(prop::sample::select(&[301, 302, 307, 308][..]));
        let rule = ("[a-z:/.]{1,40}", any::<bool>()).prop_map(|(target, which)| Rule {
            target,
            conditions: match which {
                true => vec![Condition::Os { is: Os::Linux }],
                false => vec![Condition::Query {
                    name: "a".to_owned(),
                    value: None,
                }],
            },
        });
        (
            ("\\PC{0,80}", times, any::<Option<NonZeroU64>>(), redirect),
            (option::of("\\PC{0,40}"), option::of("\\PC{0,40}")),
            vec("[a-z]{1,8}", 0..4),
            any::<bool>(),
            vec(rule, 0..3),
        )
            .prop_map(|(first, texts, tags, forward_query, rules)| {
                let (target, (starts_at, expires_at), max_clicks, redirect) = first;
                LinkSpec {
                    target: TargetUrl::from_stored(target),
                    starts_at,
                    expires_at,
                    max_clicks,
                    redirect: redirect.map(|status| RedirectKind::try_from(status).unwrap()),
                    password: texts.0.map(PasswordHash::from_phc),
                    tags: tags.iter().map(|tag| Tag::from_stored(tag)).collect(),
                    title: texts.1,
                    forward_query,
                    rules,
                }
            })
    }

    fn links() -> impl Strategy<Value = Link> {
        let origins = prop::sample::select(&[Origin::Alias, Origin::Hash, Origin::Random][..]);
        let numbers = (any::<u64>(), any::<u64>());
        (
            specs(),
            origins,
            moments(),
            moments(),
            "\\PC{0,20}",
            numbers,
        )
            .prop_map(
                |(spec, origin, created_at, updated_at, created_by, (version, clicks_used))| Link {
                    key: key(),
                    spec,
                    origin,
                    created_at,
                    updated_at,
                    created_by,
                    version,
                    clicks_used,
                },
            )
    }

    fn key() -> LinkKey {
        LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored("a"),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(link in option::of(links()), took in any::<u32>()) {
            let took = Duration::from_micros(took.into());
            let bytes = encode(link.as_ref(), took).unwrap();
            prop_assert_eq!(decode(&key(), &bytes), Some((link, took)));
        }

        #[test]
        fn what_is_cut_off_or_longer_is_nothing(link in links(), at in any::<prop::sample::Index>()) {
            let mut bytes = encode(Some(&link), Duration::ZERO).unwrap();
            prop_assert_eq!(decode(&key(), &bytes[..at.index(bytes.len())]), None);
            bytes.push(0);
            prop_assert_eq!(decode(&key(), &bytes), None);
        }

        #[test]
        fn nothing_makes_reading_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&key(), &bytes);
        }
    }

    #[test]
    fn another_format_is_not_read_and_ours_is_short() {
        let mut bytes = encode(None, Duration::ZERO).unwrap();
        assert_eq!(bytes, [FORMAT, 0, 0]);
        bytes[0] += 1;
        assert_eq!(decode(&key(), &bytes), None);
        let target = "https://example.com/a/path/of/some/length";
        let link = Link {
            key: key(),
            spec: LinkSpec::to(TargetUrl::from_stored(target)),
            origin: Origin::Counter,
            created_at: UnixMillis::from_millis(1_700_000_000_000),
            updated_at: UnixMillis::from_millis(1_700_000_000_000),
            created_by: "0123456789".to_owned(),
            version: 1,
            clicks_used: 0,
        };
        let bytes = encode(Some(&link), Duration::from_micros(400)).unwrap();
        assert!(bytes.len() < target.len() + 45, "{}", bytes.len());
    }
}

//! Entity tags (RFC 9110 section 8.8): which state of a link a caller has seen.

use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use tollgate_clock::UnixMillis;
use tollgate_links::{Link, LinkState};

use crate::problem::{Kind, Problem};

/// `"VERSION.CREATED.STATE"`. The version alone would repeat when a link is deleted and made
/// again, hence the moment of creation. State and clicks change without an edit: they matter to
/// whoever has a copy of the link (`If-None-Match`), not to whoever is about to edit it
/// (`If-Match`), so the first compares the whole tag and the second only what comes before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntityTag {
    version: u64,
    created: i64,
    shown: String,
}

/// What `If-Match` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// The link is there, in whatever version.
    Any,
    /// One of these; never empty.
    Of(Vec<Edition>),
}

/// The part of an entity tag that only edits change. `"VERSION"` alone is understood too, for
/// callers who kept the link's `version` and not its tag: it does not tell a link from the one
/// that was made again in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition {
    version: u64,
    created: Option<i64>,
}

impl EntityTag {
    pub(super) fn of(link: &Link, now: UnixMillis) -> Self {
        let state = match link.state(now) {
            LinkState::Pending => 'p',
            LinkState::Live => 'l',
            LinkState::Expired => 'e',
            LinkState::UsedUp => 'u',
        };
        Self {
            version: link.version,
            created: link.created_at.as_millis(),
            shown: format!("{state}{}", link.clicks_used),
        }
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.text()).ok()
    }

    fn text(&self) -> String {
        format!("\"{}.{}.{}\"", self.version, self.created, self.shown)
    }
}

impl Edition {
    fn parse(tag: &str) -> Option<Self> {
        let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
        let (version, created) = match inner.split_once('.') {
            None => (inner, None),
            Some((version, rest)) => (version, Some(rest.split_once('.')?.0.parse().ok()?)),
        };
        Some(Self {
            version: version.parse().ok()?,
            created,
        })
    }

    /// Whether it may be an earlier or later edition of the link.
    fn is_of(self, link: &EntityTag) -> bool {
        self.created.is_none_or(|created| created == link.created)
    }
}

/// Whether the caller has this state already.
pub(super) fn is_known(headers: &HeaderMap, tag: &EntityTag) -> bool {
    let tag = tag.text();
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        // The comparison is the weak one (section 13.1.2).
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Reads `If-Match`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    let wrong = |reason: &str| Problem::wrong(Kind::InvalidHeader, "If-Match", reason);
    let mut tags = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        let text = value.to_str().map_err(|_| wrong("it is not ASCII"))?;
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tag == "*" {
                return Ok(Some(IfMatch::Any));
            }
            if tag.starts_with("W/") {
                return Err(wrong("a weak entity tag never matches: send it without W/"));
            }
            tags.push(Edition::parse(tag).ok_or_else(|| {
                wrong(
                    "that is no entity tag of a link: send the ETag or the version in quotes, or *",
                )
            })?);
        }
    }
    match (headers.contains_key(IF_MATCH), tags.is_empty()) {
        (false, _) => Ok(None),
        (true, false) => Ok(Some(IfMatch::Of(tags))),
        (true, true) => Err(wrong("it is empty: send the ETag you were given, or *")),
    }
}

impl IfMatch {
    /// The version an edit must find, given the link as it is now. Where none of the tags fits,
    /// the version of the first is asked for all the same, unless the link is another by now: the
    /// store then tells a stale tag from a request that is sent again.
    pub(super) fn expected(&self, now: Option<&EntityTag>) -> Result<Option<u64>, Problem> {
        let Self::Of(tags) = self else {
            return Ok(None);
        };
        let Some(now) = now else {
            return Ok(tags.first().map(|tag| tag.version));
        };
        let mut of_this = tags.iter().filter(|tag| tag.is_of(now));
        let fits = of_this.clone().find(|tag| tag.version == now.version);
        match fits.or_else(|| of_this.next()) {
            Some(tag) => Ok(Some(tag.version)),
            None => Err(Problem::new(
                Kind::VersionMismatch,
                "The link was deleted and made again meanwhile.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(version: u64, created: i64, shown: &str) -> EntityTag {
        EntityTag {
            version,
            created,
            shown: shown.to_owned(),
        }
    }

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn what_edits_change_reads_back() {
        for tag in [tag(1, 0, "l0"), tag(u64::MAX, i64::MIN, "u17")] {
            let read = Edition {
                version: tag.version,
                created: Some(tag.created),
            };
            assert_eq!(Edition::parse(&tag.text()), Some(read));
        }
    }

    #[test]
    fn a_version_alone_fits_whatever_the_moment_of_creation() {
        let wanted = if_match(&headers(IF_MATCH, "\"3\"")).unwrap().unwrap();
        assert_eq!(wanted.expected(Some(&tag(3, 5, "l0"))).unwrap(), Some(3));
        assert_eq!(wanted.expected(Some(&tag(4, 5, "l0"))).unwrap(), Some(3));
    }

    #[test]
    fn clicks_make_a_copy_stale_but_not_an_edit() {
        let seen = tag(3, 5, "l0");
        let now = tag(3, 5, "l1");
        let known = headers(IF_NONE_MATCH, &format!("\"x\", W/{}", seen.text()));
        assert!(is_known(&known, &seen));
        assert!(!is_known(&known, &now));
        let wanted = if_match(&headers(IF_MATCH, &seen.text())).unwrap().unwrap();
        assert_eq!(wanted.expected(Some(&now)).unwrap(), Some(3));
    }

    #[test]
    fn any_of_several_tags_may_fit_and_another_link_never_does() {
        let list = format!("{}, {}", tag(1, 5, "l0").text(), tag(2, 5, "l0").text());
        let wanted = if_match(&headers(IF_MATCH, &list)).unwrap().unwrap();
        assert_eq!(wanted.expected(Some(&tag(2, 5, "l0"))).unwrap(), Some(2));
        assert_eq!(wanted.expected(Some(&tag(9, 5, "l0"))).unwrap(), Some(1));
        assert!(wanted.expected(Some(&tag(1, 6, "l0"))).is_err());
    }

    #[test]
    fn weak_foreign_and_empty_tags_are_refused() {
        for bad in [
            "W/\"1.2.l0\"",
            "\"abc\"",
            "\"1.x.l0\"",
            "\"1.2\"",
            "1.2.l0",
            "",
        ] {
            assert!(if_match(&headers(IF_MATCH, bad)).is_err(), "{bad}");
        }
        assert_eq!(
            if_match(&headers(IF_MATCH, "*")).unwrap(),
            Some(IfMatch::Any)
        );
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
    }
}

//! A request's query merged into a target's.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::form_urlencoded;

use super::Visitor;
use crate::MAX_TARGET_BYTES;

/// The special-query percent-encode set of the WHATWG URL standard: escaped so, a normal form
/// stays one.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\'');

/// What campaign parameters begin with. Analytics count a visit once for each, so that one must
/// not stand twice in a URL.
const CAMPAIGN: &str = "utm_";

/// Where a visitor is led by this target, which may want the query that they came with.
pub(crate) fn led_to<'t>(
    target: &'t str,
    wants_query: bool,
    visitor: &Visitor<'_>,
) -> Cow<'t, str> {
    match visitor.query {
        Some(query) if wants_query => merge(target, query),
        _ => Cow::Borrowed(target),
    }
}

/// Appends the parameters of `query` to those of `target`, before its fragment. Campaign
/// parameters that the target has already are left out: what the link's owner wrote there counts.
/// Nothing is appended if the URL would get longer than a target may be.
fn merge<'t>(target: &'t str, query: &str) -> Cow<'t, str> {
    let (base, fragment) = match target.find('#') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let own = base.split_once('?').map(|(_, own)| own);
    let mut campaigns: Vec<String> = own
        .unwrap_or_default()
        .split('&')
        .filter_map(campaign)
        .collect();
    let mut separator = match own {
        None => "?",
        Some(own) if own.is_empty() || own.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut merged = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if let Some(name) = campaign(pair) {
            if campaigns.contains(&name) {
                continue;
            }
            campaigns.push(name);
        }
        if merged.is_empty() {
            merged.push_str(base);
        }
        merged.push_str(separator);
        merged.extend(utf8_percent_encode(pair, QUERY));
        separator = "&";
        if merged.len() + fragment.len() > MAX_TARGET_BYTES {
            return Cow::Borrowed(target);
        }
    }
    if merged.is_empty() {
        return Cow::Borrowed(target);
    }
    merged.push_str(fragment);
    Cow::Owned(merged)
}

/// The name of a campaign parameter, decoded and in lower case; `None` for other parameters.
fn campaign(pair: &str) -> Option<String> {
    let (name, _) = form_urlencoded::parse(pair.as_bytes()).next()?;
    let name = name.to_ascii_lowercase();
    name.starts_with(CAMPAIGN).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn parameters_are_appended_before_the_fragment() {
        for (target, query, merged) in [
            (
                "https://a.example/",
                "x=1&y=2",
                "https://a.example/?x=1&y=2",
            ),
            (
                "https://a.example/?a=1#f?g",
                "x=1",
                "https://a.example/?a=1&x=1#f?g",
            ),
            ("https://a.example/?", "x", "https://a.example/?x"),
            (
                "https://a.example/?a&",
                "&&x=1&",
                "https://a.example/?a&x=1",
            ),
            ("https://a.example/#f", "", "https://a.example/#f"),
            (
                "https://a.example/?a=1",
                "a=2",
                "https://a.example/?a=1&a=2",
            ),
            (
                "https://a.example/",
                "x=%C3%A4+b%26",
                "https://a.example/?x=%C3%A4+b%26",
            ),
            (
                "https://a.example/",
                "x=\u{e4} '\r\n#y",
                "https://a.example/?x=%C3%A4%20%27%0D%0A%23y",
            ),
        ] {
            assert_eq!(merge(target, query), merged, "{target} {query}");
        }
    }

    #[test]
    fn a_campaign_parameter_never_stands_twice() {
        for (target, query, merged) in [
            (
                "https://a.example/?utm_source=own",
                "utm_source=x&utm_medium=m",
                "https://a.example/?utm_source=own&utm_medium=m",
            ),
            (
                "https://a.example/?UTM_Source=own",
                "utm%5Fsource=x",
                "https://a.example/?UTM_Source=own",
            ),
            (
                "https://a.example/",
                "utm_id=1&utm_id=2",
                "https://a.example/?utm_id=1",
            ),
        ] {
            assert_eq!(merge(target, query), merged);
        }
    }

    #[test]
    fn a_query_that_would_make_it_too_long_stays_behind() {
        let target = "https://a.example/#f";
        let fits = "x".repeat(MAX_TARGET_BYTES - target.len() - 1);
        assert_eq!(merge(target, &fits).len(), MAX_TARGET_BYTES);
        assert_eq!(merge(target, &(fits + "y")), target);
    }

    proptest! {
        #[test]
        fn the_result_is_the_same_place_in_normal_form(
            target in "https://[a-z]{1,8}\\.example/[a-z/]{0,9}(\\?[a-z=&%]{0,12})?(#[a-z?&]{0,9})?",
            query in prop_oneof!["\\PC{0,40}", any::<String>(), "(utm_[a-c]=[a-z]{0,2}&?){0,4}"],
        ) {
            let before = Url::parse(&target).unwrap();
            let merged = merge(before.as_str(), &query);
            let after = Url::parse(&merged).unwrap();
            prop_assert_eq!(after.as_str(), &*merged);
            prop_assert!(merged.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(before.origin(), after.origin());
            prop_assert_eq!(before.path(), after.path());
            prop_assert_eq!(before.fragment(), after.fragment());
            let own: Vec<_> = before.query_pairs().collect();
            let all: Vec<_> = after.query_pairs().collect();
            prop_assert!(all.starts_with(&own), "{:?} {:?}", own, all);
            let mut added: Vec<_> = all.iter().skip(own.len()).map(|(name, _)| name)
                .filter(|name| name.starts_with("utm_")).collect();
            let count = added.len();
            added.sort();
            added.dedup();
            prop_assert_eq!(added.len(), count);
        }
    }
}

//! What caches between us and the visitor may keep.
//!
//! | answer | `Cache-Control` | because |
//! |---|---|---|
//! | 301, 308 of a plain link | `public, max-age=` a day or the time to its expiry | the owner chose that clicks may stay unseen, not that an edit takes for ever |
//! | 301, 308 of a link with password, `max_clicks` or rules | `no-store` | the answer is this visitor's, or has to be counted |
//! | 302, 307, 303 after a password | `no-store` | every click is seen, every edit counts at once |
//! | 403, 404, 410, preview | `no-store` | a link made or edited now works now |
//! | 5xx | `no-store` | |
//! | QR codes | `public, max-age=86400` | they say what their address and the configuration say |
//! | `/`, `/robots.txt`, `/favicon.ico` | `public, max-age=86400` | they only change with the configuration |
//!
//! `Vary` is not needed: answers that depend on request headers are never stored, and a
//! `forward_query` answer depends on the URL alone.

use http::HeaderValue;
use tollgate_clock::UnixMillis;
use tollgate_links::{CachedLink, RedirectKind};

/// The longest time a permanent redirect may be kept, in seconds.
const MAX_AGE_SECONDS: u64 = 86_400;

pub(super) fn no_store() -> HeaderValue {
    HeaderValue::from_static("no-store")
}

pub(super) fn one_day() -> HeaderValue {
    HeaderValue::from_static("public, max-age=86400")
}

/// For the redirect of a live link.
pub(super) fn of_redirect(link: &CachedLink, kind: RedirectKind, now: UnixMillis) -> HeaderValue {
    let permanent = matches!(
        kind,
        RedirectKind::MovedPermanently | RedirectKind::Permanent
    );
    let same_for_all = !(link.has_password() || link.is_counted() || link.has_rules());
    if !(permanent && same_for_all) {
        return no_store();
    }
    let Some(expires_at) = link.expires_at() else {
        return one_day();
    };
    match expires_at.since(now).as_secs() {
        0 => no_store(),
        left if left >= MAX_AGE_SECONDS => one_day(),
        left => {
            HeaderValue::try_from(format!("public, max-age={left}")).unwrap_or_else(|_| no_store())
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_links::{LinkSpec, PasswordHash, Rule, TargetUrl};

    use super::super::cached;
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

    fn of(kind: RedirectKind, change: impl FnOnce(&mut LinkSpec)) -> String {
        let mut spec = LinkSpec::to(TargetUrl::from_stored("https://example.com/"));
        change(&mut spec);
        let value = of_redirect(&cached(spec), kind, NOW);
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn temporary_redirects_are_never_kept() {
        assert_eq!(of(RedirectKind::Found, |_| ()), "no-store");
        assert_eq!(of(RedirectKind::Temporary, |_| ()), "no-store");
    }

    #[test]
    fn permanent_redirects_are_kept_a_day_but_not_past_their_expiry() {
        let with_expiry = |ms| {
            of(RedirectKind::Permanent, |spec| {
                spec.expires_at = Some(UnixMillis::from_millis(NOW.as_millis() + ms));
            })
        };
        assert_eq!(
            of(RedirectKind::MovedPermanently, |_| ()),
            "public, max-age=86400"
        );
        assert_eq!(with_expiry(90_000_000), "public, max-age=86400");
        assert_eq!(with_expiry(61_999), "public, max-age=61");
        assert_eq!(with_expiry(999), "no-store");
    }

    #[test]
    fn answers_for_one_visitor_are_never_kept() {
        let permanent = |change: fn(&mut LinkSpec)| of(RedirectKind::MovedPermanently, change);
        assert_eq!(
            permanent(|spec| spec.max_clicks = std::num::NonZeroU64::new(3)),
            "no-store"
        );
        assert_eq!(
            permanent(|spec| spec.password = Some(PasswordHash::from_phc("x"))),
            "no-store"
        );
        assert_eq!(
            permanent(|spec| spec.rules.push(Rule {
                conditions: Vec::new(),
                target: "https://example.org/".to_owned(),
            })),
            "no-store"
        );
        assert_eq!(
            permanent(|spec| spec.forward_query = true),
            "public, max-age=86400"
        );
    }
}

//! Where the visitor was before.

use std::collections::HashMap;
use std::sync::LazyLock;

use smol_str::SmolStr;
use url::{Host, Url};

use crate::enriched::cut;

/// Channels of hosts; see `data/README.md`.
const LIST: &str = include_str!("../../data/referrers.txt");
/// Instead of the last part of a host, or the last two.
const ANY: &str = ".*";

static CHANNELS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    LIST.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            let mut words = line.split_whitespace();
            let channel = words.next().unwrap_or_default();
            words.map(move |host| (host, channel))
        })
        .collect()
});

/// The host of a referrer, in its normal form and without `www.`; of an Android application, its
/// package.
pub(super) fn host(referrer: &str) -> Option<SmolStr> {
    let url = Url::parse(referrer).ok()?;
    if !matches!(url.scheme(), "http" | "https" | "android-app") {
        return None;
    }
    let host = match url.host()? {
        Host::Domain(domain) => domain.to_ascii_lowercase(),
        address => address.to_string(),
    };
    let host = host.trim_end_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    (!host.is_empty()).then(|| cut(host))
}

/// What kind of place that is.
pub(super) fn channel(host: Option<&str>, has_campaign: bool) -> &'static str {
    if has_campaign {
        return "campaign";
    }
    host.map_or("direct", of_host)
}

/// The channel of the longest listed host that this one is, or is below of.
fn of_host(host: &str) -> &'static str {
    let mut rest = host;
    loop {
        if let Some(channel) = CHANNELS
            .get(rest)
            .or_else(|| CHANNELS.get(any_end(rest)?.as_str()))
        {
            return channel;
        }
        match rest.split_once('.') {
            Some((_, parent)) => rest = parent,
            None => return "referral",
        }
    }
}

/// The host with `*` in the place of `de`, `com` or `co.uk`.
fn any_end(host: &str) -> Option<String> {
    let (name, end) = host.split_once('.')?;
    let parts: Vec<&str> = end.split('.').collect();
    match parts.as_slice() {
        [_] | ["co" | "com" | "net" | "org", _] => Some(format!("{name}{ANY}")),
        [below, _] | [below, "co" | "com", _] => Some(format!("{name}.{below}{ANY}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(referrer: &str) -> (Option<SmolStr>, &'static str) {
        let host = host(referrer);
        let channel = channel(host.as_deref(), false);
        (host, channel)
    }

    #[test]
    fn hosts_and_their_channels() {
        for (referrer, host, channel) in [
            ("https://www.google.com/", "google.com", "search"),
            ("https://www.google.co.uk/", "google.co.uk", "search"),
            ("https://google.com.br/", "google.com.br", "search"),
            ("https://news.google.de/x", "news.google.de", "search"),
            ("https://mail.google.com/mail", "mail.google.com", "mail"),
            ("https://mail.yandex.ru/", "mail.yandex.ru", "mail"),
            ("https://notgoogle.com/", "notgoogle.com", "referral"),
            (
                "https://google.evil.example/",
                "google.evil.example",
                "referral",
            ),
            ("http://T.CO:80/abc", "t.co", "social"),
            ("https://m.facebook.com/", "m.facebook.com", "social"),
            (
                "android-app://com.google.android.gm/",
                "com.google.android.gm",
                "mail",
            ),
            (
                "https://B\u{fc}cher.example./",
                "xn--bcher-kva.example",
                "referral",
            ),
            ("http://192.0.2.1:8080/", "192.0.2.1", "referral"),
            ("http://[2001:db8::1]/", "[2001:db8::1]", "referral"),
        ] {
            assert_eq!(of(referrer), (Some(host.into()), channel), "{referrer}");
        }
    }

    #[test]
    fn what_is_no_page_is_direct() {
        for referrer in [
            "",
            "google.com",
            "about:client",
            "javascript:alert(1)",
            "https://",
            "\u{fffd}",
        ] {
            assert_eq!(of(referrer), (None, "direct"), "{referrer}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_read() {
        assert!(CHANNELS.len() > 130);
        for (host, channel) in CHANNELS.iter() {
            assert!(
                ["search", "social", "mail"].contains(channel),
                "{host} {channel}"
            );
            assert!(host.contains('.') && *host == host.to_lowercase(), "{host}");
        }
    }
}

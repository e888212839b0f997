//! What each message is told of the way it takes: what belongs to one connection alone is taken out,
//! and where it came from is written down.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CONNECTION, FORWARDED, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// Who we are in `Via`.
const PSEUDONYM: &str = "tollgate";
/// A request that has passed through so many of us goes round in a circle.
const MOST_PASSES: usize = 8;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What every header begins with by which proxies tell of a request.
const FORWARDED_PREFIX: &str = "x-forwarded-";
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Of one connection alone (RFC 9110, 7.6.1), or between a proxy and whoever speaks to it.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what belongs to one connection alone, and what `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in tokens(headers, &CONNECTION) {
        if let Ok(name) = HeaderName::from_bytes(&name) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The members of a header that is a list of words, in lower case.
pub(super) fn tokens(headers: &HeaderMap, name: &HeaderName) -> Vec<Vec<u8>> {
    let lines = headers.get_all(name).iter();
    let words = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    words
        .map(|word| word.trim_ascii().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Adds this server to those that a message has passed through.
pub(super) fn sign(headers: &mut HeaderMap, received: Version) {
    let version = match received {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    // A version and a name.
    if let Ok(value) = HeaderValue::try_from(format!("{version} {PSEUDONYM}")) {
        headers.append(VIA, value);
    }
}

/// Whether a request has come through here so often that it will never arrive.
pub(super) fn goes_in_circles(headers: &HeaderMap) -> bool {
    let passes = tokens(headers, &VIA);
    let ours = passes.iter().filter(|pass| {
        let mut words = pass.split(|byte| *byte == b' ');
        words.nth(1) == Some(PSEUDONYM.as_bytes())
    });
    ours.count() >= MOST_PASSES
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) peer: IpAddr,
    /// Whether what the peer says of its own clients is believed.
    pub(super) trusted: bool,
    pub(super) scheme: &'static str,
    pub(super) host: Option<&'a str>,
}

/// Writes down where the request came from, behind what a trusted proxy has written. What anybody
/// else says of it is dropped.
pub(super) fn forward(headers: &mut HeaderMap, origin: Origin<'_>) {
    if !origin.trusted {
        let told = headers.keys().filter(|name| {
            name.as_str().starts_with(FORWARDED_PREFIX) || [FORWARDED, REAL_IP].contains(name)
        });
        for name in told.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
    let peer = origin.peer.to_canonical();
    append(headers, FORWARDED_FOR, &peer.to_string());
    append(headers, FORWARDED, &forwarded(peer, origin));
    let host = origin
        .host
        .and_then(|host| HeaderValue::from_str(host).ok());
    let first = [
        (
            FORWARDED_PROTO,
            Some(HeaderValue::from_static(origin.scheme)),
        ),
        (FORWARDED_HOST, host),
    ];
    for (name, value) in first {
        // The first proxy saw what the client asked for.
        if let Some(value) = value
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    }
}

/// To the end of a list, which is one line then: some read the first line alone.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &str) {
    let lines = headers.get_all(&name).iter();
    let mut list: Vec<u8> = Vec::new();
    for line in lines {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    // Joined from values, a comma, and text of ours.
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

/// An element of `Forwarded` (RFC 7239).
fn forwarded(peer: IpAddr, origin: Origin<'_>) -> String {
    let mut element = match peer {
        IpAddr::V4(peer) => format!("for={peer}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\""),
    };
    // Hosts that would need escapes are none.
    let host = origin.host.filter(|host| !host.contains(['"', '\\']));
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        // Writing to a string never fails.
        let _ = write!(element, ";host=\"{host}\"");
    }
    let _ = write!(element, ";proto={}", origin.scheme);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn origin(peer: &str, trusted: bool) -> Origin<'static> {
        Origin {
            peer: peer.parse().unwrap(),
            trusted,
            scheme: "http",
            host: Some("shop.example:8084"),
        }
    }

    #[test]
    fn what_belongs_to_one_connection_is_taken_out() {
        let mut headers = headers(&[
            ("connection", "keep-alive, X-Private , ,upgrade"),
            ("connection", "\"odd\", Cookie"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-private", "1"),
            ("cookie", "a=b"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "trailer"]);
    }

    #[test]
    fn a_stranger_cannot_say_where_a_request_came_from() {
        let mut headers = headers(&[
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-uri", "/other"),
            ("x-real-ip", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
        ]);
        forward(&mut headers, origin("::ffff:203.0.113.7", false));
        assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "shop.example:8084");
        assert_eq!(
            headers["forwarded"],
            "for=203.0.113.7;host=\"shop.example:8084\";proto=http"
        );
        assert_eq!(headers.len(), 4, "{headers:?}");
    }

    #[test]
    fn behind_a_trusted_proxy_the_list_grows() {
        let mut headers = headers(&[
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.example"),
            ("forwarded", "for=198.51.100.1"),
        ]);
        forward(&mut headers, origin("fd00::1", true));
        assert_eq!(
            headers["x-forwarded-for"],
            "198.51.100.1, 10.0.0.2, fd00::1"
        );
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "www.example");
        assert_eq!(
            headers["forwarded"],
            "for=198.51.100.1, for=\"[fd00::1]\";host=\"shop.example:8084\";proto=http"
        );
    }

    #[test]
    fn a_circle_is_noticed() {
        let mut headers = headers(&[("via", "1.1 other, 2 tollgate-of-others")]);
        for _ in 0..MOST_PASSES {
            assert!(!goes_in_circles(&headers));
            sign(&mut headers, Version::HTTP_2);
        }
        assert!(goes_in_circles(&headers));
    }
}

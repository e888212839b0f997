//! What has to hold for the head of whatever request the proxy passes on.

use std::net::IpAddr;

use http::header::{CONNECTION, COOKIE, FORWARDED, HOST, TE, UPGRADE, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use ipnet::IpNet;

use super::ProxyOptions;
use super::inbound::Inbound;
use crate::client_ip::client_ip;
use crate::limits::Forwarded;

/// What none of them may reach the upstream with, whoever sent it.
const NEVER: [&str; 6] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "expect",
];
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The most that the proxy adds of its own.
const MOST_ADDED: usize = 512;

/// The first byte chooses who sends it and by which version; then there is a line with method and target, and
/// lines of headers.
pub fn proxy_headers(data: &[u8]) {
    let Some((&choice, head)) = data.split_first() else {
        return;
    };
    let Some(parts) = parts(choice, head) else {
        return;
    };
    let peer: IpAddr = match choice & 4 {
        0 => [203, 0, 113, 7].into(),
        _ => [0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0001].into(),
    };
    let Ok(upstream) = "http://127.0.0.1:1".parse() else {
        unreachable!("that is an address");
    };
    let mut options = ProxyOptions::to(upstream);
    options.keep_host = choice & 8 == 0;
    options.trusted_proxies = vec![IpNet::from(IpAddr::from([10, 0, 0, 1]))];
    let trusted = choice & 4 != 0;
    let before = parts.headers.clone();

    let seen = client_ip(peer, &before, &options.trusted_proxies);
    assert_eq!(seen, by_the_book(peer, &before, &options.trusted_proxies));
    forwarded_for_a_decision(peer, &parts, &options.trusted_proxies);

    let Ok(inbound) = Inbound::read(parts, peer, &options) else {
        return;
    };
    assert_eq!(inbound.received().client, seen);
    let upgrade = inbound.upgrade;
    let after = inbound.into_forwarded("http", &options);
    assert_eq!(after.version, Version::HTTP_11);
    let headers = &after.headers;
    for name in NEVER {
        assert!(!headers.contains_key(name), "{name}");
    }
    for (name, words) in [
        (&CONNECTION, &["upgrade", "te", "upgrade, te"][..]),
        (&UPGRADE, &["websocket"]),
        (&TE, &["trailers"]),
    ] {
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        assert!(lines.len() <= 1 && lines.iter().all(|line| words.contains(&text(line))));
    }
    assert_eq!(headers.contains_key(UPGRADE), upgrade);
    assert!(headers.get_all(COOKIE).iter().count() <= 1);
    assert_eq!(
        headers.get_all(VIA).iter().next_back().map(end_of_via),
        Some("tollgate")
    );
    host(headers, &options);
    origin(headers, &peer.to_canonical().to_string(), trusted);
    let size = |headers: &HeaderMap| -> usize {
        let lines = headers.iter();
        lines
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    };
    // Lines of a list become one, with two bytes between; and the host is told three times.
    let most = 4 * head.len() + 2 * before.len() + MOST_ADDED;
    assert!(size(headers) <= most, "{} of {}", size(headers), head.len());
}

fn parts(choice: u8, head: &[u8]) -> Option<Parts> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    *request.version_mut() = match choice & 3 {
        0 => Version::HTTP_10,
        1 => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    for line in lines.take(100) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request.into_parts().0)
}

/// The rule of `X-Forwarded-For` in other words: of all addresses, from the right, the first that nobody vouches for.
fn by_the_book(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let list: Vec<String> = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|hop| String::from_utf8(hop.to_vec()).unwrap_or_default())
        .collect();
    let mut hops = vec![peer.to_canonical()];
    for hop in list.iter().rev() {
        let hop = hop.trim();
        let bare = hop.trim_start_matches('[').trim_end_matches(']');
        let bracketed = hop.starts_with('[') && hop.ends_with(']') && hop.len() == bare.len() + 2;
        let address = match (bare.parse::<IpAddr>(), hop.parse::<std::net::SocketAddr>()) {
            (Ok(address), _) if bare == hop || bracketed => address,
            (_, Ok(socket)) => socket.ip(),
            _ => break,
        };
        hops.push(address.to_canonical());
    }
    let is_trusted = |hop: &IpAddr| trusted.iter().any(|net| net.contains(hop));
    let seen = hops.iter().find(|hop| !is_trusted(hop)).or(hops.last());
    seen.copied().unwrap_or(peer)
}

/// What a proxy asks with is read without a fault, and makes no more than was told.
fn forwarded_for_a_decision(peer: IpAddr, parts: &Parts, trusted: &[IpNet]) {
    let forwarded = Forwarded {
        peer,
        method: &parts.method,
        headers: &parts.headers,
        authorization: true,
    };
    for by in [
        "remote_address",
        "method",
        "host",
        "path",
        "api_key",
        "header:x-tenant",
    ] {
        let Some(by) = tollgate_limit::attribute::Attribute::parse(by) else {
            unreachable!("{by} is an attribute");
        };
        if let Some(descriptor) = forwarded.descriptor(&[by], trusted) {
            assert_eq!(descriptor.entries.len(), 1);
        }
    }
}

/// The upstream is told one host, which is one.
fn host(headers: &HeaderMap, options: &ProxyOptions) {
    let hosts: Vec<_> = headers.get_all(HOST).iter().map(text).collect();
    assert!(hosts.len() <= 1);
    assert!(options.keep_host || hosts.is_empty());
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        let odd = |byte: u8| byte.is_ascii_whitespace() || b"/?#@\\\"<>^`{|}".contains(&byte);
        assert!(!host.bytes().any(odd), "{host:?} is no host");
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        assert!(is_port || port.ends_with(']'), "{host:?} has no port");
    }
}

/// Nobody but a trusted proxy says where a request came from.
fn origin(headers: &HeaderMap, peer: &str, trusted: bool) {
    let one = |name: &str| {
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(lines.len(), 1, "{name}");
        lines[0].as_bytes()
    };
    let list = one(FORWARDED_FOR);
    assert!(list.ends_with(peer.as_bytes()));
    let elements = one(FORWARDED.as_str());
    if !trusted {
        assert_eq!(list, peer.as_bytes());
        assert!(elements.starts_with(format!("for={peer};").as_bytes()));
        assert!(elements.ends_with(b";proto=http"));
        assert_eq!(one("x-forwarded-proto"), b"http");
        for name in headers.keys().map(HeaderName::as_str) {
            let ours = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
            assert!(!name.starts_with("x-forwarded-") || ours.contains(&name));
            assert_ne!(name, "x-real-ip");
        }
    }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("not ASCII")
}

fn end_of_via(value: &HeaderValue) -> &str {
    text(value).rsplit(' ').next().unwrap_or_default()
}

use std::borrow::Cow;
use std::hash::Hasher;
use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, USER_AGENT};
use ipnet::IpNet;
use siphasher::sip::SipHasher24;
use tollgate_clock::UnixMillis;
use tollgate_links::{CachedLink, LinkKey, Visitor};

use super::head::RequestHead;
use crate::client_ip::{FORWARDED_FOR, client_ip_by};

/// What makes visitors recognisable to rules.
pub(super) struct Recognition<'a> {
    /// The other end of the connection.
    pub(super) peer: IpAddr,
    /// Who may speak for others.
    pub(super) trusted_proxies: &'a [IpNet],
    /// Keys the hash, so that nobody can find the address behind it or aim at a share.
    pub(super) visitor_key: &'a [u8; 16],
}

/// Where the sender of this request is led.
pub(super) fn destination<'l>(
    key: &LinkKey,
    link: &'l CachedLink,
    request: RequestHead<'_>,
    recognition: &Recognition<'_>,
    now: UnixMillis,
) -> Cow<'l, str> {
    if !link.asks_who() {
        return Cow::Borrowed(link.target());
    }
    let user_agent = request.fields.text(&USER_AGENT);
    let ip = visitor(recognition.peer, request, recognition.trusted_proxies);
    let visitor = Visitor {
        user_agent,
        accept_language: request.fields.text(&ACCEPT_LANGUAGE),
        query: request.query,
        hash: visitor_hash(recognition.visitor_key, ip, user_agent),
        now,
    };
    link.destination(key, &visitor)
}

/// Who sent a request.
pub(super) fn visitor(peer: IpAddr, request: RequestHead<'_>, trusted: &[IpNet]) -> IpAddr {
    client_ip_by(peer, trusted, || request.fields.all(&FORWARDED_FOR))
}

fn visitor_hash(key: &[u8; 16], ip: IpAddr, user_agent: Option<&str>) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    // Both families in one length, so that no address runs into the user agent of another.
    let octets = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    hasher.write(&octets);
    hasher.write(user_agent.unwrap_or_default().as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_an_address_and_a_user_agent_under_a_key() {
        let hash = |key: u8, ip: &str, agent| visitor_hash(&[key; 16], ip.parse().unwrap(), agent);
        let one = hash(1, "192.0.2.1", Some("a"));
        assert_eq!(one, hash(1, "192.0.2.1", Some("a")));
        assert_eq!(one, hash(1, "::ffff:192.0.2.1", Some("a")));
        assert_ne!(one, hash(1, "192.0.2.2", Some("a")));
        assert_ne!(one, hash(1, "192.0.2.1", Some("b")));
        assert_ne!(one, hash(1, "192.0.2.1", None));
        assert_ne!(one, hash(2, "192.0.2.1", Some("a")));
    }
}

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent the request: the peer, or, if that is a trusted proxy, the rightmost address of
/// `X-Forwarded-For` that is not one. Addresses further left were written by the client itself and
/// prove nothing.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    client_ip_by(peer, trusted, || {
        let lines = headers.get_all(FORWARDED_FOR).iter();
        lines.map(HeaderValue::as_bytes).collect()
    })
}

/// As [`client_ip`], with what gives the lines of `X-Forwarded-For` if they matter.
pub(crate) fn client_ip_by<'h>(
    peer: IpAddr,
    trusted: &[IpNet],
    lines: impl FnOnce() -> Vec<&'h [u8]>,
) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines = lines();
    // Several headers of one name are one list (RFC 9110, 5.3).
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|&b| b == b','));
    for hop in hops {
        // A hop that is no address ends the chain: the proxy that passed it on is all we know.
        let Some(ip) = address(hop) else { break };
        client = ip;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// Some proxies write a port after the address.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical())
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_name_another_address() {
        assert_eq!(seen("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(seen("::ffff:203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // The client wrote 1.1.1.1 itself.
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            seen("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.2.2.2"]),
            "198.51.100.1"
        );
        // Everybody is a proxy of ours: the first of them.
        assert_eq!(seen("10.0.0.1", &["10.3.3.3, 10.2.2.2"]), "10.3.3.3");
    }

    #[test]
    fn addresses_come_in_several_forms_and_rubbish_ends_the_chain() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(seen("fd00::1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            seen("10.0.0.1", &["198.51.100.1, unknown, 10.2.2.2"]),
            "10.2.2.2"
        );
        assert_eq!(seen("10.0.0.1", &[""]), "10.0.0.1");
    }

    proptest! {
        /// Whatever a client sends, the proxy appends the address it saw.
        #[test]
        fn no_header_hides_what_the_proxy_saw(forged in "[ -~\u{80}-\u{ff}]*") {
            let line = format!("{forged}, 198.51.100.1");
            let mut headers = HeaderMap::new();
            let bytes: Vec<u8> = line.chars().map(|c| c as u8).collect();
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(&bytes).unwrap());
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let seen = client_ip([10, 0, 0, 1].into(), &headers, &trusted);
            prop_assert_eq!(seen, IpAddr::from([198, 51, 100, 1]));
        }
    }
}

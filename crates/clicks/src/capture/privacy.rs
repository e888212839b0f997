//! What may be kept of a visitor. It is decided before anything is written anywhere.

use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;
use tollgate_clock::UnixMillis;

use super::Seen;
use crate::Network;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// What is kept of addresses, beside the hash that tells visitors apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// The network: 24 bits of IPv4, 48 bits of IPv6.
    Truncated,
    /// All of it.
    Full,
    /// Nothing.
    None,
}

/// What is kept of visitors.
#[derive(Clone)]
pub struct Privacy {
    /// What is kept of addresses.
    pub addresses: Addresses,
    /// Whether those who ask not to be tracked get their wish: only the site they come from is kept.
    pub respect_dnt: bool,
    /// Keys the hash of visitors. Instances with the same key tell the same visitors apart.
    pub key: [u8; 16],
}

/// What is left of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    pub(crate) visitor: Option<u64>,
    pub(crate) network: Option<Network>,
    pub(crate) referrer: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) language: Option<&'a [u8]>,
}

impl Privacy {
    pub(crate) fn kept<'a>(&self, seen: &Seen<'a>) -> Kept<'a> {
        if self.respect_dnt && seen.objects {
            return Kept {
                visitor: None,
                network: None,
                referrer: seen.referrer.and_then(origin),
                user_agent: None,
                language: None,
            };
        }
        Kept {
            visitor: Some(self.visitor(seen.at, seen.address, seen.user_agent)),
            network: match self.addresses {
                Addresses::Truncated => Some(Network::Truncated(truncated(seen.address))),
                Addresses::Full => Some(Network::Full(seen.address)),
                Addresses::None => None,
            },
            referrer: seen.referrer,
            user_agent: seen.user_agent,
            language: seen.language,
        }
    }

    /// The day is hashed along, so that hashes of two days have nothing in common.
    fn visitor(&self, at: UnixMillis, address: IpAddr, user_agent: Option<&[u8]>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&at.as_millis().div_euclid(DAY_MILLIS).to_le_bytes());
        // Both families in one length, so that no address runs into the user agent of another.
        let octets = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        hasher.write(&octets);
        hasher.write(user_agent.unwrap_or_default());
        hasher.finish()
    }
}

impl std::fmt::Debug for Privacy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Privacy")
            .field("addresses", &self.addresses)
            .field("respect_dnt", &self.respect_dnt)
            .finish_non_exhaustive()
    }
}

fn truncated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (!0 << 8)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 80)).into(),
    }
}

/// `https://host` of a URL.
fn origin(url: &[u8]) -> Option<&[u8]> {
    let host = url.windows(3).position(|three| three == b"://")? + 3;
    let length = url[host..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let end = length.map_or(url.len(), |length| host + length);
    // What stands before an @ is somebody's name.
    (!url[host..end].contains(&b'@')).then_some(&url[..end])
}

#[cfg(test)]
mod tests {
    use crate::ClickKind;

    use super::*;

    fn seen(address: &str) -> Seen<'static> {
        Seen {
            at: UnixMillis::from_millis(1_800_000_000_000),
            kind: ClickKind::Visit,
            domain: "",
            code: "abc",
            address: address.parse().unwrap(),
            referrer: Some(b"https://r.example/path?q=secret"),
            user_agent: Some(b"agent"),
            language: Some(b"de"),
            query: None,
            target: None,
            objects: false,
        }
    }

    fn privacy(addresses: Addresses) -> Privacy {
        Privacy {
            addresses,
            respect_dnt: true,
            key: [7; 16],
        }
    }

    #[test]
    fn of_an_address_no_more_is_kept_than_was_asked_for() {
        let network = |addresses, address| privacy(addresses).kept(&seen(address)).network;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(Addresses::Truncated, "198.51.100.77"),
            Some(Network::Truncated(ip("198.51.100.0")))
        );
        assert_eq!(
            network(Addresses::Truncated, "2001:db8:1:2:3:4:5:6"),
            Some(Network::Truncated(ip("2001:db8:1::")))
        );
        assert_eq!(
            network(Addresses::Full, "198.51.100.77"),
            Some(Network::Full(ip("198.51.100.77")))
        );
        assert_eq!(network(Addresses::None, "198.51.100.77"), None);
    }

    #[test]
    fn a_visitor_is_the_same_for_a_day_and_nobody_known_on_the_next() {
        let hash = |change: &dyn Fn(&mut Seen<'static>)| {
            let mut seen = seen("198.51.100.77");
            change(&mut seen);
            privacy(Addresses::None).kept(&seen).visitor.unwrap()
        };
        let one = hash(&|_| ());
        // 08:00 in UTC.
        let later = |seen: &mut Seen<'_>, hours: u64| {
            seen.at = seen
                .at
                .saturating_add(std::time::Duration::from_secs(hours * 3_600));
        };
        assert_eq!(one, hash(&|seen| later(seen, 15)));
        assert_ne!(one, hash(&|seen| later(seen, 16)));
        assert_ne!(
            one,
            hash(&|seen| seen.address = "198.51.100.78".parse().unwrap())
        );
        assert_ne!(one, hash(&|seen| seen.user_agent = Some(b"other")));
        let mut other = privacy(Addresses::None);
        other.key = [8; 16];
        assert_ne!(Some(one), other.kept(&seen("198.51.100.77")).visitor);
    }

    #[test]
    fn of_those_who_object_only_the_site_they_come_from_is_kept() {
        let mut seen = seen("198.51.100.77");
        seen.objects = true;
        let mut privacy = privacy(Addresses::Full);
        assert_eq!(
            privacy.kept(&seen),
            Kept {
                visitor: None,
                network: None,
                referrer: Some(b"https://r.example"),
                user_agent: None,
                language: None,
            }
        );
        privacy.respect_dnt = false;
        assert!(privacy.kept(&seen).visitor.is_some());
    }

    #[test]
    fn an_origin_has_no_path_and_no_name() {
        let of =
            |url: &'static str| origin(url.as_bytes()).map(|o| std::str::from_utf8(o).unwrap());
        assert_eq!(
            of("https://r.example:8443?q"),
            Some("https://r.example:8443")
        );
        assert_eq!(of("https://r.example"), Some("https://r.example"));
        assert_eq!(of("https://me@r.example/"), None);
        assert_eq!(of("/path"), None);
        assert_eq!(of(""), None);
    }
}

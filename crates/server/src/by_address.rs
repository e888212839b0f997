//! How many connections one address has open, so that no single client takes all places.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

/// The bits of an IPv6 address that one client has: it chooses the others as it likes.
const CLIENT_BITS: u32 = 64;

/// The connections of each address, and their bound.
#[derive(Debug)]
pub(crate) struct ByAddress {
    most: usize,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One of the connections of an address.
#[derive(Debug)]
pub(crate) struct Entered(Option<(Arc<ByAddress>, IpAddr)>);

impl ByAddress {
    /// At most `most` at once of one address, but of those in `exempt`, behind which there are many clients.
    pub(crate) fn new(most: usize, exempt: &[IpNet]) -> Arc<Self> {
        Arc::new(Self {
            most,
            exempt: exempt.to_vec(),
            open: Mutex::default(),
        })
    }

    /// One more; none if the address has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&address)) {
            return Some(Entered(None));
        }
        let client = client(address);
        let mut open = self.open.lock();
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Entered(Some((Arc::clone(self), client))))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some((by_address, client)) = self.0.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = by_address.open.lock().entry(client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        };
    }
}

fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & (u128::MAX << (128 - CLIENT_BITS));
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_bound_and_gets_places_back() {
        let bound = ByAddress::new(2, &[]);
        let first = bound.enter(ip("192.0.2.1")).unwrap();
        let _second = bound.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(bound.enter(ip("192.0.2.1")).is_none());
        assert!(bound.enter(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(bound.enter(ip("192.0.2.1")).is_some());
        assert_eq!(bound.open.lock().len(), 1);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let bound = ByAddress::new(1, &[]);
        let _held = bound.enter(ip("2001:db8::1")).unwrap();
        assert!(bound.enter(ip("2001:db8::ffff:1")).is_none());
        assert!(bound.enter(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn proxies_are_not_bounded_nor_remembered() {
        let bound = ByAddress::new(1, &["10.0.0.0/8".parse().unwrap()]);
        let held: Vec<_> = (0..9).map(|_| bound.enter(ip("10.1.2.3"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(bound.open.lock().is_empty());
    }
}

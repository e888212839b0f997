//! The limit service as its own first customer: what this server itself is asked too often.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tollgate_limit::policy::Descriptor;
use tollgate_limit::service::{CheckAnswer, CheckRequest, LimitService};

/// The domain of the policies that guard this server; `built_in.yaml` has the first ones.
const DOMAIN: &str = "tollgate";

/// The policies that are there without any file.
pub const BUILT_IN: &str = include_str!("built_in.yaml");

/// Asks the policies of the domain `tollgate`.
#[derive(Clone)]
pub struct Guard(Arc<LimitService>);

impl Guard {
    /// A guard by the policies of this service.
    #[must_use]
    pub const fn new(service: Arc<LimitService>) -> Self {
        Self(service)
    }

    /// A visitor asks for a code that does not exist.
    pub(crate) async fn not_found(&self, visitor: IpAddr) -> Result<(), CheckAnswer> {
        let visitor = counted(visitor);
        self.admit([Descriptor::of([
            ("not_found", ""),
            ("remote_address", &*visitor),
        ])])
        .await
    }

    /// A visitor tries a password at a link.
    pub(crate) async fn password(&self, link: &str, visitor: IpAddr) -> Result<(), CheckAnswer> {
        let visitor = counted(visitor);
        self.admit([
            Descriptor::of([("password", link), ("remote_address", &*visitor)]),
            Descriptor::of([("password", link)]),
        ])
        .await
    }

    /// A visitor signs in to the dashboard, or tries to.
    pub(crate) async fn sign_in(&self, visitor: IpAddr) -> Result<(), CheckAnswer> {
        let visitor = counted(visitor);
        self.admit([Descriptor::of([
            ("sign_in", ""),
            ("remote_address", &*visitor),
        ])])
        .await
    }

    /// An API key is used.
    pub(crate) async fn api_key(&self, key: &str) -> Result<(), CheckAnswer> {
        self.admit([Descriptor::of([("api_key", key)])]).await
    }

    /// An API key makes links.
    pub(crate) async fn create(&self, key: &str) -> Result<(), CheckAnswer> {
        self.admit([Descriptor::of([("create", ""), ("api_key", key)])])
            .await
    }

    async fn admit<const N: usize>(&self, by: [Descriptor; N]) -> Result<(), CheckAnswer> {
        let request = CheckRequest {
            domain: DOMAIN.to_owned(),
            descriptors: by.into(),
            hits: 1,
        };
        match self.0.check(&request).await {
            Ok(answer) if !answer.allowed => Err(answer),
            // The request names a domain and a descriptor: it is never refused as a whole.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The address a visitor is counted by: of IPv6 the network of 64 bits, of which every address may
/// be one person's.
fn counted(visitor: IpAddr) -> String {
    match visitor.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_limit::policy::{PolicySet, Resolved};

    use super::*;

    #[test]
    fn the_built_in_policies_are_for_what_is_asked() {
        let policies = PolicySet::parse("built_in.yaml", BUILT_IN).unwrap();
        assert_eq!(policies.domains(), [DOMAIN]);
        let asked = [
            Descriptor::of([("not_found", ""), ("remote_address", "192.0.2.1")]),
            Descriptor::of([("password", "/a"), ("remote_address", "192.0.2.1")]),
            Descriptor::of([("password", "/a")]),
            Descriptor::of([("sign_in", ""), ("remote_address", "192.0.2.1")]),
            Descriptor::of([("api_key", "key_a")]),
            Descriptor::of([("create", ""), ("api_key", "key_a")]),
        ];
        for descriptor in asked {
            let resolved = policies.resolve(DOMAIN, &descriptor);
            assert!(
                matches!(resolved, Resolved::Limited { .. }),
                "{descriptor:?}"
            );
        }
    }

    #[test]
    fn a_home_of_ipv6_addresses_counts_as_one() {
        let seen = |ip: &str| counted(ip.parse().unwrap());
        assert_eq!(seen("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(seen("::ffff:192.0.2.1"), "192.0.2.1");
    }
}

//! The hosts this instance serves, and the addresses of short links on them.

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::{Domain, LinkKey};

/// What stays as it is in a path segment or a query value: the unreserved characters of RFC 3986.
pub const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Every host short links live on.
#[derive(Debug, Clone)]
pub struct Domains {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    default: Base,
    others: HashMap<Domain, Base>,
    /// All of them as `Host` mostly has them, for every redirect asks.
    by_host: HashMap<String, Domain, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Base {
    /// Ends with a slash.
    url: String,
    host: Domain,
    port: Option<u16>,
}

/// A base URL that cannot be used, or a host that is not served here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DomainsError {
    /// Not `http(s)://host[:port]`.
    #[error("{0:?} is no base URL: write it like https://go.example.com")]
    BaseUrl(String),
    /// Two base URLs with one host.
    #[error("the host {0:?} is given twice")]
    Twice(String),
    /// A host nobody configured.
    #[error("{0:?} is not one of this service's domains: add it to links.domains")]
    Unknown(String),
}

impl Domains {
    /// From `links.base_url` and `links.domains`, all of them base URLs.
    ///
    /// # Errors
    /// When one is no base URL, or two share a host.
    pub fn new(default: &str, others: &[String]) -> Result<Self, DomainsError> {
        let default = Base::parse(default)?;
        let mut map = HashMap::new();
        for text in others {
            let base = Base::parse(text)?;
            let host = base.host.clone();
            if host == default.host || map.insert(host.clone(), base).is_some() {
                return Err(DomainsError::Twice(host.to_string()));
            }
        }
        let hosts = map.keys().map(|host| (host.to_string(), host.clone()));
        let by_host = hosts
            .chain([(default.host.to_string(), Domain::default_domain())])
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                default,
                others: map,
                by_host,
            }),
        })
    }

    /// The domain a caller names; the default one by absence or by its own name.
    ///
    /// # Errors
    /// [`DomainsError::Unknown`].
    pub fn named(&self, name: Option<&str>) -> Result<Domain, DomainsError> {
        let Some(name) = name else {
            return Ok(Domain::default_domain());
        };
        match Domain::parse(name) {
            Ok(domain) if domain == self.inner.default.host => Ok(Domain::default_domain()),
            Ok(domain) if self.inner.others.contains_key(&domain) => Ok(domain),
            _ => Err(DomainsError::Unknown(name.chars().take(128).collect())),
        }
    }

    /// The domain of a request's `Host` (with or without a port); the default one if the host is
    /// none of ours, so that a service behind an address or a tunnel works at once.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Domain {
        if self.inner.others.is_empty() {
            return Domain::default_domain();
        }
        let host = without_port(host);
        // Finding out whether it is one of them in another spelling takes a good part of a redirect.
        if let Some(domain) = self.inner.by_host.get(host) {
            return domain.clone();
        }
        Domain::parse(host)
            .ok()
            .filter(|domain| self.inner.others.contains_key(domain))
            .unwrap_or_else(Domain::default_domain)
    }

    /// The whole short link.
    #[must_use]
    pub fn short_url(&self, key: &LinkKey) -> String {
        let base = self
            .inner
            .others
            .get(&key.domain)
            .unwrap_or(&self.inner.default);
        let code = utf8_percent_encode(key.code.as_str(), UNRESERVED);
        format!("{}{code}", base.url)
    }

    /// Our own hosts with their ports, for the check against redirect loops.
    #[must_use]
    pub fn own_hosts(&self) -> Vec<(Domain, Option<u16>)> {
        let Inner {
            default, others, ..
        } = &*self.inner;
        std::iter::once(default)
            .chain(others.values())
            .map(|base| (base.host.clone(), base.port))
            .collect()
    }

    /// The name of a domain; that of the default one is the host of short links.
    #[must_use]
    pub fn host_of(&self, domain: &Domain) -> String {
        match domain.is_default() {
            true => self.inner.default.host.to_string(),
            false => domain.to_string(),
        }
    }

    /// The names of all domains: the default one, then the others, sorted.
    #[must_use]
    pub fn all(&self) -> Vec<Domain> {
        let mut names: Vec<Domain> = self.inner.others.keys().cloned().collect();
        names.sort();
        names.insert(0, Domain::default_domain());
        names
    }
}

/// A host without the port behind it, if there is one.
#[must_use]
pub fn without_port(host: &str) -> &str {
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
}

impl Base {
    fn parse(text: &str) -> Result<Self, DomainsError> {
        let refuse = || DomainsError::BaseUrl(text.chars().take(256).collect());
        let url = Url::parse(text).map_err(|_| refuse())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str().and_then(|host| Domain::parse(host).ok());
        match host {
            Some(host) if plain => Ok(Self {
                port: url.port_or_known_default(),
                url: url.into(),
                host,
            }),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn domains() -> Domains {
        Domains::new(
            "http://127.0.0.1:8080",
            &["https://go.example.com".to_owned()],
        )
        .unwrap()
    }

    #[test]
    fn a_host_header_names_a_domain_and_strangers_get_the_default_one() {
        let domains = domains();
        for host in [
            "go.example.com",
            "go.example.com:443",
            "GO.example.com:443",
            "go.example.com.",
        ] {
            assert_eq!(domains.of_host(host).as_str(), "go.example.com", "{host}");
        }
        assert!(domains.of_host("127.0.0.1:8080").is_default());
        assert!(domains.of_host("[::1]:8080").is_default());
        assert!(domains.of_host("bad host").is_default());
        assert!(domains.named(Some("127.0.0.1")).unwrap().is_default());
        assert!(domains.named(Some("else.example")).is_err());
    }

    #[test]
    fn short_links_are_escaped() {
        let key = LinkKey {
            domain: Domain::parse("go.example.com").unwrap(),
            code: Code::from_stored("ä-1"),
        };
        assert_eq!(domains().short_url(&key), "https://go.example.com/%C3%A4-1");
    }

    #[test]
    fn base_urls_are_plain_and_name_each_host_once() {
        for bad in ["go.example.com", "ftp://a", "http://a/b", "http://a/?q", ""] {
            assert!(Domains::new(bad, &[]).is_err(), "{bad:?}");
        }
        let twice = Domains::new("http://a.example", &["https://A.example".to_owned()]);
        assert!(matches!(twice, Err(DomainsError::Twice(_))));
    }
}

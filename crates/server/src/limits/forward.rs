//! Requests that a proxy asks about before it lets them pass: nginx `auth_request`, Traefik
//! `forwardAuth`, Caddy `forward_auth`.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tollgate_limit::policy::{Descriptor, Entry};

use crate::client_ip::client_ip;

/// The longest value that is counted by; what is longer is cut.
const MAX_VALUE_BYTES: usize = 1024;

/// How forwarded requests are counted; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct Forwarding {
    /// The domain of requests that name none.
    pub domain: String,
    /// The descriptors of requests that name none.
    pub by: Vec<Vec<Attribute>>,
    /// Whether an API key is needed.
    pub without_key: bool,
    /// Proxies between the client and the one that asks.
    pub trusted_proxies: Vec<IpNet>,
}

/// What of a request a descriptor counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `remote_address`: the client's.
    RemoteAddress,
    /// `method`
    Method,
    /// `host`
    Host,
    /// `path`: without the query.
    Path,
    /// `api_key`: a hash of the token of `Authorization: Bearer`, or of `X-Api-Key`.
    ApiKey,
    /// `header:NAME`
    Header(HeaderName),
}

/// A request as its proxy tells of it.
pub(crate) struct Forwarded<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// Whether `Authorization` is the client's, and not the proxy's own.
    pub(crate) authorization: bool,
}

impl Attribute {
    /// Reads an attribute as the configuration and queries write it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "remote_address" => Self::RemoteAddress,
            "method" => Self::Method,
            "host" => Self::Host,
            "path" => Self::Path,
            "api_key" => Self::ApiKey,
            _ => Self::header(text.strip_prefix("header:")?)?,
        })
    }

    /// The header of this name; none if that is no name of a header.
    #[must_use]
    pub fn header(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::Header)
    }

    /// The descriptor of these attributes with their values; none if the request lacks one of them.
    pub(super) fn descriptor(
        by: &[Self],
        value: impl Fn(&Self) -> Option<String>,
    ) -> Option<Descriptor> {
        let entries = by.iter().map(|attribute| {
            let mut value = value(attribute)?;
            value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
            Some(Entry::new(attribute.key(), value))
        });
        Some(Descriptor {
            entries: entries.collect::<Option<_>>()?,
            ..Descriptor::default()
        })
    }

    fn key(&self) -> &str {
        match self {
            Self::RemoteAddress => "remote_address",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::ApiKey => "api_key",
            Self::Header(name) => name.as_str(),
        }
    }
}

impl Forwarded<'_> {
    /// The descriptor of these attributes; none if the request lacks one of them.
    pub(crate) fn descriptor(
        &self,
        by: &[Attribute],
        trusted_proxies: &[IpNet],
    ) -> Option<Descriptor> {
        Attribute::descriptor(by, |attribute| self.value(attribute, trusted_proxies))
    }

    fn value(&self, attribute: &Attribute, trusted_proxies: &[IpNet]) -> Option<String> {
        let first = |names: [&'static str; 2]| {
            let mut values = names.iter().filter_map(|name| self.headers.get(*name));
            values.next().map(lossy)
        };
        match attribute {
            Attribute::RemoteAddress => Some(self.client(trusted_proxies).to_string()),
            Attribute::Method => Some(
                first(["x-forwarded-method", "x-original-method"])
                    .unwrap_or_else(|| self.method.to_string()),
            ),
            Attribute::Host => {
                first(["x-forwarded-host", "host"]).map(|host| host.to_ascii_lowercase())
            }
            Attribute::Path => first(["x-forwarded-uri", "x-original-uri"]).map(|uri| {
                let end = uri.find(['?', '#']).unwrap_or(uri.len());
                uri[..end].to_owned()
            }),
            Attribute::ApiKey => api_key(self.headers, self.authorization),
            Attribute::Header(name) => self.headers.get(name).map(lossy),
        }
    }

    /// The proxy that asks is trusted by having asked; it wrote the last address.
    fn client(&self, trusted_proxies: &[IpNet]) -> IpAddr {
        let mut trusted = trusted_proxies.to_vec();
        trusted.push(IpNet::from(self.peer.to_canonical()));
        client_ip(self.peer, self.headers, &trusted)
    }
}

/// The digest of the token of `Authorization: Bearer`, if that header is the client's, or of
/// `X-Api-Key`.
pub(super) fn api_key(headers: &HeaderMap, authorization: bool) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).filter(|_| authorization);
    let token = bearer.and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    let own = headers.get("x-api-key").map(|value| value.as_bytes());
    token.or(own).map(<[u8]>::trim_ascii).map(digest)
}

pub(super) fn lossy(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A secret is counted by, and shown, without being kept: 16 digits of its SHA-256.
fn digest(secret: &[u8]) -> String {
    let mut text = String::with_capacity(16);
    for byte in &Sha256::digest(secret)[..8] {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn told(by: &str, pairs: &[(&'static str, &str)]) -> Option<String> {
        let headers = headers(pairs);
        let forwarded = Forwarded {
            peer: [10, 0, 0, 1].into(),
            method: &Method::GET,
            headers: &headers,
            authorization: true,
        };
        let by: Vec<_> = by
            .split('+')
            .map(|by| Attribute::parse(by).unwrap())
            .collect();
        let descriptor = forwarded.descriptor(&by, &[])?;
        let texts: Vec<String> = descriptor
            .entries
            .iter()
            .map(|entry| format!("{}={}", entry.key, entry.value))
            .collect();
        Some(texts.join(" "))
    }

    #[test]
    fn what_proxies_write_is_read() {
        let traefik = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-host", "Shop.Example"),
            ("x-forwarded-uri", "/cart?item=1"),
            ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
            ("host", "tollgate"),
        ];
        assert_eq!(
            told("method+host+path+remote_address", &traefik).unwrap(),
            "method=POST host=shop.example path=/cart remote_address=198.51.100.7"
        );
        let nginx = [("x-original-uri", "/a"), ("host", "shop.example")];
        assert_eq!(
            told("method+host+path+remote_address", &nginx).unwrap(),
            "method=GET host=shop.example path=/a remote_address=10.0.0.1"
        );
    }

    #[test]
    fn what_is_missing_makes_no_descriptor() {
        for by in ["path", "host+path", "api_key", "header:x-tenant+method"] {
            assert_eq!(told(by, &[]), None, "{by}");
        }
        assert_eq!(
            told("header:X-Tenant", &[("x-tenant", "a")]).unwrap(),
            "x-tenant=a"
        );
    }

    #[test]
    fn keys_are_counted_by_their_digest() {
        let key = "api_key=2bb80d537b1da3e3";
        assert_eq!(
            told("api_key", &[("authorization", "Bearer secret")]).unwrap(),
            key
        );
        assert_eq!(told("api_key", &[("x-api-key", "secret")]).unwrap(), key);
        assert_eq!(
            told("api_key", &[("authorization", "Basic c2VjcmV0")]),
            None
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "ä".repeat(MAX_VALUE_BYTES);
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-uri"),
            http::HeaderValue::from_bytes(format!("/{long}").as_bytes()).unwrap(),
        )]);
        let forwarded = Forwarded {
            peer: [10, 0, 0, 1].into(),
            method: &Method::GET,
            headers: &headers,
            authorization: false,
        };
        let descriptor = forwarded.descriptor(&[Attribute::Path], &[]).unwrap();
        assert_eq!(descriptor.entries[0].value.len(), MAX_VALUE_BYTES - 1);
    }
}

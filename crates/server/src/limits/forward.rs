//! Requests that a proxy asks about before it lets them pass: nginx `auth_request`, Traefik
//! `forwardAuth`, Caddy `forward_auth`.

use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use ipnet::IpNet;
use tollgate_limit::attribute::{Attribute, digest};
use tollgate_limit::policy::Descriptor;

use crate::client_ip::client_ip;

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

/// A request as its proxy tells of it.
pub(crate) struct Forwarded<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// Whether `Authorization` is the client's, and not the proxy's own.
    pub(crate) authorization: bool,
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
}

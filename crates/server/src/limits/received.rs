//! Requests that pass through this server itself, and count by what they are.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::Descriptor;

use super::forward::{api_key, lossy};

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// Who sent it, behind trusted proxies.
    pub(crate) client: IpAddr,
    pub(crate) method: &'a Method,
    /// What it is for, if it says so.
    pub(crate) host: Option<&'a str>,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

impl Received<'_> {
    /// The descriptor of these attributes; none if the request lacks one of them.
    pub(crate) fn descriptor(&self, by: &[Attribute]) -> Option<Descriptor> {
        Attribute::descriptor(by, |attribute| match attribute {
            Attribute::RemoteAddress => Some(self.client.to_string()),
            Attribute::Method => Some(self.method.to_string()),
            Attribute::Host => self.host.map(str::to_ascii_lowercase),
            Attribute::Path => Some(self.path.to_owned()),
            Attribute::ApiKey => api_key(self.headers, true),
            Attribute::Header(name) => self.headers.get(name).map(lossy),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_itself_counts_and_not_what_its_headers_say_of_another() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-host", "other.example"),
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/other"),
            ("x-api-key", "secret"),
            ("x-tenant", "a"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let received = Received {
            client: [192, 0, 2, 1].into(),
            method: &Method::PUT,
            host: Some("Shop.Example"),
            path: "/cart",
            headers: &headers,
        };
        let by = ["remote_address", "method", "host", "path", "api_key"];
        let mut by: Vec<_> = by.map(|by| Attribute::parse(by).unwrap()).into();
        by.push(Attribute::header("X-Tenant").unwrap());
        let entries = received.descriptor(&by).unwrap().entries;
        let values: Vec<_> = entries.iter().map(|entry| &*entry.value).collect();
        assert_eq!(
            values,
            [
                "192.0.2.1",
                "PUT",
                "shop.example",
                "/cart",
                "2bb80d537b1da3e3",
                "a"
            ]
        );
        let missing = [Attribute::header("x-missing").unwrap()];
        assert_eq!(received.descriptor(&missing), None);
    }
}

//! What the edge looks at in a request, whoever has read it.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// The parts of a request that matter here.
#[derive(Clone, Copy)]
pub(super) struct RequestHead<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) fields: Fields<'a>,
}

/// The fields of a head, from the first to the last.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    /// As hyper keeps them.
    Map(&'a HeaderMap),
    /// As they stand in a buffer.
    Lines(&'a [httparse::Header<'a>]),
}

impl<'a> RequestHead<'a> {
    pub(super) fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            path: uri.path(),
            query: uri.query(),
            host: host(uri, headers),
            fields: Fields::Map(headers),
        }
    }

    /// Whether it asks without sending anything.
    pub(super) fn reads(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers)
    }
}

/// HTTP/2 and requests to proxies name the host in the URI, all others in the header.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    uri.authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(HOST)?.to_str().ok())
        .unwrap_or_default()
}

impl<'a> Fields<'a> {
    /// The values of all fields of this name.
    pub(super) fn all(self, name: &HeaderName) -> Vec<&'a [u8]> {
        match self {
            Self::Map(map) => map
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect(),
            Self::Lines(lines) => lines
                .iter()
                .filter(|line| line.name.eq_ignore_ascii_case(name.as_str()))
                .map(|line| line.value)
                .collect(),
        }
    }

    /// The value of the first field of this name, if it is text.
    pub(super) fn text(self, name: &HeaderName) -> Option<&'a str> {
        let value = match self {
            Self::Map(map) => return map.get(name)?.to_str().ok(),
            Self::Lines(lines) => {
                lines
                    .iter()
                    .find(|line| line.name.eq_ignore_ascii_case(name.as_str()))?
                    .value
            }
        };
        text(value)
    }
}

/// The value of a field as text, if it is visible ASCII, spaces and tabs.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| visible)
}

//! The head of a request: whether it can be passed on, and as what.

use std::net::IpAddr;

use http::header::{ALLOW, CONNECTION, COOKIE, EXPECT, HOST, TE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::ProxyOptions;
use super::hops::{self, Origin};
use crate::client_ip::client_ip;
use crate::limits::Received;
use crate::problem::{Kind, Problem};
use crate::well_formed;

/// What a request may ask for.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";
/// The only protocol that a connection may change to: anything else, such as HTTP/2, could carry
/// more requests past the policies.
const WEBSOCKET: &[u8] = b"websocket";

/// A request that can be passed on.
pub(super) struct Inbound {
    pub(super) parts: Parts,
    /// What it is for, if it says so.
    host: Option<String>,
    /// Who sent it here.
    peer: IpAddr,
    /// Who sent it, behind trusted proxies.
    client: IpAddr,
    trusted: bool,
    /// Whether it asks for a tunnel.
    pub(super) upgrade: bool,
    /// Whether it asks before it sends its body.
    pub(super) expects: bool,
}

impl Inbound {
    /// Reads a head.
    pub(super) fn read(
        parts: Parts,
        peer: IpAddr,
        options: &ProxyOptions,
    ) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let host = host(&parts)?;
        if parts.method == Method::CONNECT {
            let detail = "This is a reverse proxy: it opens no tunnels to elsewhere.";
            return Err(Problem::new(Kind::MethodNotAllowed, detail)
                .header(ALLOW, HeaderValue::from_static(METHODS)));
        }
        if hops::goes_in_circles(headers) {
            let detail = "The request comes back here: the upstream leads to this proxy.";
            return Err(
                Problem::new(Kind::BadRequest, detail).with_status(StatusCode::LOOP_DETECTED)
            );
        }
        let trusted_proxies = &options.trusted_proxies;
        let peer = peer.to_canonical();
        Ok(Self {
            peer,
            client: client_ip(peer, headers, trusted_proxies),
            trusted: trusted_proxies.iter().any(|net| net.contains(&peer)),
            upgrade: wants_websocket(&parts),
            expects: headers.contains_key(EXPECT),
            host,
            parts,
        })
    }

    /// What it counts by.
    pub(super) fn received(&self) -> Received<'_> {
        Received {
            client: self.client,
            method: &self.parts.method,
            host: self.host.as_deref(),
            path: self.parts.uri.path(),
            headers: &self.parts.headers,
        }
    }

    /// The head of what has arrived by this scheme, as the upstream gets it, but for the address.
    pub(super) fn into_forwarded(self, scheme: &'static str, options: &ProxyOptions) -> Parts {
        let mut parts = self.parts;
        let headers = &mut parts.headers;
        let trailers = hops::tokens(headers, &TE)
            .iter()
            .any(|coding| coding == b"trailers");
        hops::strip(headers);
        // Whoever takes the body from here asks for it.
        headers.remove(EXPECT);
        hops::sign(headers, parts.version);
        hops::forward(
            headers,
            Origin {
                peer: self.peer,
                trusted: self.trusted,
                scheme,
                host: self.host.as_deref(),
            },
        );
        join_cookies(headers);
        let host = self
            .host
            .filter(|_| options.keep_host)
            .and_then(|host| HeaderValue::try_from(host).ok());
        match host {
            Some(host) => headers.insert(HOST, host),
            // The client adds that of the upstream.
            None => headers.remove(HOST),
        };
        let mut connection = Vec::new();
        if self.upgrade {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            connection.push("upgrade");
        }
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            connection.push("te");
        }
        if let Ok(connection) = HeaderValue::try_from(connection.join(", "))
            && !connection.is_empty()
        {
            headers.insert(CONNECTION, connection);
        }
        parts.version = Version::HTTP_11;
        parts
    }
}

/// HTTP/2 and requests to forward proxies name the host in the target, which goes before the
/// header (RFC 9112, 3.2.2).
fn host(parts: &Parts) -> Result<Option<String>, Problem> {
    let line = well_formed::check(&parts.method, &parts.uri, parts.version, &parts.headers);
    let line = line
        .map_err(|bad| Problem::new(Kind::BadRequest, bad.to_string()).with_status(bad.status()))?;
    if let Some(authority) = parts.uri.authority() {
        return Ok(Some(
            well_formed::without_user(authority.as_str()).to_owned(),
        ));
    }
    Ok(line.map(str::to_owned))
}

fn wants_websocket(parts: &Parts) -> bool {
    let named = |name, word: &[u8]| hops::tokens(&parts.headers, name).iter().any(|w| w == word);
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && named(&CONNECTION, b"upgrade")
        && named(&UPGRADE, WEBSOCKET)
}

/// HTTP/2 may send cookies apart, which HTTP/1.1 knows as one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() < 2 {
        return;
    }
    // Joined from values and a semicolon.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

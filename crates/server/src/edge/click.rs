//! What is captured of a request that is a click: see `docs/clicks.md` for what is one.

use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, DNT, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method};
use tollgate_clicks::ClickKind;
use tollgate_clicks::capture::Seen;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkKey;

use super::accept::EdgeThread;
use super::visit::RequestHead;
use crate::client_ip::client_ip;

/// Global Privacy Control: what came after `DNT`.
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// What the headers tell of a visitor; of a header that comes twice, the first.
#[derive(Default)]
struct Told<'h> {
    referrer: Option<&'h [u8]>,
    user_agent: Option<&'h [u8]>,
    language: Option<&'h [u8]>,
    dnt: Option<&'h [u8]>,
    gpc: Option<&'h [u8]>,
}

impl<'h> Told<'h> {
    /// All in one pass: looking each of them up takes longer.
    fn by(headers: &'h HeaderMap) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            let place = if name == REFERER {
                &mut told.referrer
            } else if name == USER_AGENT {
                &mut told.user_agent
            } else if name == ACCEPT_LANGUAGE {
                &mut told.language
            } else if name == DNT {
                &mut told.dnt
            } else if name == SEC_GPC {
                &mut told.gpc
            } else {
                continue;
            };
            place.get_or_insert(value.as_bytes());
        }
        told
    }
}

impl EdgeThread {
    /// The visitor was sent to `target`.
    pub(super) fn visited(
        &self,
        peer: IpAddr,
        head: RequestHead<'_>,
        link: &LinkKey,
        target: &str,
        now: UnixMillis,
    ) {
        self.capture(ClickKind::Visit, peer, head, link, Some(target), now);
    }

    /// The visitor was told that there is no such link.
    pub(super) fn strayed(
        &self,
        peer: IpAddr,
        head: RequestHead<'_>,
        link: &LinkKey,
        now: UnixMillis,
    ) {
        self.capture(ClickKind::Orphan, peer, head, link, None, now);
    }

    fn capture(
        &self,
        kind: ClickKind,
        peer: IpAddr,
        head: RequestHead<'_>,
        link: &LinkKey,
        target: Option<&str>,
        now: UnixMillis,
    ) {
        let Some(queue) = &self.clicks else { return };
        // Whoever asks for the head alone looks, and goes nowhere.
        if head.method == Method::HEAD {
            return;
        }
        let told = Told::by(head.headers);
        queue.push(&Seen {
            at: now,
            kind,
            domain: link.domain.as_str(),
            code: link.code.as_str(),
            address: client_ip(peer, head.headers, &self.shared.options.trusted_proxies),
            referrer: told.referrer,
            user_agent: told.user_agent,
            language: told.language,
            query: head.query,
            target,
            objects: told.dnt == Some(b"1") || told.gpc == Some(b"1"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_header_that_comes_twice_the_first_counts() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("user-agent", "one"),
            ("accept", "*/*"),
            ("user-agent", "two"),
            ("sec-gpc", "1"),
            ("dnt", "0"),
            ("referer", "https://r.example/"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let told = Told::by(&headers);
        assert_eq!(told.user_agent, Some(&b"one"[..]));
        assert_eq!(told.referrer, Some(&b"https://r.example/"[..]));
        assert_eq!(told.language, None);
        assert_eq!((told.dnt, told.gpc), (Some(&b"0"[..]), Some(&b"1"[..])));
    }
}

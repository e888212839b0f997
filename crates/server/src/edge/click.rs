//! What is captured of a request that is a click: see `docs/clicks.md` for what is one.

use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, DNT, REFERER, USER_AGENT};
use http::{HeaderName, Method};
use tollgate_clicks::ClickKind;
use tollgate_clicks::capture::Seen;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkKey;

use super::accept::EdgeThread;
use super::visit::RequestHead;
use crate::client_ip::client_ip;

/// Global Privacy Control: what came after `DNT`.
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

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
        let bytes = |name: &HeaderName| head.headers.get(name).map(http::HeaderValue::as_bytes);
        let is_one = |name: &HeaderName| bytes(name) == Some(b"1");
        queue.push(&Seen {
            at: now,
            kind,
            domain: link.domain.as_str(),
            code: link.code.as_str(),
            address: client_ip(peer, head.headers, &self.shared.options.trusted_proxies),
            referrer: bytes(&REFERER),
            user_agent: bytes(&USER_AGENT),
            language: bytes(&ACCEPT_LANGUAGE),
            query: head.query,
            target,
            objects: is_one(&DNT) || is_one(&SEC_GPC),
        });
    }
}

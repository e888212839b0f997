//! What is captured of a request that is a click: see `docs/clicks.md` for what is one.

use std::net::IpAddr;

use http::Method;
use tollgate_clicks::ClickKind;
use tollgate_clicks::capture::Seen;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkKey;

use super::accept::EdgeThread;
use super::head::{Fields, RequestHead};
use super::visit::visitor;

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
    fn by(fields: Fields<'h>) -> Self {
        let mut told = Self::default();
        match fields {
            Fields::Map(map) => {
                for (name, value) in map {
                    told.note(name.as_str(), value.as_bytes());
                }
            }
            Fields::Lines(lines) => {
                for line in lines {
                    told.note(line.name, line.value);
                }
            }
        }
        told
    }

    fn note(&mut self, name: &str, value: &'h [u8]) {
        let is = |wanted| name.eq_ignore_ascii_case(wanted);
        // By the length first, which tells most others apart.
        let place = match name.len() {
            3 if is("dnt") => &mut self.dnt,
            7 if is("referer") => &mut self.referrer,
            // Global Privacy Control: what came after `DNT`.
            7 if is("sec-gpc") => &mut self.gpc,
            10 if is("user-agent") => &mut self.user_agent,
            15 if is("accept-language") => &mut self.language,
            _ => return,
        };
        place.get_or_insert(value);
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
        let told = Told::by(head.fields);
        queue.push(&Seen {
            at: now,
            kind,
            domain: link.domain.as_str(),
            code: link.code.as_str(),
            address: visitor(peer, head, &self.shared.options.trusted_proxies),
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
    use http::{HeaderMap, HeaderName};

    use super::*;

    #[test]
    fn of_a_header_that_comes_twice_the_first_counts() {
        let lines = [
            ("User-Agent", "one"),
            ("accept", "*/*"),
            ("user-agent", "two"),
            ("sec-gpc", "1"),
            ("DNT", "0"),
            ("referer", "https://r.example/"),
        ];
        let map: HeaderMap = lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            });
        let lines = lines.map(|(name, value)| httparse::Header {
            name,
            value: value.as_bytes(),
        });
        for fields in [Fields::Map(&map), Fields::Lines(&lines)] {
            let told = Told::by(fields);
            assert_eq!(told.user_agent, Some(&b"one"[..]));
            assert_eq!(told.referrer, Some(&b"https://r.example/"[..]));
            assert_eq!(told.language, None);
            assert_eq!((told.dnt, told.gpc), (Some(&b"0"[..]), Some(&b"1"[..])));
        }
    }
}

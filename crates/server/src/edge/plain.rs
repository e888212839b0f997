//! Requests that can only mean one thing: which ones are answered without hyper.
//!
//! Only what is understood to the last byte is taken: `GET` or `HEAD` of a path, HTTP/1.1, one `Host`, no body,
//! nothing that changes the connection, all of it read by the parser that hyper has. Whatever else it is,
//! hyper reads and answers it, from its first byte on.

use std::mem::MaybeUninit;

use http::Method;

use super::head::{Fields, RequestHead, text};
use crate::well_formed::is_host;

/// The most fields of a head. Browsers send about fifteen.
const MAX_FIELDS: usize = 32;
/// The longest path and query: hyper bounds them too, far above.
const MAX_TARGET_BYTES: usize = 8192;

/// Room for the fields of a head.
pub(super) type Lines<'b> = [MaybeUninit<httparse::Header<'b>>; MAX_FIELDS];

/// What the bytes are that a connection begins with, or that follow a request.
pub(super) enum Read<'a> {
    /// A plain request, which ends after so many bytes.
    Plain(RequestHead<'a>, usize),
    /// It may become a plain request.
    Partial,
    /// Something for hyper.
    Other,
}

/// No fields yet.
pub(super) const fn lines<'b>() -> Lines<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Reads the first head in `bytes`, which is at most `max_bytes` long.
pub(super) fn read<'a>(bytes: &'a [u8], lines: &'a mut Lines<'a>, max_bytes: usize) -> Read<'a> {
    // Before the parser, which takes methods and line breaks that are not plain.
    let method = match bytes {
        [b'G', b'E', b'T', b' ', b'/', ..] => &Method::GET,
        [b'H', b'E', b'A', b'D', b' ', b'/', ..] => &Method::HEAD,
        _ if b"GET /".starts_with(bytes) || b"HEAD /".starts_with(bytes) => return Read::Partial,
        _ => return Read::Other,
    };
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < max_bytes => return Read::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Read::Other,
    };
    let (Some(1), Some(target)) = (request.version, request.path) else {
        return Read::Other;
    };
    let is_plain =
        target.len() <= MAX_TARGET_BYTES && target.bytes().all(|b| IN_TARGET[usize::from(b)]);
    if length > max_bytes || !is_plain {
        return Read::Other;
    }
    let fields: &[httparse::Header<'a>] = request.headers;
    let Some(host) = only_host(fields) else {
        return Read::Other;
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let head = RequestHead {
        method,
        path,
        query,
        host,
        fields: Fields::Lines(fields),
    };
    Read::Plain(head, length)
}

/// The host, if there is one and no field says that more is wanted than an answer.
fn only_host<'a>(fields: &[httparse::Header<'a>]) -> Option<&'a str> {
    let mut host = None;
    for field in fields {
        let is = |name| field.name.eq_ignore_ascii_case(name);
        // By the length first, which tells most others apart.
        match field.name.len() {
            4 if is("host") => match host {
                None => host = Some(text(field.value).filter(|host| is_host(host))?),
                Some(_) => return None,
            },
            10 if is("connection") && !field.value.eq_ignore_ascii_case(b"keep-alive") => {
                return None;
            }
            6 if is("expect") => return None,
            7 if is("upgrade") || is("trailer") => return None,
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            _ => {}
        }
    }
    host
}

/// What can stand in a path or a query (RFC 3986, 3.3 and 3.4).
const IN_TARGET: [bool; 256] = {
    let mut allowed = [false; 256];
    let others = b"-._~!$&'()*+,;=:@/%?";
    let mut byte = 0;
    while byte < 256 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        allowed[others[at] as usize] = true;
        at += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> String {
        match read(bytes, &mut lines(), 1024) {
            Read::Plain(head, length) => format!(
                "{} {} {:?} at {}, {} left",
                head.method,
                head.path,
                head.query,
                head.host,
                bytes.len() - length
            ),
            Read::Partial => "partial".to_owned(),
            Read::Other => "other".to_owned(),
        }
    }

    #[test]
    fn requests_of_browsers_are_plain() {
        let text = "GET /ab%20c?x=1&y=?/ HTTP/1.1\r\nHost: lnk.example:80\r\nConnection: Keep-Alive\r\n\
                    User-Agent: x\r\nAccept: */*\r\n\r\nGET";
        let plain = "GET /ab%20c Some(\"x=1&y=?/\") at lnk.example:80, 3 left";
        assert_eq!(kind(text.as_bytes()), plain);
        let head = "HEAD / HTTP/1.1\r\nhost:x\r\n\r\n";
        assert_eq!(kind(head.as_bytes()), "HEAD / None at x, 0 left");
        for end in 0..head.len() {
            assert_eq!(kind(&head.as_bytes()[..end]), "partial", "{end}");
        }
    }

    #[test]
    fn whatever_else_it_is_is_not() {
        let field = |field: &str| format!("GET /a HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
        assert_ne!(kind(field("accept: y").as_bytes()), "other");
        for other in [
            "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "POST /a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\n\r\n".to_owned(),
            "GET /a\r\n\r\n".to_owned(),
            "GET /a{b} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\nHost: é\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            field("Host: x"),
            field("host : y"),
            field("Connection: close"),
            field("Connection: keep-alive, upgrade"),
            field("Upgrade: h2c"),
            field("Content-Length: 0"),
            field("Transfer-Encoding: chunked"),
            field("EXPECT: 100-continue"),
            field("Trailer: x"),
            field(" folded"),
            field(&"x: y\r\n".repeat(40)),
            field(&format!("x: {}", "y".repeat(1024))),
        ] {
            assert_eq!(kind(other.as_bytes()), "other", "{other}");
        }
        let endless = format!("GET /{}", "a".repeat(1024));
        assert_eq!(kind(endless.as_bytes()), "other");
    }
}

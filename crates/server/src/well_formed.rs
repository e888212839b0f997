//! What the head of every request has to be, beyond what hyper asks for: nothing in it may be understood in two ways by
//! servers that it passes through.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// A head that could mean different things to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    #[error("An HTTP/1.1 request needs one Host header, with a host and perhaps a port.")]
    Host,
    #[error("The target of a request is a path that begins with a slash, or a whole URL.")]
    Target,
    #[error("The transfer coding chunked is named more than once.")]
    Twice,
    #[error("Of transfer codings, chunked is understood alone.")]
    Coding,
}

impl BadHead {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Host | Self::Target | Self::Twice => StatusCode::BAD_REQUEST,
        }
    }
}

/// What `Host` says, if it is there, in a head that is right.
pub(crate) fn check<'a>(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &'a HeaderMap,
) -> Result<Option<&'a str>, BadHead> {
    target(method, uri)?;
    coding(headers)?;
    let named = uri
        .authority()
        .map(|authority| without_user(authority.as_str()));
    if !named.is_none_or(is_host) {
        return Err(BadHead::Host);
    }
    host(version, headers)
}

/// An authority without the user that it might name.
pub(crate) fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// The forms of RFC 9112, section 3.2: a host alone is for CONNECT, and `*` for OPTIONS.
fn target(method: &Method, uri: &Uri) -> Result<(), BadHead> {
    let host_alone = uri.scheme().is_none() && uri.authority().is_some();
    let fits = match uri.path() {
        _ if host_alone => method == Method::CONNECT,
        "*" => method == Method::OPTIONS,
        _ => true,
    };
    fits.then_some(()).ok_or(BadHead::Target)
}

/// Who reads the second of two codings of a body ends it elsewhere than who reads the first (section 6.1).
fn coding(headers: &HeaderMap) -> Result<(), BadHead> {
    let lines = headers.get_all(TRANSFER_ENCODING).iter();
    let codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let codings = codings.map(<[u8]>::trim_ascii);
    let mut codings = codings.filter(|coding| !coding.is_empty()).peekable();
    if codings.peek().is_none() {
        return Ok(());
    }
    let mut count = 0;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(BadHead::Coding);
        }
        count += 1;
    }
    (count == 1).then_some(()).ok_or(BadHead::Twice)
}

/// Once, and with nothing that a host or a port cannot have (section 3.2): servers that find different hosts in a line
/// would answer for different ones.
fn host(version: Version, headers: &HeaderMap) -> Result<Option<&str>, BadHead> {
    let mut lines = headers.get_all(HOST).iter();
    let Some(line) = lines.next() else {
        return match version {
            Version::HTTP_11 => Err(BadHead::Host),
            _ => Ok(None),
        };
    };
    if lines.next().is_some() {
        return Err(BadHead::Host);
    }
    let line = line.to_str().ok().filter(|line| is_host(line));
    line.map(Some).ok_or(BadHead::Host)
}

/// Whether a text is nothing, or a host and perhaps a port (RFC 3986, section 3.2).
pub(crate) fn is_host(text: &str) -> bool {
    let (host_fits, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let fits = address.bytes().all(|byte| byte == b':' || is_of_name(byte));
            (fits, rest)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.bytes().all(is_of_name), port)
        }
    };
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    host_fits && port_fits
}

/// What a name is made of.
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(byte, b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(
                name,
                http::HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn of_hosts(version: Version, lines: &[&str]) -> Result<Option<String>, BadHead> {
        let lines: Vec<_> = lines.iter().map(|line| (HOST, *line)).collect();
        let headers = headers(&lines);
        let found = check(&Method::GET, &Uri::from_static("/"), version, &headers);
        found.map(|host| host.map(str::to_owned))
    }

    #[test]
    fn there_is_one_host() {
        for host in [
            "",
            "x",
            "go.example.com:8080",
            "[::1]:80",
            "192.0.2.7",
            "a_b.example",
            "a%20b",
        ] {
            assert_eq!(
                of_hosts(Version::HTTP_11, &[host]),
                Ok(Some(host.to_owned()))
            );
        }
        for host in [
            "a b",
            "a/b",
            "u@a",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "a\tb",
            "b\u{fc}cher.example",
            "a:b",
            "a:80:80",
            "[::1",
            "[::1]80",
            "::1",
        ] {
            assert_eq!(
                of_hosts(Version::HTTP_11, &[host]),
                Err(BadHead::Host),
                "{host}"
            );
            assert_eq!(
                of_hosts(Version::HTTP_2, &[host]),
                Err(BadHead::Host),
                "{host}"
            );
        }
        assert_eq!(of_hosts(Version::HTTP_11, &["a", "a"]), Err(BadHead::Host));
        assert_eq!(of_hosts(Version::HTTP_11, &[]), Err(BadHead::Host));
        assert_eq!(of_hosts(Version::HTTP_10, &[]), Ok(None));
    }

    #[test]
    fn targets_have_the_form_of_their_method() {
        let none = HeaderMap::new();
        let of =
            |method: Method, uri| check(&method, &Uri::from_static(uri), Version::HTTP_2, &none);
        for (method, uri) in [
            (Method::GET, "/a"),
            (Method::GET, "http://x/a"),
            (Method::GET, "http://x"),
            (Method::OPTIONS, "*"),
            (Method::CONNECT, "x:443"),
        ] {
            assert_eq!(of(method, uri), Ok(None), "{uri}");
        }
        for (method, uri) in [
            (Method::GET, "a"),
            (Method::POST, "x:443"),
            (Method::GET, "*"),
        ] {
            assert_eq!(of(method, uri), Err(BadHead::Target), "{uri}");
        }
        assert_eq!(of(Method::GET, "http://u@x:80/a"), Ok(None));
        assert_eq!(of(Method::GET, "http://u@x:p.q/a"), Err(BadHead::Host));
    }

    #[test]
    fn chunked_is_the_only_coding_and_stands_once() {
        let of = |lines: &[&str]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| (TRANSFER_ENCODING, *line))
                .collect();
            let (uri, headers) = (Uri::from_static("/"), headers(&lines));
            check(&Method::POST, &uri, Version::HTTP_10, &headers).map(drop)
        };
        assert_eq!(of(&[]), Ok(()));
        assert_eq!(of(&["Chunked"]), Ok(()));
        assert_eq!(of(&["chunked, chunked"]), Err(BadHead::Twice));
        assert_eq!(of(&["chunked", "chunked"]), Err(BadHead::Twice));
        assert_eq!(of(&["gzip, chunked"]), Err(BadHead::Coding));
        assert_eq!(of(&["chunked", "identity"]), Err(BadHead::Coding));
    }
}

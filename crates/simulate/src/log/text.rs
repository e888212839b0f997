//! The common and the combined log format.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::time::Times;
use super::{Format, Malformed, Request, address, request_line};

/// `host ident user [time] "request" status bytes "referrer" "agent"`, the last two if it is combined; with a
/// virtual host in front, there are four words before the time.
pub(super) fn parse<'a>(line: &'a [u8], times: &mut Times) -> Result<Request<'a>, Malformed> {
    let open = time_at(line).ok_or(Malformed::Format)?;
    let (head, rest) = (&line[..open], &line[open + 1..]);
    let close = memchr(b']', rest).ok_or(Malformed::Format)?;
    let (time, mut rest) = (&rest[..close], &rest[close + 1..]);
    let time = times.text(time).ok_or(Malformed::Time)?;
    let mut words = head
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let first = words.next().ok_or(Malformed::NoClient)?;
    // A name of a user may have blanks, so only a client that is an address tells of a virtual host before it.
    let second = words.next();
    let third = words.next();
    let (host, client) = match second {
        Some(second) if third.is_some() && words.next().is_some() && is_address(second) => {
            (Some(first), second)
        }
        _ => (None, first),
    };
    let request = quoted(&mut rest).ok_or(Malformed::Format)?;
    let request = request_line(&request);
    // Status and bytes.
    let tail = rest.trim_ascii_start();
    rest = memchr(b'"', tail).map_or(&[][..], |at| &tail[at..]);
    let referrer = quoted(&mut rest);
    let user_agent = quoted(&mut rest);
    let format = match user_agent {
        Some(_) => Format::Combined,
        None => Format::Common,
    };
    let [method, path, absolute] = request.unwrap_or_default();
    let host = host.map(|host| lossy(without_port(host)));
    Ok(Request {
        time,
        format,
        client: address(lossy(client)),
        method,
        path,
        host: host.or(absolute),
        user_agent: user_agent.filter(|value| said(value)),
        referrer: referrer.filter(|value| said(value)),
        api_key: None,
        headers: Vec::new(),
    })
}

/// Where ` [` begins the time. Addresses of IPv6 may be in brackets before it.
fn time_at(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr(b'[', &line[from..]) {
        let at = from + at;
        let after = line.get(at + 1)?;
        if at > 0 && line[at - 1] == b' ' && after.is_ascii_digit() {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// What servers write where there is nothing is `-`.
fn said(value: &str) -> bool {
    value != "-" && !value.is_empty()
}

fn is_address(word: &[u8]) -> bool {
    let text = std::str::from_utf8(word).ok();
    text.is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok())
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) => &host[..at],
        _ => host,
    }
}

/// The next quoted text, and what follows it. Backslashes escape.
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, str>> {
    let inside = rest.trim_ascii_start().strip_prefix(b"\"")?;
    let mut end = 0;
    let mut plain = true;
    loop {
        let at = end + memchr2(b'"', b'\\', inside.get(end..)?)?;
        if inside[at] == b'"' {
            *rest = &inside[at + 1..];
            let text = &inside[..at];
            return Some(if plain { lossy(text) } else { unescaped(text) });
        }
        plain = false;
        end = at + 2;
    }
}

/// `\"`, `\\`, `\n`, `\t`, `\xHH` and the like, as Apache and nginx write them.
fn unescaped(text: &[u8]) -> Cow<'static, str> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escape = if *byte == b'\\' {
            after.split_first()
        } else {
            None
        };
        let Some((sign, after)) = escape else {
            plain.push(*byte);
            continue;
        };
        rest = after;
        match (sign, after) {
            (b'x', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                plain.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (b'n', _) => plain.push(b'\n'),
            (b'r', _) => plain.push(b'\r'),
            (b't', _) => plain.push(b'\t'),
            (other, _) => plain.push(*other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request<'_>, Malformed> {
        parse(line.as_bytes(), &mut Times::default())
    }

    #[test]
    fn common_and_combined_lines_are_read() {
        let common =
            r#"192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.0" 200 2326"#;
        let request = read(common).unwrap();
        assert_eq!(request.format, Format::Common);
        assert_eq!(request.client, "192.0.2.7");
        assert_eq!(request.method.as_deref(), Some("GET"));
        assert_eq!(request.path.as_deref(), Some("/a"));
        assert_eq!((request.host, request.user_agent), (None, None));
        let combined =
            format!(r#"{common} "https://a.example/" "Mozilla/5.0 (X11)" "198.51.100.1""#);
        let request = read(&combined).unwrap();
        assert_eq!(request.format, Format::Combined);
        assert_eq!(request.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
        assert_eq!(request.referrer.as_deref(), Some("https://a.example/"));
    }

    #[test]
    fn a_virtual_host_may_stand_in_front() {
        let line = r#"Shop.example:443 2001:DB8:0::7 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/2.0" 200 1 "-" "-""#;
        let request = read(line).unwrap();
        assert_eq!(request.host.as_deref(), Some("Shop.example"));
        assert_eq!(request.client, "2001:db8::7");
        assert_eq!((request.referrer, request.user_agent), (None, None));
        let spaced =
            r#"host.example - Jane Doe [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1"#;
        assert_eq!(read(spaced).unwrap().client, "host.example");
    }

    #[test]
    fn escapes_are_undone() {
        let line = r#"::ffff:192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a\"b\x20\\c HTTP/1.1" 200 1 "-" "x\"y\xC3\xA4\q\xzz""#;
        let request = read(line).unwrap();
        assert_eq!(request.client, "192.0.2.1");
        assert_eq!(request.path.as_deref(), Some("/a\"b \\c"));
        assert_eq!(request.user_agent.as_deref(), Some("x\"yäqxzz"));
    }

    #[test]
    fn a_request_that_is_none_still_counts_for_its_client() {
        for request in ["-", r"\x16\x03\x01", "", "GET"] {
            let line = format!(r#"192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "{request}" 400 0"#);
            let read = read(&line).unwrap();
            assert_eq!((read.method, read.path), (None, None), "{request}");
        }
        let line = r#"192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "GET http://A.example:80/p?q HTTP/1.1" 200 0"#;
        let read = read(line).unwrap();
        assert_eq!(read.host.as_deref(), Some("A.example:80"));
        assert_eq!(read.path.as_deref(), Some("/p"));
    }

    #[test]
    fn a_target_that_is_a_host_alone_asks_for_its_root() {
        for target in ["http://a.example", "http://a.example?x"] {
            let line = format!(
                r#"192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "GET {target} HTTP/1.1" 200 0"#
            );
            let read = read(&line).unwrap();
            assert_eq!(read.host.as_deref(), Some("a.example"), "{target}");
            assert_eq!(read.path.as_deref(), Some("/"), "{target}");
        }
    }

    #[test]
    fn other_lines_are_told_apart() {
        for (line, why) in [
            ("", Malformed::Format),
            ("# a comment", Malformed::Format),
            (
                "192.0.2.7 - - [10/Oct/2000:13:55:36 -0700",
                Malformed::Format,
            ),
            (
                "192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] \"GET /",
                Malformed::Format,
            ),
            (
                "192.0.2.7 - - [10/Oct/2000] \"GET / HTTP/1.1\" 200 1",
                Malformed::Time,
            ),
            (
                " [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\" 200 1",
                Malformed::NoClient,
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), why, "{line}");
        }
    }
}

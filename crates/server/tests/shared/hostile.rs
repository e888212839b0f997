//! Requests that servers have understood differently, so that one hid from the first what the second did, and such
//! that are wrong in other ways. What is after them on the connection has to be read as it is meant, or not at all.

/// What is sent, and what becomes of it.
#[allow(
    dead_code,
    reason = "each of the two servers that are asked reads its own part"
)]
pub struct Case {
    pub name: &'static str,
    pub sent: Vec<u8>,
    /// The statuses that the edge answers, until it closes the connection.
    pub edge: &'static [u16],
    /// The same of the proxy.
    pub proxy: &'static [u16],
    /// What reaches the server behind it.
    pub arrives: &'static [&'static str],
}

/// What a request may hide.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
/// Ends a connection on which all went well.
const LAST: &str = "GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const REFUSED: &[u16] = &[400];
const NOTHING: &[&str] = &[];

/// A GET with these lines of headers and this body, and what it may hide behind.
fn get(lines: &str, body: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nhost: x\r\n{lines}\r\n{body}{HIDDEN}").into_bytes()
}

/// The same, then a request that ends the connection.
fn whole(lines: &str, body: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nhost: x\r\n{lines}\r\n{body}{LAST}").into_bytes()
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A request that is refused by both, as is all that comes behind it.
fn refused(name: &'static str, sent: Vec<u8>) -> Case {
    Case {
        name,
        sent,
        edge: REFUSED,
        proxy: REFUSED,
        arrives: NOTHING,
    }
}

/// A request that is right, and so is the one behind it.
fn both(name: &'static str, sent: Vec<u8>) -> Case {
    Case {
        name,
        sent,
        edge: &[302, 302],
        proxy: &[200, 200],
        arrives: &["GET /a", "GET /last"],
    }
}

/// A request that is answered, and after which the connection is closed: what follows is believed no more.
fn alone(name: &'static str, sent: Vec<u8>) -> Case {
    Case {
        name,
        sent,
        edge: &[302],
        proxy: &[200],
        arrives: &["GET /a"],
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        both("no body", whole("", "")),
        both("a length", whole("content-length: 3\r\n", "abc")),
        both(
            "chunks",
            whole("transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ),
        both(
            "a chunk with an extension",
            whole(
                "transfer-encoding: chunked\r\n",
                "3;a=\"b\"\r\nabc\r\n0;c\r\n\r\n",
            ),
        ),
        both(
            "trailers",
            whole(
                "transfer-encoding: chunked\r\n",
                "0\r\nx-sum: 1\r\ncontent-length: 9\r\n\r\n",
            ),
        ),
        both(
            "chunked in capitals",
            whole("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"),
        ),
        both(
            "a size of chunks with zeros before it",
            whole(
                "transfer-encoding: chunked\r\n",
                "0003\r\nabc\r\n000\r\n\r\n",
            ),
        ),
        both(
            "the same length twice",
            whole("content-length: 3\r\ncontent-length: 3\r\n", "abc"),
        ),
        both(
            "an empty line before",
            [b"\r\n".to_vec(), whole("", "")].concat(),
        ),
        both(
            "an upgrade to HTTP/2",
            whole(
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
                "",
            ),
        ),
        both(
            "a whole URL with another host",
            bytes(&format!("GET http://y/a HTTP/1.1\r\nhost: x\r\n\r\n{LAST}")),
        ),
        both(
            "what is expected is unknown",
            whole("expect: 200-ok\r\n", ""),
        ),
        Case {
            arrives: &["HEAD /a", "GET /last"],
            ..both(
                "HEAD with a body",
                bytes(&format!(
                    "HEAD /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc{LAST}"
                )),
            )
        },
        Case {
            edge: &[431],
            proxy: &[431],
            ..refused(
                "a head that is too large",
                get(&format!("x-a: {}\r\n", "x".repeat(70_000)), ""),
            )
        },
        // Of two lengths, the chunks count, and the connection ends (RFC 9112, 6.3).
        alone(
            "length and chunks",
            get(
                "content-length: 100\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
        ),
        alone(
            "chunks and length",
            get(
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                "0\r\n\r\n",
            ),
        ),
        alone(
            "chunks and a length of nothing",
            get(
                "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
                "0\r\n\r\n",
            ),
        ),
    ];
    // Each is a length to somebody.
    for (name, lines) in [
        ("two lengths", "content-length: 3\r\ncontent-length: 0\r\n"),
        ("two lengths in a line", "content-length: 3, 0\r\n"),
        ("a length with a sign", "content-length: +3\r\n"),
        ("a negative length", "content-length: -3\r\n"),
        ("a length in hexadecimal", "content-length: 0x3\r\n"),
        ("a length with an underscore", "content-length: 1_0\r\n"),
        ("a length with a space inside", "content-length: 1 0\r\n"),
        ("a length with a fraction", "content-length: 3.0\r\n"),
        ("no length", "content-length:\r\n"),
        ("a length of words", "content-length: three\r\n"),
        (
            "a length over 64 bits",
            "content-length: 18446744073709551619\r\n",
        ),
        (
            "a space before the colon of a length",
            "content-length : 3\r\n",
        ),
        (
            "a space before the colon of chunks",
            "transfer-encoding : chunked\r\n",
        ),
        ("a tab before the colon", "transfer-encoding\t: chunked\r\n"),
        ("a line that goes on", "x-a: b\r\n content-length: 3\r\n"),
        (
            "a coding on a line that goes on",
            "transfer-encoding:\r\n chunked\r\n",
        ),
        ("a first line that begins with a space", " x-a: b\r\n"),
        ("no colon", "x-a\r\n"),
        ("no name", ": b\r\n"),
        ("NUL in a value", "x-a: b\0c\r\n"),
        ("NUL in a name", "x-\0a: b\r\n"),
        (
            "a carriage return in a value",
            "x-a: b\rtransfer-encoding: chunked\r\n",
        ),
        ("a letter that is not ASCII in a name", "x-\u{e4}: b\r\n"),
        ("two hosts", "host: y\r\n"),
        (
            "chunked twice",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "chunked twice in a line",
            "transfer-encoding: chunked, chunked\r\n",
        ),
        (
            "chunked is not the last",
            "transfer-encoding: chunked, identity\r\n",
        ),
        ("chunked in quotes", "transfer-encoding: \"chunked\"\r\n"),
        (
            "chunked with a parameter",
            "transfer-encoding: chunked;a=b\r\n",
        ),
        ("a coding that is none", "transfer-encoding: xchunked\r\n"),
        ("no coding", "transfer-encoding:\r\n"),
        ("identity", "transfer-encoding: identity\r\n"),
        (
            "a vertical tab before chunked",
            "transfer-encoding: \u{b}chunked\r\n",
        ),
    ] {
        cases.push(refused(name, get(lines, "0\r\n\r\n")));
    }
    cases.push(Case {
        edge: &[501],
        proxy: &[501],
        ..refused(
            "a coding before chunked",
            get("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        )
    });
    // The head is right: the body is refused as it comes.
    for (name, body) in [
        ("a chunk of an unknown size", "x\r\nabc\r\n0\r\n\r\n"),
        ("a chunk of a negative size", "-1\r\nabc\r\n0\r\n\r\n"),
        ("a chunk of a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        (
            "a chunk of a size in hexadecimal notation",
            "0x3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk of a size over 64 bits",
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
        ("a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
        ("a chunk without its line end", "3\r\nabc0\r\n\r\n"),
        ("a size without its carriage return", "3\nabc\r\n0\r\n\r\n"),
        ("a line feed in an extension", "3;a\nabc\r\n0\r\n\r\n"),
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
    ] {
        cases.push(Case {
            name,
            sent: get("transfer-encoding: chunked\r\n", body),
            edge: &[302],
            proxy: REFUSED,
            arrives: NOTHING,
        });
    }
    for (name, first) in [
        ("HTTP/0.9", "GET /a\r\n\r\n"),
        ("HTTP/1.2", "GET /a HTTP/1.2\r\nhost: x\r\n\r\n"),
        ("HTTP/3", "GET /a HTTP/3.0\r\nhost: x\r\n\r\n"),
        ("no host", "GET /a HTTP/1.1\r\n\r\n"),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        (
            "a tab in the first line",
            "GET\t/a\tHTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        (
            "two spaces in the first line",
            "GET  /a HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        (
            "a space at the end of the first line",
            "GET /a HTTP/1.1 \r\nhost: x\r\n\r\n",
        ),
        ("NUL in the target", "GET /a\0 HTTP/1.1\r\nhost: x\r\n\r\n"),
        (
            "a carriage return in the target",
            "GET /a\rb HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        (
            "a method that is none",
            "G(T /a HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        ("no target", "GET  HTTP/1.1\r\nhost: x\r\n\r\n"),
        (
            "a target without a slash",
            "GET a HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        (
            "a host with a space",
            "GET /a HTTP/1.1\r\nhost: x y\r\n\r\n",
        ),
        ("a host with a path", "GET /a HTTP/1.1\r\nhost: x/y\r\n\r\n"),
        ("a host with a user", "GET /a HTTP/1.1\r\nhost: u@x\r\n\r\n"),
        (
            "two hosts in a line",
            "GET /a HTTP/1.1\r\nhost: x, y\r\n\r\n",
        ),
        ("GET of everything", "GET * HTTP/1.1\r\nhost: x\r\n\r\n"),
        (
            "chunks in HTTP/1.0",
            "GET /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        cases.push(refused(name, bytes(&(first.to_owned() + HIDDEN))));
    }
    cases
}

/// The statuses of all answers in what a server sent.
pub fn statuses(sent: &[u8]) -> Vec<u16> {
    let sent = String::from_utf8_lossy(sent);
    // What is before the first is nothing; pages name the protocol as well.
    let answers = sent.split("HTTP/1.").skip(1);
    answers
        .filter_map(|answer| answer.get(2..5)?.parse().ok())
        .collect()
}

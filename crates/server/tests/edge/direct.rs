//! What is answered directly is answered as hyper answers it.
//!
//! A line break before the first request, which HTTP allows, makes the whole connection hyper's. So every sequence
//! of requests is sent twice, with and without, and the answers have to be the same bytes but for the date.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use proptest::prelude::*;
use tollgate_clock::UnixMillis;
use tollgate_links::RedirectKind;

use crate::client::Client;
use crate::edge::{Edge, NOW, PATIENCE, options};

/// Ends both kinds of connection.
const LAST: &str = "GET /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn edge() -> Edge {
    // What is never complete, or never read, shall not take long.
    let mut options = options();
    options.header_timeout = Duration::from_secs(2);
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    edge.link("caf\u{e9}", |_| ());
    edge.link("perm", |spec| spec.redirect = Some(RedirectKind::Permanent));
    edge.link("moved", |spec| {
        spec.redirect = Some(RedirectKind::MovedPermanently);
        spec.expires_at = Some(UnixMillis::from_millis(NOW.as_millis() + 3_600_000));
    });
    edge.link("temp", |spec| spec.redirect = Some(RedirectKind::Temporary));
    edge.link("gone", |spec| spec.expires_at = Some(NOW));
    edge.link("fwd", |spec| spec.forward_query = true);
    edge.link("often", |spec| {
        spec.max_clicks = std::num::NonZeroU64::new(1 << 40)
    });
    edge
}

/// All that comes back, without dates.
fn answers(address: SocketAddr, requests: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for piece in requests {
        // The server may have had enough.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut bytes = Vec::new();
    // A reset after the last answer is an end as well.
    let _ = stream.read_to_end(&mut bytes);
    let _ = stream.shutdown(Shutdown::Both);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

#[track_caller]
fn assert_same(edge: &Edge, pieces: &[&[u8]]) -> String {
    let direct = answers(edge.address, pieces);
    let mut with_break: Vec<&[u8]> = vec![b"\r\n"];
    with_break.extend(pieces);
    let by_hyper = answers(edge.address, &with_break);
    let asked: String = pieces
        .iter()
        .map(|piece| String::from_utf8_lossy(piece))
        .collect();
    assert_eq!(direct, by_hyper, "of {asked:?}");
    direct
}

#[test]
fn all_that_is_answered_directly_is_as_by_hyper() {
    let edge = edge();
    for method in ["GET", "HEAD"] {
        for path in [
            "/abc",
            "/abc/",
            "/abc?x=y",
            "/perm",
            "/moved",
            "/temp",
            "/gone",
            "/often",
            "/fwd?a=b&c=%20",
            "/caf%C3%A9",
            "/absent",
            "/abc+",
            "/abc.qr",
            "/",
            "/robots.txt",
            "/favicon.ico",
            "//",
            "/a/b",
            "/%ff",
        ] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: go.example.com\r\n\r\n");
            let answer = assert_same(&edge, &[request.as_bytes(), LAST.as_bytes()]);
            let of_last = answer
                .matches("location: https://example.com/abc\r\n")
                .count();
            assert!(answer.starts_with("HTTP/1.1 ") && of_last > 0, "{answer}");
        }
    }
}

#[test]
fn the_date_is_there() {
    let edge = edge();
    let answer = edge.client().get("/abc");
    // That of the clock, which stands still.
    assert_eq!(answer.header("date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
}

/// More than fits the buffers of both ends, from a client that reads when it has sent all.
#[test]
fn requests_sent_far_ahead_are_all_answered_in_their_order() {
    const REQUESTS: usize = 60_000;
    let edge = edge();
    for code in ["abc", "perm"] {
        edge.client().get(&format!("/{code}"));
    }
    let stream = TcpStream::connect(edge.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for at in 0..REQUESTS {
            let code = if at % 7 == 0 { "perm" } else { "abc" };
            write!(writer, "GET /{code} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        }
        writer.write_all(LAST.as_bytes()).unwrap();
    });
    // Until the server is stuck, most likely.
    std::thread::sleep(Duration::from_millis(200));
    let mut client = Client::over(stream);
    for at in 0..REQUESTS {
        let code = if at % 7 == 0 { "perm" } else { "abc" };
        assert_eq!(
            client.receive().location(),
            format!("https://example.com/{code}")
        );
    }
    sending.join().unwrap();
    assert_eq!(client.receive().header("connection"), Some("close"));
}

fn field() -> impl Strategy<Value = String> {
    let usual = prop::sample::select(vec![
        "Accept: */*",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "accept-language: de,en;q=0.5",
        "Connection: keep-alive",
        "X-Forwarded-For: 192.0.2.7",
        "DNT: 1",
        "x:",
        "x:\ty ",
    ]);
    let rare = prop::sample::select(vec![
        "Connection: close",
        "Connection: keep-alive, close",
        "Connection: upgrade",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "Content-Length: 0",
        "Content-Length: 3",
        "Content-Length: 3, 3",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Host: other.example",
        "Host: ",
        "x : y",
        " folded",
        ": y",
        "x: \u{e9}",
        "x: \u{0}",
        "TE: trailers",
        "Trailer: x",
        "Proxy-Connection: close",
    ]);
    prop_oneof![6 => usual, 1 => rare].prop_map(str::to_owned)
}

fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        8 => Just("GET"),
        3 => Just("HEAD"),
        1 => prop::sample::select(vec!["POST", "OPTIONS", "get", "G\u{e9}T", ""]),
    ];
    let path = prop_oneof![
        8 => prop::sample::select(vec!["/abc", "/perm", "/often", "/gone", "/fwd?a=1", "/caf%C3%A9", "/abc+", "/"]),
        1 => prop::sample::select(vec![
            "/absent", "*", "http://go.example.com/abc", "/a b", "/a{b}", "/abc#x", "/abc?a|b", "/caf\u{e9}", "", "abc",
        ]),
    ];
    let version = prop_oneof![
        12 => Just("HTTP/1.1"),
        1 => prop::sample::select(vec!["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""]),
    ];
    let host = prop_oneof![8 => Just("Host: go.example.com\r\n"), 1 => Just("host:other.example\r\n"), 1 => Just("")];
    let fields = prop::collection::vec(field(), 0..6);
    let line_break = prop_oneof![12 => Just("\r\n"), 1 => Just("\n")];
    let rest =
        prop_oneof![12 => Just(""), 1 => Just("abc"), 1 => Just("0\r\n\r\n"), 1 => Just("\r\n")];
    (method, path, version, host, fields, line_break, rest).prop_map(
        |(method, path, version, host, fields, line_break, rest)| {
            let fields: String = fields
                .iter()
                .map(|field| format!("{field}{line_break}"))
                .collect();
            format!("{method} {path} {version}\r\n{host}{fields}\r\n{rest}")
        },
    )
}

#[test]
fn whatever_is_sent_is_answered_as_by_hyper() {
    let edge = edge();
    let change = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    let requests = prop::collection::vec(request(), 1..5);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    proptest!(ProptestConfig::with_cases(400), |(requests in requests, change in change, cuts in cuts)| {
        let mut bytes = requests.concat().into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend_from_slice(LAST.as_bytes());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let pieces: Vec<&[u8]> = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        assert_same(&edge, &pieces);
        // So that nobody has asked too often, and links are fetched again.
        edge.clock.advance(Duration::from_secs(300));
    });
}

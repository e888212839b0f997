//! Lines of any kind: nothing panics, and what is written as a log is read as it was.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use tollgate_limit::attribute::Attribute;
use tollgate_simulate::log::{Fields, Format, Parser};

/// A request before it is written.
#[derive(Debug, Clone)]
struct Written {
    client: std::net::IpAddr,
    second: i64,
    zone: i32,
    method: String,
    path: String,
    query: String,
    agent: String,
}

fn written() -> impl Strategy<Value = Written> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u16; 8]>().prop_map(std::net::IpAddr::from),
    ];
    (
        address,
        0..4_000_000_000_i64,
        -14 * 4..=14 * 4_i32,
        "[A-Z]{1,7}",
        "/[ -!\\$->@-~äß€]{0,30}",
        "(\\?[a-z0-9=&\"\\\\]{0,20})?",
        "[ -~äß€]{0,40}",
    )
        .prop_map(
            |(client, second, quarters, method, path, query, agent)| Written {
                client,
                second,
                zone: quarters * 900,
                method,
                // A blank ends a target, and `#` a path.
                path: path.replace([' ', '#'], "+"),
                query,
                agent,
            },
        )
}

impl Written {
    fn time(&self) -> String {
        let zone = TimeZone::fixed(Offset::from_seconds(self.zone).unwrap());
        let moment = Timestamp::from_second(self.second).unwrap();
        moment
            .to_zoned_datetime(zone)
            .strftime("%d/%b/%Y:%H:%M:%S %z")
            .to_string()
    }

    /// As nginx and Apache escape.
    fn escape(text: &str) -> String {
        let mut escaped = String::new();
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' | 0x7f.. => escaped.push_str(&format!("\\x{byte:02X}")),
                byte => escaped.push(byte.into()),
            }
        }
        escaped
    }

    fn check(&self, line: &str, format: Format) {
        let mut parser = Parser::new(Fields::default());
        let request = parser.parse(line.as_bytes()).unwrap();
        assert_eq!(request.format, format, "{line}");
        assert_eq!(request.time.nanos, self.second * 1_000_000_000, "{line}");
        assert_eq!(
            request.client,
            self.client.to_canonical().to_string(),
            "{line}"
        );
        let value = |name: &str| {
            let value = parser.value(&request, &Attribute::parse(name).unwrap());
            value.map(std::borrow::Cow::into_owned)
        };
        assert_eq!(value("method").as_ref(), Some(&self.method), "{line}");
        assert_eq!(value("path").as_ref(), Some(&self.path), "{line}");
        if format != Format::Common && !["", "-"].contains(&&*self.agent) {
            assert_eq!(
                value("header:user-agent").as_ref(),
                Some(&self.agent),
                "{line}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Parser::new(Fields::default()).parse(&bytes);
    }

    #[test]
    fn no_pieces_of_lines_make_it_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "192.0.2.1", " - - ", "[", "]", " [10/Oct/2000:13:55:36 -0700]", "\"", "\\", "\\x", "GET / HTTP/1.1", "GET http://", " HTTP/1.1",
                "{", "}", "\"time\":", "1", ",", "\"ip\":", "null", "[[", "\u{fffd}", "é", "\"request\":{", "\"uri\":\"",
                "http://", "::1", ":", "?", "#",
            ]),
            0..20,
        ),
    ) {
        let _ = Parser::new(Fields::default()).parse(pieces.concat().as_bytes());
    }

    #[test]
    fn what_is_written_is_read(request in written()) {
        let Written { client, method, path, query, .. } = &request;
        let line = format!("{method} {path}{query} HTTP/1.1");
        let (escaped, time) = (Written::escape(&line), request.time());
        let common = format!("{client} - - [{time}] \"{escaped}\" 200 5");
        request.check(&common, Format::Common);
        let agent = Written::escape(&request.agent);
        request.check(&format!("{common} \"-\" \"{agent}\""), Format::Combined);
        request.check(&format!("a.example:80 {common} \"-\" \"{agent}\" 0.01"), Format::Combined);
        let json = serde_json::json!({
            "@timestamp": Timestamp::from_second(request.second).unwrap().to_string(),
            "remote_addr": client,
            "request": line,
            "user_agent": request.agent,
            "nested": {"time": [1, {"ip": "x"}]},
        });
        request.check(&json.to_string(), Format::Json);
        let caddy = serde_json::json!({
            "ts": request.second as f64,
            "request": {
                "client_ip": client,
                "method": method,
                "uri": format!("{path}{query}"),
                "headers": {"User-Agent": [request.agent]},
            },
        });
        request.check(&caddy.to_string(), Format::Caddy);
    }
}

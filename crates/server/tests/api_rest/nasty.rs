//! What nobody should send, to the APIs of other shorteners: all of it is answered in their forms,
//! and none of it by an error of ours.

use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tollgate_server::compat::{CompatOptions, YourlsOptions};

use crate::server::{Body, Server, full};

/// Values of parameters, parts of paths and fields.
fn values() -> Vec<String> {
    let plain = [
        "",
        " ",
        "0",
        "-1",
        "1e9",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999999999",
        "\u{0}",
        "\r\nx: y",
        "null",
        "[]",
        "{}",
        "../..",
        "a/b/c",
        "%",
        "%ff",
        "'; DROP TABLE links; --",
        "<script>alert(1)</script>",
        "é\u{301}\u{202e}\u{1f600}",
        "https://example.com",
        "http://[::1]:99999/a",
        "://",
        "/",
        "2027-01-15T08:00:00+1é1",
        "0000-00-00",
        "9999-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "visits-DESC-ASC",
        "-",
    ];
    let mut values: Vec<String> = plain.map(str::to_owned).into();
    values.push("a".repeat(3_000));
    values.push("é".repeat(600));
    values
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A client that keeps its connection: there are thousands of requests.
struct Client {
    key: String,
    sender: SendRequest<Body>,
}

async fn start() -> Client {
    let compat = CompatOptions {
        shlink: true,
        yourls: Some(YourlsOptions {
            signature: Some("1002a612b4".into()),
            key: None,
        }),
        bitly: true,
        ..CompatOptions::default()
    };
    let server = Server::compatible(compat).await;
    let link = json!({"url": "https://example.com", "code": "a", "tags": ["t"]});
    assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (sender, connection) = connected.await.unwrap();
    tokio::spawn(connection);
    Client {
        key: server.admin.clone(),
        sender,
    }
}

impl Client {
    /// Sends a request, and looks at the form of its answer.
    async fn send(&mut self, method: &str, path: &str, body: &str) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .header("x-api-key", &self.key)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(full(body.to_owned()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let (head, answer) = self
            .sender
            .send_request(request)
            .await
            .unwrap()
            .into_parts();
        let answer = answer.collect().await.unwrap().to_bytes();
        let what = format!("{method} {path} {body}: {} {answer:?}", head.status);
        let status = head.status.as_u16();
        assert!(status < 500 || status == 501, "{what}");
        assert_ne!(status, 429, "the key has to be good for all requests");
        if status < 400 || status == 414 {
            return;
        }
        let form = if path.starts_with("/rest") {
            "application/problem+json"
        } else if path.starts_with("/v4") {
            "application/json"
        } else {
            "application/xml; charset=utf-8"
        };
        assert_eq!(head.headers["content-type"], form, "{what}");
        // Nor an error of another form by the same media type.
        let native = answer.starts_with(b"{\"type\":\"urn:tollgate:problem:");
        assert!(!native, "{what}");
    }
}

#[tokio::test]
async fn parameters_may_be_anything() {
    let mut client = start().await;
    let shlink = [
        "page",
        "itemsPerPage",
        "searchTerm",
        "tags[]",
        "excludeTags[]",
        "tagsMode",
        "orderBy",
        "startDate",
        "endDate",
        "domain",
        "excludeBots",
        "type",
        "longUrl",
    ];
    for path in [
        "/short-urls",
        "/short-urls/a/visits",
        "/tags",
        "/tags/stats",
        "/tags/t/visits",
        "/domains/DEFAULT/visits",
        "/visits/orphan",
        "/visits/non-orphan",
        "/short-urls/a",
        "/short-urls/shorten",
    ] {
        for name in shlink {
            for value in values() {
                let query = format!("apiKey={}&{name}={}", client.key, escaped(&value));
                client
                    .send("GET", &format!("/rest/v3{path}?{query}"), "")
                    .await;
            }
        }
    }
    for path in ["clicks", "clicks/summary"] {
        for name in ["unit", "units", "unit_reference", "size"] {
            for value in values() {
                let path = format!("/v4/bitlinks/s.example/a/{path}?{name}={}", escaped(&value));
                client.send("GET", &path, "").await;
            }
        }
    }
    let yourls = [
        "signature",
        "timestamp",
        "hash",
        "username",
        "format",
        "callback",
        "url",
        "keyword",
        "title",
        "shorturl",
        "filter",
        "limit",
        "start",
        "action",
    ];
    for action in [
        "shorturl",
        "expand",
        "url-stats",
        "stats",
        "db-stats",
        "version",
    ] {
        for name in yourls {
            for value in values() {
                let value = escaped(&value);
                let query = format!("signature={}&action={action}&{name}={value}", client.key);
                client
                    .send("GET", &format!("/yourls-api.php?{query}"), "")
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn paths_and_bodies_may_be_anything() {
    let mut client = start().await;
    for value in values() {
        let part = escaped(&value);
        for (method, path) in [
            ("GET", format!("/rest/v3/short-urls/{part}")),
            ("PATCH", format!("/rest/v3/short-urls/{part}")),
            ("DELETE", format!("/rest/v3/short-urls/{part}")),
            ("GET", format!("/rest/v3/short-urls/{part}/visits")),
            ("POST", format!("/rest/v3/short-urls/{part}/redirect-rules")),
            ("GET", format!("/rest/v3/tags/{part}/visits")),
            ("GET", format!("/rest/v3/domains/{part}/visits")),
            ("GET", format!("/v4/bitlinks/{part}")),
            ("PATCH", format!("/v4/bitlinks/s.example/{part}")),
            ("GET", format!("/v4/groups/{part}")),
        ] {
            client.send(method, &path, "{}").await;
        }
        let text = json!(value);
        let fields = [
            "longUrl",
            "customSlug",
            "domain",
            "title",
            "validSince",
            "validUntil",
            "maxVisits",
            "tags",
            "pathPrefix",
            "long_url",
            "keyword",
            "expiration_at",
            "bitlink_id",
            "oldName",
            "newName",
            "redirectRules",
        ];
        for field in fields {
            for wrong in [text.clone(), json!([text]), json!({"a": text}), json!(-1.5)] {
                let mut body = json!({
                    "longUrl": "https://example.com",
                    "long_url": "https://example.com",
                    "oldName": "none",
                    "newName": "x",
                });
                body[field] = wrong;
                let body = body.to_string();
                for (method, path) in [
                    ("POST", "/rest/v3/short-urls"),
                    ("PATCH", "/rest/v3/short-urls/a"),
                    ("POST", "/rest/v3/short-urls/a/redirect-rules"),
                    ("PUT", "/rest/v3/tags"),
                    ("PATCH", "/rest/v3/domains/redirects"),
                    ("POST", "/v4/bitlinks"),
                    ("POST", "/v4/expand"),
                    ("PATCH", "/v4/bitlinks/s.example/a"),
                ] {
                    client.send(method, path, &body).await;
                }
            }
        }
    }
}

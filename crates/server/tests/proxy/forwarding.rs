//! What the upstream gets, and what comes back.

use http::{HeaderValue, Response, StatusCode};

use crate::client::head;
use crate::server::{Server, options};
use crate::upstream::{Upstream, full};

#[tokio::test]
async fn a_request_and_its_answer_pass() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .status(StatusCode::CREATED)
            .header("x-own", "1")
            .body(full("made"))
            .unwrap()
    })
    .await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    let body = "x=1";
    let answer = client
        .send(head(
            "PUT",
            "/a%20b?c=d&e",
            "content-length: 3\r\nx-mine: 2\r\n",
        ))
        .await
        .send(body)
        .await
        .receive()
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-own"), Some("1"));
    assert_eq!(answer.header("via"), Some("1.1 tollgate"));
    assert_eq!(answer.text(), "made");
    let seen = upstream.only();
    assert_eq!(seen.method, "PUT");
    assert_eq!(seen.target, "/a%20b?c=d&e");
    assert_eq!(seen.lines("host"), ["shop.example"]);
    assert_eq!(seen.lines("x-mine"), ["2"]);
    assert_eq!(seen.lines("via"), ["1.1 tollgate"]);
    assert_eq!(seen.body, body.as_bytes());
    server
        .counts("tollgate_proxy_requests_total{outcome=\"forwarded\"} 1")
        .await;
    server
        .counts("tollgate_proxy_upstream_duration_seconds_count 1")
        .await;
    server.counts("tollgate_proxy_upstream_reachable 1").await;
}

#[tokio::test]
async fn what_belongs_to_one_connection_stays_on_it() {
    let upstream = Upstream::answering(|_| {
        let mut answer = Response::new(full("x"));
        for (name, value) in [
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=1"),
            ("proxy-authenticate", "Basic"),
            ("x-end", "2"),
        ] {
            answer
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        answer
    })
    .await;
    let server = Server::start(&upstream.url()).await;
    let headers = "connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\
                   te: trailers, deflate\r\nproxy-authorization: x\r\nx-end: 2\r\n\
                   connection: x-other\r\nx-other: 1\r\nupgrade: h2c\r\nexpect: 100-continue\r\n";
    let mut client = server.client().await;
    for _ in 0..2 {
        // The connection of the client goes on, whatever the upstream does to its own.
        let answer = client.get_with("/", headers).await;
        assert_eq!(answer.header("x-end"), Some("2"));
        for name in ["connection", "x-hop", "keep-alive", "proxy-authenticate"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    let seen = &upstream.seen()[0];
    assert_eq!(seen.lines("x-end"), ["2"]);
    assert_eq!(seen.lines("te"), ["trailers"]);
    assert_eq!(seen.lines("connection"), ["te"]);
    for name in [
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-authorization",
        "upgrade",
        "expect",
    ] {
        assert!(seen.lines(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_stranger_cannot_say_where_it_comes_from() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let forged = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n\
                  x-forwarded-host: banned.example\r\nforwarded: for=203.0.113.9\r\n\
                  x-real-ip: 203.0.113.9\r\n";
    // 203.0.113.9 and banned.example may not pass.
    assert_eq!(
        server.client().await.get_with("/", forged).await.status,
        200
    );
    let seen = upstream.only();
    assert_eq!(seen.lines("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.lines("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.lines("x-forwarded-host"), ["shop.example"]);
    assert_eq!(
        seen.lines("forwarded"),
        ["for=127.0.0.1;host=\"shop.example\";proto=http"]
    );
    assert!(seen.lines("x-real-ip").is_empty());
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let upstream = Upstream::start().await;
    let server = Server::with(tollgate_server::proxy::ProxyOptions {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..options(&upstream.url())
    })
    .await;
    let told = "x-forwarded-for: 198.51.100.1\r\nx-forwarded-proto: https\r\n";
    assert_eq!(server.client().await.get_with("/", told).await.status, 200);
    let seen = upstream.only();
    assert_eq!(seen.lines("x-forwarded-for"), ["198.51.100.1, 127.0.0.1"]);
    assert_eq!(seen.lines("x-forwarded-proto"), ["https"]);
    let banned = "x-forwarded-for: 203.0.113.9\r\n";
    assert_eq!(
        server.client().await.get_with("/", banned).await.status,
        429
    );
}

#[tokio::test]
async fn the_upstream_may_be_told_its_own_name() {
    let upstream = Upstream::start().await;
    let server = Server::with(tollgate_server::proxy::ProxyOptions {
        keep_host: false,
        ..options(&upstream.url())
    })
    .await;
    assert_eq!(server.get("/").await.status, 200);
    let seen = upstream.only();
    assert_eq!(seen.lines("host"), [upstream.address.to_string()]);
    assert_eq!(seen.lines("x-forwarded-host"), ["shop.example"]);
}

#[tokio::test]
async fn targets_of_every_form_arrive() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    let absolute = "GET http://other.example/a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    assert_eq!(client.send(absolute).await.receive().await.status, 200);
    let all = head("OPTIONS", "*", "");
    assert_eq!(client.send(all).await.receive().await.status, 200);
    let old = "GET /old HTTP/1.0\r\n\r\n";
    assert_eq!(client.send(old).await.receive().await.status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[0].target, "/a?b");
    assert_eq!(seen[0].lines("host"), ["other.example"]);
    assert_eq!(seen[1].target, "*");
    assert_eq!(seen[2].lines("host"), [upstream.address.to_string()]);
    assert_eq!(seen[2].lines("via"), ["1.0 tollgate"]);
}

#[tokio::test]
async fn heads_and_answers_without_a_body_keep_their_length() {
    let upstream = Upstream::answering(|seen| match seen.target.as_str() {
        "/empty" => Response::builder().status(204).body(full("")).unwrap(),
        "/same" => Response::builder()
            .status(304)
            .header("etag", "x")
            .body(full(""))
            .unwrap(),
        _ => Response::new(full("hello")),
    })
    .await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    let answer = client
        .send(head("HEAD", "/", ""))
        .await
        .receive_head()
        .await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("5"))
    );
    let answer = client.get("/empty").await;
    assert_eq!(
        (answer.status, answer.header("transfer-encoding")),
        (204, None)
    );
    assert_eq!(client.get("/same").await.status, 304);
    assert_eq!(client.get("/").await.text(), "hello");
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    for _ in 0..5 {
        assert_eq!(server.get("/").await.status, 200);
    }
    // A second one may have been begun while the first was on its way back.
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
}

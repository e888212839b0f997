//! More is asked of the API than it may work on at once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate_server::admin::{AdminOptions, starting};
use tollgate_server::overload::{Admitted, Gate};

use crate::dashboard::sign_in;
use crate::server::{Server, empty};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes all places.
fn all(gate: &Arc<Gate>) -> Vec<Admitted> {
    std::iter::from_fn(|| gate.admit()).collect()
}

/// What is answered on a connection of its own until it is closed.
async fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    until_closed(&mut stream).await
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A connection that is closed with something unread is reset, which is an end as well.
    let _ = read.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_beyond_what_is_let_in_are_refused_and_probes_are_not() {
    let server = Server::start().await;
    let held = all(&server.overload.requests);
    let refused = server.get("/api/v1/links").await;
    refused.problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    let draft = json!({"url": "https://a.example/", "code": "one"});
    server
        .post("/api/v1/links", &draft)
        .await
        .problem(503, "overloaded");
    for path in ["/health/live", "/health/ready", "/metrics", "/sign-in"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    // Other work has places of its own.
    let check = json!({"domain": "shop", "descriptors": [[{"key": "user", "value": "u"}]]});
    assert_eq!(
        server.post("/api/v1/limits/check", &check).await.status,
        200
    );
    drop(held);
    assert_eq!(server.get("/api/v1/links/one").await.status, 404);
    assert_eq!(server.post("/api/v1/links", &draft).await.status, 201);
}

#[tokio::test]
async fn checks_and_long_requests_are_bounded_apart() {
    let server = Server::start().await;
    let checks = all(&server.overload.checks);
    let check = json!({"domain": "shop", "descriptors": [[{"key": "user", "value": "u"}]]});
    let path = "/api/v1/limits/check";
    server.post(path, &check).await.problem(503, "overloaded");
    assert_eq!(server.get("/api/v1/links").await.status, 200);
    drop(checks);

    let mut long = all(&server.overload.long);
    for path in ["/api/v1/stats", "/api/v1/events", "/api/v1/links/x/clicks"] {
        server.get(path).await.problem(503, "overloaded");
    }
    let bulk = server.request("POST", "/api/v1/links/bulk");
    let bulk = bulk.header("content-type", "application/x-ndjson");
    server
        .send(bulk.body(empty()).unwrap())
        .await
        .problem(503, "overloaded");
    assert_eq!(server.get("/api/v1/links").await.status, 200);
    // One that watches keeps its place until it leaves.
    long.pop();
    let watch = || {
        server
            .request("GET", "/api/v1/events")
            .body(empty())
            .unwrap()
    };
    let watching = server.open(watch()).await;
    assert_eq!(watching.status(), 200);
    server.get("/api/v1/stats").await.problem(503, "overloaded");
    drop(watching);
    let left = async {
        while server.get("/api/v1/stats").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
}

#[tokio::test]
async fn a_body_that_comes_slowly_takes_no_place() {
    let server = Server::start().await;
    let mut held = all(&server.overload.requests);
    held.pop();
    let body = json!({"url": "https://a.example/"}).to_string();
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        server.admin,
        body.len()
    );
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    // Once the server asks for the body, the request is in flight.
    slow.read_exact(&mut [0; 25]).await.unwrap();
    assert_eq!(server.get("/api/v1/links").await.status, 200);
    held.extend(all(&server.overload.requests));
    slow.write_all(body.as_bytes()).await.unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(
        answer.contains("503") && answer.contains(":overloaded"),
        "{answer}"
    );
}

#[tokio::test]
async fn people_who_signed_in_are_let_in() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let _held = (all(&server.overload.requests), all(&server.overload.long));
    visitor.page("/links").await;
    sign_in(&server, &server.admin).await;
}

fn crowded() -> AdminOptions {
    AdminOptions {
        max_connections: 2,
        ..AdminOptions::default()
    }
}

/// Connections that keep all usual places, as they have been answered on them.
async fn crowd(server: &Server) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        stream.read_exact(&mut [0; 15]).await.unwrap();
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn beyond_the_bound_only_what_has_priority_is_answered() {
    let server = Server::with(crowded()).await;
    let held = crowd(&server).await;
    for path in ["/health/live", "/health/ready", "/metrics", "/sign-in"] {
        let answer = raw(&server, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let answer = raw(&server, "GET /api/v1/links HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains(":overloaded") && answer.contains("retry-after: 1"),
        "{answer}"
    );
    drop(held);
    let freed = async {
        while server.get("/api/v1/links").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn silent_connections_beyond_the_bound_give_way() {
    let server = Server::with(crowded()).await;
    let _held = crowd(&server).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let answer = raw(&server, "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for stream in &mut silent {
        assert_eq!(until_closed(stream).await, "");
    }
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let server = Server::with(AdminOptions {
        max_connections_per_address: 2,
        ..AdminOptions::default()
    })
    .await;
    let _held = crowd(&server).await;
    let request = "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(&server, request).await, "");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    other.write_all(request.as_bytes()).await.unwrap();
    let metrics = until_closed(&mut other).await;
    let refused = "tollgate_admin_connections_refused_by_address_total 1";
    assert!(metrics.contains(refused), "{metrics}");
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_closed() {
    let server = Server::with(AdminOptions {
        stall_timeout: Duration::from_millis(100),
        ..AdminOptions::default()
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = "GET /api/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    // Until it takes no more, as its answers are not taken either.
    let sent = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sent).await.unwrap();
}

#[tokio::test]
async fn while_it_starts_it_lives_and_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let made = CancellationToken::new();
    let serving = tokio::spawn(starting(listener, made.clone()));
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        until_closed(&mut stream).await
    };
    assert!(get("/health/live").await.starts_with("HTTP/1.1 200"));
    let ready = get("/health/ready").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""reason":"starting""#));
    let other = get("/api/v1/links").await;
    assert!(
        other.starts_with("HTTP/1.1 503") && other.contains(":starting"),
        "{other}"
    );
    made.cancel();
    // The same listener goes on.
    let listener = serving.await.unwrap();
    assert_eq!(listener.local_addr().unwrap(), address);
}

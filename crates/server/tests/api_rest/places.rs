use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_server::admin::AdminOptions;

use crate::server::{Server, empty};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_viewer_and_the_description_need_no_network() {
    let server = Server::start().await;
    let moved = server.get("/api/docs").await;
    assert_eq!(moved.header("location"), "/api/docs/");
    let page = server.get("/api/docs/").await;
    assert_eq!(page.header("content-type"), "text/html");
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "{text}"
    );
    for part in text.split("src=\"./").skip(1) {
        let file = part.split('"').next().unwrap();
        assert_eq!(server.get(&format!("/api/docs/{file}")).await.status, 200);
    }
    let start = server.get("/api/docs/swagger-initializer.js").await;
    let start = String::from_utf8(start.body.to_vec()).unwrap();
    assert!(start.contains("/api/openapi.json") && start.contains("\"validatorUrl\": \"none\""));
    server.get("/api/docs/no.js").await.problem(404, "no-route");
    let description = server.get("/api/openapi.json").await;
    assert_eq!(description.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_first_page_leads_to_places_that_exist() {
    let options = AdminOptions {
        dashboard: false,
        ..AdminOptions::default()
    };
    let server = Server::with(options).await;
    let page = server.get("/").await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let mut places = 0;
    for part in text.split("href=\"").skip(1) {
        let path = part.split('"').next().unwrap();
        assert_eq!(server.get(path).await.status, 200, "{path}");
        places += 1;
    }
    assert!(places >= 5);
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let server = Server::start().await;
    server.get("/api/v1/links/some-code").await;
    let metrics = server.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("route=\"/api/v1/links/{code}\""), "{text}");
    assert!(!text.contains("some-code"));
}

#[tokio::test]
async fn ready_follows_the_store_and_probes_do_not_load_it() {
    let server = Server::start().await;
    for _ in 0..20 {
        assert_eq!(server.get("/health/ready").await.status, 200);
    }
    assert_eq!(server.store.reads.load(Ordering::SeqCst), 1);
    server.store.failing.store(true, Ordering::SeqCst);
    server.clock.advance(Duration::from_secs(1));
    let answer = server.get("/health/ready").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reason"], "the store does not answer");
    assert_eq!(server.get("/health/live").await.status, 200);
    server.store.failing.store(false, Ordering::SeqCst);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_closed() {
    let server = Server::with(AdminOptions {
        header_timeout: Duration::from_millis(50),
        ..AdminOptions::default()
    })
    .await;
    for beginning in ["", "P", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{beginning:?}");
    }
}

#[tokio::test]
async fn a_request_in_flight_is_finished_at_shutdown() {
    let server = Server::start().await;
    let body = json!({"url": "https://a.example/"}).to_string();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        server.admin,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Once the server asks for the body, the request is in flight.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"));
    server.shutdown.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let ended = tokio::time::timeout(PATIENCE, server.task).await;
    assert!(ended.unwrap().unwrap().is_ok());
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let server = Server::start().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://admin/health/live")
        .body(empty())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), http::Version::HTTP_2);
}

//! Connections of clients: their protocols and their bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_server::proxy::{ProxyOptions, TlsFiles};

use crate::server::{Server, options};
use crate::upstream::Upstream;

pub async fn http2(address: SocketAddr) -> SendRequest<Empty<Bytes>> {
    http2_on(TcpStream::connect(address).await.unwrap()).await
}

async fn http2_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> SendRequest<Empty<Bytes>> {
    let io = TokioIo::new(stream);
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

pub fn request(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://shop.example{path}");
    Request::get(uri).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_without_tls() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = http2(server.address).await;
    let mut asked = request("/limited");
    for cookie in ["a=b", "c=d"] {
        asked
            .headers_mut()
            .append("cookie", cookie.parse().unwrap());
    }
    let answer = client.send_request(asked).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["ratelimit"], r#""limited";r=1;t=60"#);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello");
    let seen = upstream.only();
    assert_eq!(seen.lines("cookie"), ["a=b; c=d"]);
    assert_eq!(seen.lines("host"), ["shop.example"]);
    assert_eq!(seen.lines("via"), ["2 tollgate"]);
    assert_eq!(
        client
            .send_request(request("/limited"))
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        client
            .send_request(request("/limited"))
            .await
            .unwrap()
            .status(),
        429
    );
}

#[tokio::test]
async fn tls_is_served_with_both_protocols() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        tls: Some(TlsFiles { cert, key }),
        ..options(&upstream.url())
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = connector.connect(name, tcp).await.unwrap();
    let mut client = http2_on(tls).await;
    assert_eq!(
        client.send_request(request("/")).await.unwrap().status(),
        200
    );
    let seen = upstream.only();
    assert_eq!(seen.lines("x-forwarded-proto"), ["https"]);
    // Who does not speak TLS gets no answer.
    let mut plain = server.client().await;
    plain.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    plain.rest().await;
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(100),
        ..options(&upstream.url())
    })
    .await;
    let mut silent = server.client().await;
    assert!(silent.rest().await.is_empty());
    let mut slow = server.client().await;
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    assert!(slow.rest().await.is_empty());
    let mut idle = server.client().await;
    assert_eq!(idle.get("/").await.status, 200);
    assert!(idle.rest().await.is_empty());
    server.counts("tollgate_proxy_connections_open 0").await;
}

#[tokio::test]
async fn a_request_may_take_longer_than_a_connection_may_idle() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        header_timeout: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(20),
        ..options(&upstream.url())
    })
    .await;
    for _ in 0..4 {
        // The last one is held for 300 ms.
        assert_eq!(server.get("/shaped").await.status, 200);
    }
}

#[tokio::test]
async fn more_connections_wait() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        max_connections: 1,
        ..options(&upstream.url())
    })
    .await;
    let mut first = server.client().await;
    assert_eq!(first.get("/").await.status, 200);
    let mut second = server.client().await;
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(first.get("/").await.status, 200);
    server.counts("tollgate_proxy_connections_open 1").await;
    drop(first);
    assert_eq!(second.receive().await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::start(&upstream).await;
    let mut client = server.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    drop(client);
    let mut got = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut got);
    // The upstream need not go on.
    let _ = tokio::time::timeout(crate::server::PATIENCE, read)
        .await
        .expect("it ends");
    assert!(got.starts_with(b"GET / HTTP/1.1\r\n"));
    server
        .counts("tollgate_proxy_requests_total{outcome=\"client_gone\"} 1")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_by_the_letter() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let asking = tokio::task::spawn_blocking(move || crate::frames::wrong(server.address));
    let wrong = asking.await.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(upstream.seen().iter().all(|seen| seen.target == "/a"));
}

//! Bodies are streamed, both ways, and may not stand still.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tollgate_server::proxy::ProxyOptions;

use crate::client::head;
use crate::server::{Server, options};
use crate::upstream::Upstream;

/// Sends every body back while it comes.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let echo = service_fn(|request: http::Request<Incoming>| async move {
                Ok::<_, Infallible>(Response::new(request.into_body()))
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), echo);
            tokio::spawn(connection);
        }
    });
    address
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend(data);
    chunk.extend(b"\r\n");
    chunk
}

#[tokio::test]
async fn each_piece_is_passed_on_as_it_comes() {
    let server = Server::start(&format!("http://{}", echo().await)).await;
    let mut client = server.client().await;
    client
        .send(head("POST", "/", "transfer-encoding: chunked\r\n"))
        .await;
    assert_eq!(client.receive_head().await.status, 200);
    for piece in ["one", "two", "three"] {
        // The next one is only sent after this one has come back.
        client.send(chunk(piece.as_bytes())).await;
        assert_eq!(client.chunk().await.unwrap(), piece.as_bytes());
    }
    client.send(chunk(b"")).await;
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    const PIECES: usize = 512;
    const PIECE: usize = 1 << 16;
    let server = Server::start(&format!("http://{}", echo().await)).await;
    let mut client = server.client().await;
    let length = format!("content-length: {}\r\n", PIECES * PIECE);
    client.send(head("PUT", "/", &length)).await;
    let answer = client.receive_head().await;
    let told = (PIECES * PIECE).to_string();
    assert_eq!(answer.header("content-length"), Some(&*told));
    for number in 0..PIECES {
        let piece = vec![number as u8; PIECE];
        client.send(&piece).await;
        let back = client.bytes(PIECE).await;
        assert!(back == piece, "piece {number}");
    }
    // What has no length of its own ends a connection, and this had one.
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_get_keeps_its_body() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    client
        .send(head("GET", "/", "transfer-encoding: chunked\r\n"))
        .await;
    client.send(chunk(b"query")).await.send(chunk(b"")).await;
    assert_eq!(client.receive().await.status, 200);
    assert_eq!(upstream.only().body, b"query");
    // The connection goes on.
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        idle_timeout: Duration::from_millis(50),
        ..options(&upstream.url())
    })
    .await;
    let mut client = server.client().await;
    client
        .send(head("POST", "/", "content-length: 10\r\n"))
        .await
        .send("half")
        .await;
    let answer = client.receive().await;
    assert_eq!(answer.status, 408);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:request-timeout"
    );
    assert!(client.rest().await.is_empty());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut_off() {
    let upstream = Upstream::answering(|_| {
        let piece = Ok(Frame::data("half".into()));
        let pieces = futures_util::StreamExt::chain(
            futures_util::stream::iter([piece]),
            futures_util::stream::pending(),
        );
        Response::new(BodyExt::boxed(StreamBody::new(pieces)))
    })
    .await;
    let server = Server::with(ProxyOptions {
        idle_timeout: Duration::from_millis(50),
        ..options(&upstream.url())
    })
    .await;
    let mut client = server.client().await;
    client.send(head("GET", "/", "")).await;
    assert_eq!(client.receive_head().await.status, 200);
    // No last chunk: the client knows that something is missing.
    assert_eq!(client.rest().await, b"4\r\nhalf\r\n");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let upstream = Upstream::answering(|_| {
        let pieces = futures_util::stream::repeat_with(|| Ok(Frame::data(vec![0; 1 << 16].into())));
        Response::new(BodyExt::boxed(StreamBody::new(pieces)))
    })
    .await;
    let server = Server::with(ProxyOptions {
        idle_timeout: Duration::from_millis(200),
        ..options(&upstream.url())
    })
    .await;
    let mut client = server.client().await;
    client.send(head("GET", "/", "")).await;
    assert_eq!(client.receive_head().await.status, 200);
    server.counts("tollgate_proxy_connections_open 0").await;
}

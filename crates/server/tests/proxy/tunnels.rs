//! WebSocket: connections that leave HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tollgate_server::proxy::ProxyOptions;

use crate::client::{Client, head};
use crate::server::{PATIENCE, Server, options};
use crate::upstream::Upstream;

const HANDSHAKE: &str = "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Takes one connection to another protocol, in which it sends back what it gets with `!` behind.
/// Answers the head that it got.
async fn switching() -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_lowercase()),
            }
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade, x-hop\r\n\
                      x-hop: 1\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut bytes = [0; 1024];
        loop {
            match stream.read(&mut bytes).await.unwrap() {
                0 => return head,
                read => {
                    stream.write_all(&bytes[..read]).await.unwrap();
                    stream.write_all(b"!").await.unwrap();
                }
            }
        }
    });
    (address, task)
}

async fn opened(server: &Server) -> Client {
    let mut client = server.client().await;
    let answer = client
        .send(head("GET", "/limited", HANDSHAKE))
        .await
        .receive_head()
        .await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
    assert_eq!(answer.header("ratelimit"), Some(r#""limited";r=1;t=60"#));
    assert_eq!(answer.header("x-hop"), None);
    assert_eq!(client.bytes(5).await, b"hello");
    client
}

#[tokio::test]
async fn bytes_go_both_ways_until_the_end() {
    let (upstream, task) = switching().await;
    let server = Server::start(&format!("http://{upstream}")).await;
    let mut client = opened(&server).await;
    for word in ["one", "two"] {
        assert_eq!(
            client.send(word).await.bytes(4).await,
            format!("{word}!").as_bytes()
        );
    }
    server
        .counts("tollgate_proxy_requests_total{outcome=\"tunnelled\"} 1")
        .await;
    server.counts("tollgate_proxy_connections_open 1").await;
    client.stop_sending().await;
    assert!(client.rest().await.is_empty());
    let head = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(head.iter().any(|l| l == line), "no {line} in {head:?}");
    }
    server.counts("tollgate_proxy_connections_open 0").await;
}

#[tokio::test]
async fn an_idle_tunnel_is_closed() {
    let (upstream, task) = switching().await;
    let server = Server::with(ProxyOptions {
        idle_timeout: Duration::from_millis(50),
        ..options(&format!("http://{upstream}"))
    })
    .await;
    let mut client = opened(&server).await;
    assert!(client.rest().await.is_empty());
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tunnel_does_not_outlast_the_shutdown() {
    let (upstream, _task) = switching().await;
    let server = Server::with(ProxyOptions {
        drain: Duration::from_millis(50),
        ..options(&format!("http://{upstream}"))
    })
    .await;
    let mut client = opened(&server).await;
    server.shutdown.cancel();
    assert!(client.rest().await.is_empty());
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_upstream_may_decline() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    let answer = client.get_with("/", HANDSHAKE).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(upstream.only().lines("upgrade"), ["websocket"]);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn nobody_else_may_change_the_protocol() {
    // It answers 101 to everything.
    let (upstream, _task) = switching().await;
    let server = Server::start(&format!("http://{upstream}")).await;
    let mut client = server.client().await;
    let h2c = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n";
    let answer = client.get_with("/", h2c).await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:upstream-failed"
    );
}

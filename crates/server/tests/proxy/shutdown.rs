use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tollgate_server::proxy::ProxyOptions;

use crate::client::head;
use crate::server::{PATIENCE, Server, options};
use crate::upstream::Upstream;

#[tokio::test]
async fn who_waits_is_still_answered_and_idle_connections_do_not_hold_it_up() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut idle = server.client().await;
    assert_eq!(idle.get("/shaped").await.status, 200);
    let mut held = server.client().await;
    held.send(head("GET", "/shaped", "")).await;
    server.counts("tollgate_proxy_connections_open 2").await;
    server.decided(2).await;
    server.shutdown.cancel();
    let answer = held.receive().await;
    assert_eq!(answer.status, 200);
    assert!(idle.rest().await.is_empty());
    assert!(held.rest().await.is_empty());
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn who_would_wait_longer_is_cut_off() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        drain: Duration::from_millis(50),
        ..options(&upstream.url())
    })
    .await;
    assert_eq!(server.get("/slow").await.status, 200);
    let mut held = server.client().await;
    held.send(head("GET", "/slow", "")).await;
    server.waiting(1).await;
    server.shutdown.cancel();
    assert!(held.rest().await.is_empty());
    server.waiting(0).await;
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(upstream.seen().len(), 1);
}

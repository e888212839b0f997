//! Requests that are held for their turn.

use std::time::{Duration, Instant};

use tollgate_server::proxy::ProxyOptions;

use crate::client::{Client, head};
use crate::server::{Server, options};
use crate::upstream::Upstream;

/// Sends a request, and waits until it waits for its turn, as one of so many.
async fn queue(server: &Server, request: impl AsRef<[u8]>, count: usize) -> Client {
    let mut client = server.client().await;
    client.send(request).await;
    server.waiting(count).await;
    client
}

/// Waits until the queue for `/slow` has so many places.
async fn places(server: &Server, wanted: u64) {
    crate::queue_places::places(&server.service, "http", ("path", "/slow"), wanted).await;
}

async fn burst(path: &str) {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut clients = Vec::new();
    // All at the same moment for the limit, whose clock stands still.
    for _ in 0..4 {
        let mut client = server.client().await;
        let began = Instant::now();
        client
            .send(head(
                "GET",
                path,
                &format!("x-number: {}\r\n", clients.len()),
            ))
            .await;
        // The next one is decided after this one.
        server.decided(clients.len() as u64 + 1).await;
        clients.push((client, began));
    }
    for (client, _) in &mut clients {
        assert_eq!(client.receive().await.status, 200);
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 4);
    for one in seen {
        let number: u32 = one.lines("x-number")[0].parse().unwrap();
        let held = one.at - clients[number as usize].1;
        let told = Duration::from_millis(100) * number;
        assert!(held >= told, "{number} was held for {held:?}");
    }
    server.waiting(0).await;
    server
        .counts("tollgate_proxy_wait_duration_seconds_count 3")
        .await;
}

#[tokio::test]
async fn a_burst_leaves_evenly_spaced() {
    burst("/shaped").await;
}

#[tokio::test]
async fn a_delay_is_held_here_as_well() {
    burst("/told").await;
}

#[tokio::test]
async fn who_would_wait_too_long_is_refused() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    assert_eq!(server.get("/impatient").await.status, 200);
    let answer = server.get("/impatient").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("3599"));
    assert_eq!(upstream.seen().len(), 1);
}

async fn leaves_its_place(request: impl AsRef<[u8]>) {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    assert_eq!(server.get("/slow").await.status, 200);
    let _first = queue(&server, head("GET", "/slow", ""), 1).await;
    let second = queue(&server, request, 2).await;
    places(&server, 0).await;
    assert_eq!(server.get("/slow").await.status, 429);
    drop(second);
    server.waiting(1).await;
    places(&server, 1).await;
    server
        .counts("tollgate_proxy_requests_total{outcome=\"client_gone\"} 1")
        .await;
    let _third = queue(&server, head("GET", "/slow", ""), 2).await;
    assert_eq!(server.get("/slow").await.status, 429);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    leaves_its_place(head("GET", "/slow", "")).await;
}

#[tokio::test]
async fn so_does_one_whose_body_waits_to_be_read() {
    let post = head("POST", "/slow", "content-length: 50000\r\n") + &"x".repeat(50_000);
    leaves_its_place(post).await;
}

#[tokio::test]
async fn so_does_one_that_has_sent_the_next_request_already() {
    leaves_its_place(head("GET", "/slow", "").repeat(2)).await;
}

#[tokio::test]
async fn so_does_one_that_has_only_stopped_sending() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    assert_eq!(server.get("/slow").await.status, 200);
    let mut client = queue(&server, head("GET", "/slow", "").repeat(2), 1).await;
    client.stop_sending().await;
    server.waiting(0).await;
    places(&server, 2).await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn so_does_a_stream_of_http2_that_is_reset() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = crate::connections::http2(server.address).await;
    let request = || crate::connections::request("/slow");
    assert_eq!(client.send_request(request()).await.unwrap().status(), 200);
    let held = tokio::spawn(client.send_request(request()));
    server.waiting(1).await;
    places(&server, 1).await;
    held.abort();
    server.waiting(0).await;
    places(&server, 2).await;
    // The connection goes on.
    let other = crate::connections::request("/");
    assert_eq!(client.send_request(other).await.unwrap().status(), 200);
}

#[tokio::test]
async fn only_so_many_wait() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        max_waiting: 1,
        ..options(&upstream.url())
    })
    .await;
    assert_eq!(server.get("/slow").await.status, 200);
    let _first = queue(&server, head("GET", "/slow", ""), 1).await;
    for _ in 0..3 {
        // There is room in the queue of the policy, and it stays.
        let answer = server.get("/slow").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(
            answer.json()["type"],
            "urn:tollgate:problem:too-many-waiting"
        );
        places(&server, 1).await;
    }
    assert_eq!(server.outcome("crowded"), 3);
    // Whoever need not wait is not concerned.
    assert_eq!(server.get("/").await.status, 200);
}

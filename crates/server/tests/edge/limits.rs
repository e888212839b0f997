use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tollgate_links::PasswordHasher;

use crate::edge::{Edge, PATIENCE, block_on, eventually, options};

/// The count may follow the end of the connection.
fn expect_timeout(edge: &Edge) {
    eventually("the timeout is counted", || {
        let count = "tollgate_edge_connections_timed_out_total 1.0";
        edge.metrics.encode().contains(count)
    });
}

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let mut options = options();
    options.header_timeout = Duration::from_millis(100);
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    let mut client = edge.client();
    client.send("GET /abc HTTP/1.1\r\nhost: x\r\n");
    // Always something new, never the end.
    while client.try_send("x: y\r\n") {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(client.is_closed());
    expect_timeout(&edge);
}

#[test]
fn a_second_head_is_watched_as_the_first_is() {
    let mut options = options();
    options.header_timeout = Duration::from_millis(100);
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    let mut client = edge.client();
    assert_eq!(client.get("/abc").status, 302);
    client.send("GET /abc HTTP/1.1\r\n");
    assert!(client.is_closed());
    expect_timeout(&edge);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    for (header_ms, idle_ms) in [(100, 60_000), (60_000, 100)] {
        let mut options = options();
        options.header_timeout = Duration::from_millis(header_ms);
        options.idle_timeout = Duration::from_millis(idle_ms);
        let edge = Edge::with(options);
        edge.link("abc", |_| ());
        let mut client = edge.client();
        if idle_ms < header_ms {
            // Between requests the idle timeout counts, before the first that for heads.
            assert_eq!(client.get("/abc").status, 302);
        }
        assert!(client.is_closed());
        expect_timeout(&edge);
    }
}

#[test]
fn a_slow_store_is_not_the_clients_fault() {
    let mut options = options();
    options.header_timeout = Duration::from_millis(20);
    options.idle_timeout = Duration::from_millis(20);
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    edge.store.hold();
    let mut client = edge.client();
    client.send("GET /abc HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the store is asked", || edge.store.waiting() == 1);
    std::thread::sleep(Duration::from_millis(100));
    edge.store.release();
    assert_eq!(client.receive().status, 302);
}

#[test]
fn a_form_that_does_not_arrive_is_given_up() {
    let mut options = options();
    options.header_timeout = Duration::from_millis(100);
    let edge = Edge::with(options);
    edge.link("locked", |spec| {
        spec.password = Some(PasswordHasher::default().hash("x").unwrap());
    });
    let mut client = edge.client();
    client.send(
        "POST /locked HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\npass",
    );
    assert_eq!(client.receive().status, 408);
    assert!(client.is_closed());
}

#[test]
fn an_idle_http_2_connection_is_let_go() {
    let mut options = options();
    options.idle_timeout = Duration::from_millis(100);
    let edge = Edge::with(options);
    block_on(async {
        let stream = TcpStream::connect(edge.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://x/absent").body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 404);
        // It says goodbye, which is no error.
        let end = tokio::time::timeout(PATIENCE, connection).await;
        end.unwrap().unwrap().unwrap();
        drop(sender);
    });
    expect_timeout(&edge);
}

#[test]
fn heads_and_paths_have_a_largest_size() {
    let edge = Edge::start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nhost: x\r\n");
    client.try_send(format!("x: {}\r\n\r\n", "y".repeat(40_000)));
    assert_eq!(client.receive().status, 431);
    assert!(client.is_closed());
    let long = format!("/{}", "a".repeat(5_000));
    assert_eq!(edge.client().get(&long).status, 414);
    let many = "x: y\r\n".repeat(200);
    assert_eq!(edge.client().get_with("/", &many).status, 431);
}

#[test]
fn connections_over_the_bound_are_closed_at_once() {
    let mut options = options();
    options.max_connections = 2;
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    let mut first = edge.client();
    let mut second = edge.client();
    assert_eq!(first.get("/abc").status, 302);
    assert_eq!(second.get("/abc").status, 302);
    assert!(edge.client().is_closed());
    let refused = "tollgate_edge_connections_refused_total 1.0";
    assert!(edge.metrics.encode().contains(refused));
    drop(first);
    eventually("a place is free again", || {
        let mut client = edge.client();
        client.try_send("GET /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.answers()
    });
    assert_eq!(second.get("/abc").status, 302);
}

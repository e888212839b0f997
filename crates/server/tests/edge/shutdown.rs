use std::net::TcpStream;
use std::time::Duration;

use crate::edge::{Edge, PATIENCE, eventually, options};

#[test]
fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let mut edge = Edge::start();
    edge.link("abc", |_| ());
    edge.link("slow", |_| ());
    let mut idle = edge.client();
    assert_eq!(idle.get("/abc").status, 302);
    let mut silent = edge.client();
    edge.store.hold();
    let mut busy = edge.client();
    busy.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the store is asked", || edge.store.waiting() == 1);

    edge.shutdown.cancel();
    assert!(idle.is_closed());
    assert!(silent.is_closed());
    eventually("nobody listens", || {
        TcpStream::connect(edge.address).is_err()
    });
    edge.store.release();
    let response = busy.receive();
    assert_eq!(response.status, 302);
    assert_eq!(response.header("connection"), Some("close"));
    assert!(busy.is_closed());
    edge.stop();
}

#[test]
fn a_request_that_arrives_as_the_edge_shuts_down_is_answered() {
    let mut options = options();
    options.linger = PATIENCE / 2;
    let mut edge = Edge::with(options);
    edge.link("abc", |_| ());
    let mut kept = edge.client();
    assert_eq!(kept.get("/abc").header("connection"), None);
    let mut silent = edge.client();
    // Those the system has not handed over yet end with the listener.
    eventually("both are accepted", || {
        let metrics = edge.metrics.encode();
        metrics.contains("\ntollgate_edge_connections_total 2.0\n")
    });

    edge.shutdown.cancel();
    eventually("nobody listens", || {
        TcpStream::connect(edge.address).is_err()
    });
    for client in [&mut kept, &mut silent] {
        let response = client.get("/abc");
        assert_eq!(response.status, 302);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(client.is_closed());
    }
    edge.stop();
}

#[test]
fn draining_ends_even_if_a_request_does_not() {
    let mut options = options();
    options.drain = Duration::from_millis(50);
    let mut edge = Edge::with(options);
    edge.link("slow", |_| ());
    edge.store.hold();
    let mut busy = edge.client();
    busy.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the store is asked", || edge.store.waiting() == 1);
    edge.stop();
    assert!(busy.is_closed());
}

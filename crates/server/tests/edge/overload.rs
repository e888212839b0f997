//! More is asked than the store answers: here it answers nothing, and three may ask it at once.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::client::Client;
use crate::edge::{Edge, TTL, eventually, options};

/// How many of a kind are let in at once.
const ALL: usize = 3;

/// Clients who wait for links that have to be read.
fn waiting(edge: &Edge) -> Vec<Client> {
    edge.store.hold();
    let clients = (0..ALL).map(|n| {
        let mut client = edge.client();
        client.send(format!("GET /cold{n} HTTP/1.1\r\nhost: x\r\n\r\n"));
        client
    });
    let clients = clients.collect();
    eventually("all may ask", || edge.store.waiting() == ALL);
    clients
}

fn shed(edge: &Edge, work: &str, count: u32) {
    let text = edge.metrics.encode();
    let line = format!("tollgate_overload_shed_total{{work=\"{work}\"}} {count}.0");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn what_would_wait_too_long_is_refused_and_memory_answers_on() {
    let edge = Edge::start();
    for code in ["warm", "stale", "cold0", "cold1", "cold2", "late"] {
        edge.link(code, |_| ());
    }
    let mut client = edge.client();
    assert_eq!(client.get("/stale").status, 302);
    edge.clock.advance(TTL + Duration::from_secs(1));
    assert_eq!(client.get("/warm").status, 302);
    let mut slow = waiting(&edge);

    let refused = client.get("/late");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    shed(&edge, "link_reads", 1);
    let text = edge.metrics.encode();
    let counted = "tollgate_edge_request_duration_seconds_count{outcome=\"shed\",tier=\"none\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(
        text.contains("tollgate_cache_load_errors_total 0.0"),
        "{text}"
    );
    assert_eq!(client.get("/warm").status, 302);
    assert_eq!(client.get("/stale").status, 302, "better old than none");
    // Who waits for a read that is under way needs no place of its own.
    let mut other = edge.client();
    other.send("GET /cold0 HTTP/1.1\r\nhost: x\r\n\r\n");

    edge.store.release();
    for client in slow.iter_mut().chain([&mut other]) {
        assert_eq!(client.receive().status, 302);
    }
    assert_eq!(client.get("/late").status, 302);
}

#[test]
fn clicks_that_would_wait_too_long_are_refused() {
    let edge = Edge::start();
    for code in ["a", "b", "c", "d"] {
        edge.link(code, |spec| spec.max_clicks = NonZeroU64::new(9));
        // So that the link is in memory.
        assert_eq!(edge.client().get(&format!("/{code}+")).status, 200);
    }
    edge.store.hold();
    let mut slow: Vec<Client> = ["a", "b", "c"]
        .iter()
        .map(|code| {
            let mut client = edge.client();
            client.send(format!("GET /{code} HTTP/1.1\r\nhost: x\r\n\r\n"));
            client
        })
        .collect();
    eventually("all may ask", || edge.store.waiting() == ALL);
    assert_eq!(edge.client().get("/d").status, 503);
    shed(&edge, "counted_clicks", 1);
    edge.store.release();
    for client in &mut slow {
        assert_eq!(client.receive().status, 302);
    }
    assert_eq!(edge.client().get("/d").status, 302);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let edge = Edge::start();
    edge.link("late", |_| ());
    drop(waiting(&edge));
    edge.store.release();
    // Reads go on without those who wanted them, and end.
    eventually("there is a place", || {
        edge.client().get("/late").status == 302
    });
}

#[test]
fn one_address_has_a_bound_of_its_own_but_not_a_proxy() {
    let mut options = options();
    options.max_connections_per_address = 2;
    let edge = Edge::with(options.clone());
    edge.link("abc", |_| ());
    let mut first = edge.client();
    let mut second = edge.client();
    assert_eq!(first.get("/abc").status, 302);
    assert_eq!(second.get("/abc").status, 302);
    assert!(edge.client().is_closed());
    let refused = "tollgate_edge_connections_refused_by_address_total 1.0";
    assert!(edge.metrics.encode().contains(refused));
    assert!(
        edge.metrics
            .encode()
            .contains("tollgate_edge_connections_refused_total 0.0")
    );
    let elsewhere = SocketAddr::from(([127, 0, 0, 9], 0));
    assert_eq!(
        Client::connect_from(elsewhere, edge.address)
            .get("/abc")
            .status,
        302
    );
    drop(first);
    eventually("a place is free again", || {
        let mut client = edge.client();
        client.try_send("GET /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.answers()
    });

    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let edge = Edge::with(options);
    edge.link("abc", |_| ());
    let mut clients: Vec<Client> = (0..5).map(|_| edge.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/abc").status, 302);
    }
}

//! Many connections of one thread, which are served together as long as their answers need not wait.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::client::Client;
use crate::edge::{Edge, PATIENCE, options};

fn edge() -> Edge {
    let mut options = options();
    options.threads = 1;
    let edge = Edge::with(options);
    for code in ["abc", "def"] {
        edge.link(code, |_| ());
        edge.client().get(&format!("/{code}"));
    }
    edge
}

#[test]
fn more_connections_than_are_looked_at_at_once_are_all_answered() {
    let edge = edge();
    let mut clients: Vec<Client> = (0..300).map(|_| edge.client()).collect();
    for code in ["abc", "def", "abc"] {
        for client in &mut clients {
            client.send(format!("GET /{code} HTTP/1.1\r\nHost: x\r\n\r\n"));
        }
        for client in &mut clients {
            let location = format!("https://example.com/{code}");
            assert_eq!(client.receive().location(), location);
        }
    }
}

#[test]
fn what_was_asked_before_a_client_ended_its_side_is_answered() {
    let edge = edge();
    for requests in [1, 3, 2_000] {
        let mut stream = TcpStream::connect(edge.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /abc HTTP/1.1\r\nHost: x\r\n\r\n";
        stream
            .write_all(request.repeat(requests).as_bytes())
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 302 ").count(), requests);
    }
}

/// What has to wait leaves the others, and joins them again; what others ask meanwhile is answered.
#[test]
fn answers_that_wait_and_those_that_do_not_take_turns_on_a_connection() {
    let edge = edge();
    let (mut client, mut other) = (edge.client(), edge.client());
    for round in 0..5 {
        let new = format!("new{round}");
        edge.link(&new, |_| ());
        for at in 0..20 {
            let code = if at == 0 { &new } else { "abc" };
            let location = format!("https://example.com/{code}");
            assert_eq!(client.get(&format!("/{code}")).location(), location);
            assert_eq!(other.get("/def").location(), "https://example.com/def");
        }
        assert_eq!(client.get("/absent").status, 404);
    }
    // And what is not plain, for good.
    let odd = client.get_with("/abc", "Content-Length: 0\r\n");
    assert_eq!(odd.status, 302);
    assert_eq!(client.get("/def").location(), "https://example.com/def");
}

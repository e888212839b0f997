//! What a client may not do to the edge.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::server::{Options, PATIENCE, Server};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.edge.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that is answered until the server closes the connection.
fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is a way of closing too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_slow_head_and_an_idle_connection_are_closed() {
    let server = Options::default()
        .config("[edge]\nheader_timeout = \"200ms\"\nidle_timeout = \"300ms\"")
        .start();
    let mut slow = connect(&server);
    slow.write_all(b"GET /x HTTP/1.1\r\nHost:").unwrap();
    assert!(!answer(slow).contains("200 OK"));
    let mut idle = connect(&server);
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(answer(idle).starts_with("HTTP/1.1 200"));
}

#[test]
fn heads_and_addresses_are_bounded() {
    let server = Options::default()
        .config("[edge]\nmax_header_bytes = \"8KiB\"")
        .start();
    let client = server.client();
    let long = "x".repeat(5_000);
    assert_eq!(client.visit(&long).status, 414);
    let mut stream = connect(&server);
    let head = format!(
        "GET /x HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
        "x".repeat(9_000)
    );
    // The server may close before it has read everything.
    let _ = stream.write_all(head.as_bytes());
    let text = answer(stream);
    assert!(text.starts_with("HTTP/1.1 431"), "{text:?}");
    assert_eq!(client.visit("robots.txt").status, 200);
}

#[test]
fn connections_are_bounded() {
    let server = Options::default()
        .config("[edge]\nmax_connections = 4\nidle_timeout = \"10m\"")
        .start();
    let hello = b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    let open: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(hello).unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let mut one_more = connect(&server);
    let _ = one_more.write_all(hello);
    assert_eq!(answer(one_more), "");
    drop(open);
    crate::server::eventually("a free place", || {
        let mut stream = connect(&server);
        let _ =
            stream.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        answer(stream).starts_with("HTTP/1.1 200").then_some(())
    });
}

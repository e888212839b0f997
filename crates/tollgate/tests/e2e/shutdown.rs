//! Shutting down finishes what was begun.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::server::{PATIENCE, Server, eventually};

#[test]
fn requests_in_flight_are_answered() {
    let mut server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/", "password": "secret"}));

    let form = format!(
        "POST /{code} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 15\r\n\r\npassword"
    );
    let mut visitor = half_sent(&server.edge, &form);
    let draft = json!({"url": "https://b.example/", "code": "late"}).to_string();
    let (first, rest) = draft.split_at(5);
    let request = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{first}",
        server.key,
        draft.len()
    );
    let mut editor = half_sent(&server.admin, &request);
    // The server has begun with both once it has answered somebody who came later.
    assert_eq!(client.visit("robots.txt").status, 200);
    assert_eq!(client.api("GET", "/api/v1/links").status, 200);

    server.terminate();
    let edge = server.edge.trim_start_matches("http://").to_owned();
    eventually("the edge's closing", || TcpStream::connect(&edge).err());
    visitor.write_all(b"=secret").unwrap();
    editor.write_all(rest.as_bytes()).unwrap();
    let answer = all(&mut visitor);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert!(answer.contains("https://a.example/"), "{answer}");
    let answer = all(&mut editor);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(server.wait().success());
}

fn half_sent(base: &str, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

fn all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

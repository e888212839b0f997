//! Shutting down finishes what was begun.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::http::Http;
use crate::server::{Options, PATIENCE, Server, eventually, free_port, links_file, new_home};

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

/// All listeners; the proxy passes on to `upstream`.
fn everything(upstream: u16) -> Server {
    Options::default()
        .config(&format!(
            "[resp]\nlisten = \"127.0.0.1:0\"\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [proxy]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:{upstream}\""
        ))
        .start()
}

/// What is read until the server closes the connection, which it may do by a reset.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// An open connection on which `request` was answered.
fn idle(base: &str, request: &[u8]) -> TcpStream {
    let address = base.split("//").last().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0, "{base}");
    stream
}

const GET: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn every_listener_finishes_what_was_begun_and_lets_idle_clients_go() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = everything(upstream.local_addr().unwrap().port());
    let (resp, grpc, proxy) = (
        server.address("resp"),
        server.address("grpc"),
        server.address("proxy"),
    );
    let mut idle = [
        idle(&server.edge, b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        idle(&server.admin, GET),
        idle(&resp, b"PING\r\n"),
    ];
    let watch = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        server.key
    );
    let mut watching = half_sent(&server.admin, &watch);
    let mut head = [0; 15];
    watching.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut passing = half_sent(&proxy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    let (mut behind, _) = upstream.accept().unwrap();
    assert!(behind.read(&mut [0; 4096]).unwrap() > 0);

    server.terminate();
    for stream in &mut idle {
        rest(stream);
    }
    // In order: the last chunk of a stream that was cut off is missing.
    assert!(rest(&mut watching).ends_with("0\r\n\r\n"));
    for listener in [&server.edge, &server.admin, &resp, &grpc, &proxy] {
        let address = listener.split("//").last().unwrap();
        eventually("its closing", || TcpStream::connect(address).err());
    }
    behind
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .unwrap();
    let answer = rest(&mut passing);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    assert!(server.wait().success());
    assert!(!server.log().contains("cut off"), "{}", server.log());
}

#[test]
fn what_does_not_finish_is_cut_off_at_the_bound() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::default();
    for listener in ["EDGE", "ADMIN", "RESP", "GRPC", "PROXY"] {
        options = options.env(&format!("TOLLGATE_{listener}__DRAIN"), "100ms");
    }
    let port = upstream.local_addr().unwrap().port();
    let mut server = options
        .arg("--resp-listen=127.0.0.1:0")
        .arg("--proxy-listen=127.0.0.1:0")
        .arg(&format!("--proxy-upstream=http://127.0.0.1:{port}"))
        .start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/", "password": "secret"}));
    let form = format!(
        "POST /{code} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 15\r\n\r\npassword"
    );
    let draft = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{{",
        server.key
    );
    let mut held = [
        half_sent(&server.edge, &form),
        half_sent(&server.admin, &draft),
        half_sent(
            &server.address("proxy"),
            "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
    ];
    let _behind = upstream.accept().unwrap();
    // The server has begun with all once it has answered somebody who came later.
    assert_eq!(client.visit("robots.txt").status, 200);
    assert_eq!(client.api("GET", "/api/v1/links").status, 200);
    server.terminate();
    for stream in &mut held {
        rest(stream);
    }
    assert!(server.wait().success());
    assert!(server.log().contains("cut off"), "{}", server.log());
}

#[test]
fn it_is_not_ready_before_it_closes_and_a_second_signal_ends_it_at_once() {
    let mut server = Options::default()
        .config("[shutdown]\ndelay = \"1h\"\n[edge]\ndrain = \"1h\"")
        .start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    server.terminate();
    eventually("it is not ready", || (!client.is_ready()).then_some(()));
    assert_eq!(
        client.open("/health/ready").json()["reason"],
        "shutting down"
    );
    assert_eq!(client.open("/health/live").status, 200);
    // Whoever has not noticed is served as ever, on new connections too.
    let unaware = server.client();
    assert_eq!(unaware.visit(&code).status, 302);
    unaware.create(&json!({"url": "https://b.example/"}));
    assert!(
        server.log().contains("not ready any more"),
        "{}",
        server.log()
    );
    let ended = eventually("the end", || {
        server.terminate();
        server.ended()
    });
    assert_eq!(ended.code(), Some(1));
    assert!(
        server.log().contains("not waiting any longer"),
        "{}",
        server.log()
    );
}

#[test]
fn the_listeners_close_after_the_delay() {
    let mut server = Options::default()
        .config("[shutdown]\ndelay = \"200ms\"")
        .start();
    server.terminate();
    assert!(server.wait().success());
    let log = server.log();
    let (noticed, closed) = (log.find("not ready any more"), log.find("shut down"));
    assert!(noticed.is_some() && noticed < closed, "{log}");
}

#[test]
fn it_lives_before_it_is_ready() {
    let home = new_home();
    Options::default().start_in(&home).stop();
    // Its store is somebody else's for now.
    let other = rusqlite::Connection::open(links_file(home.path())).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let port = free_port();
    let options = Options::default().admin_port(port);
    let home = &home;
    let server = std::thread::scope(|scope| {
        let starting = scope.spawn(move || options.start_in(home));
        let http = Http::new();
        let ask = |path: &str| {
            let url = format!("http://127.0.0.1:{port}{path}");
            http.try_send(ureq::http::Request::get(&url), ()).ok()
        };
        let ready = eventually("an answer", || ask("/health/ready"));
        let live = ask("/health/live").unwrap();
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!((ready.status, live.status), (503, 200));
        assert_eq!(ready.json()["reason"], "starting");
        starting.join().unwrap()
    });
    assert!(server.client().is_ready());
    server.stop();
}

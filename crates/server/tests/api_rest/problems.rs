use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Server, empty, full};

const LINKS: &str = "/api/v1/links";

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let server = Server::start().await;
    server.get("/nothing").await.problem(404, "no-route");
    server.get("/api/v1/nothing").await.problem(404, "no-route");

    let put = server.request("PUT", LINKS).body(empty()).unwrap();
    let answer = server.send(put).await;
    let problem = answer.problem(405, "method-not-allowed");
    assert!(problem["detail"].as_str().unwrap().contains("Allow"));
    for method in ["GET", "POST"] {
        assert!(answer.header("allow").contains(method));
    }

    let plain = server.request("POST", LINKS).body(full("{}")).unwrap();
    let answer = server.send(plain).await;
    answer.problem(415, "unsupported-media-type");
    assert_eq!(answer.header("accept-post"), "application/json");

    let long = format!("{LINKS}?q={}", "x".repeat(9_000));
    server.get(&long).await.problem(414, "uri-too-long");

    let large = json!({"url": "x".repeat(2 << 20)});
    server.post(LINKS, &large).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let server = Server::start().await;
    let piece = || Ok::<_, std::io::Error>(http_body::Frame::data(vec![b' '; 1 << 18].into()));
    let pieces = futures_util::stream::iter((0..8).map(move |_| piece()));
    let body = http_body_util::BodyExt::boxed(http_body_util::StreamBody::new(pieces));
    let request = server
        .request("POST", LINKS)
        .header("content-type", "application/json");
    let answer = server.send(request.body(body).unwrap()).await;
    answer.problem(413, "too-large");
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_learns_that_it_was_too_much() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let body = vec![b' '; 12 << 20];
    for expects in ["", "expect: 100-continue\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let head = format!(
            "POST {LINKS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n{expects}\r\n",
            server.admin,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if expects.is_empty() {
            stream.write_all(&body).await.unwrap();
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

#[tokio::test]
async fn broken_json_and_wrong_fields_are_placed() {
    let server = Server::start().await;
    let post = |text: &'static str| {
        let request = server
            .request("POST", LINKS)
            .header("content-type", "application/json; charset=utf-8")
            .body(full(text))
            .unwrap();
        server.send(request)
    };
    let problem = post("{\"url\":").await;
    let problem = problem.problem(400, "malformed-json");
    assert_eq!(problem["line"], 1);
    let problem = post("{\"url\":\"https://a.example\",\"tittle\":1}").await;
    let problem = problem.problem(422, "invalid-fields");
    assert_eq!(problem["errors"][0]["field"], "tittle");
    let problem = post("{\"url\":\"ftp://a.example\",\"max_clicks\":0}").await;
    let problem = problem.problem(422, "invalid-fields");
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["url", "max_clicks"]);
}

#[tokio::test]
async fn a_taken_code_is_a_conflict() {
    let server = Server::start().await;
    let draft = json!({"url": "https://a.example", "code": "a"});
    server.post(LINKS, &draft).await;
    server.post(LINKS, &draft).await.problem(409, "code-taken");
}

#[tokio::test]
async fn a_store_that_is_away_asks_to_come_back_and_tells_nothing_else() {
    let server = Server::start().await;
    server.store.failing.store(true, Ordering::SeqCst);
    let answer = server.get("/api/v1/links/x").await;
    answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("/var/db"), "{text}");
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_one_replaced() {
    let server = Server::start().await;
    for (given, kept) in [("abc-1", true), ("a b", false), (&*"x".repeat(129), false)] {
        let request = server
            .request("GET", "/nothing")
            .header("x-request-id", given);
        let answer = server.send(request.body(empty()).unwrap()).await;
        answer.problem(404, "no-route");
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_nobody_wanted() {
    let server = Server::start().await;
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let head = format!(
        "POST {LINKS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/plain\r\n\
         content-length: 4\r\n\r\n",
        server.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The refusal is known by now, or will be before the body comes: it is the same either way.
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let rest = "bodyGET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 415"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
}

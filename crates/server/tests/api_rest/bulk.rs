use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::server::{Answer, Server, full};

const BULK: &str = "/api/v1/links/bulk";
const NDJSON: &str = "application/x-ndjson";

async fn send(server: &Server, media: &str, key: Option<&str>, body: impl Into<Bytes>) -> Answer {
    let mut request = server.request("POST", BULK).header("content-type", media);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    server.send(request.body(full(body)).unwrap()).await
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), NDJSON);
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn statuses(lines: &[Value]) -> Vec<(u64, u64)> {
    lines
        .iter()
        .map(|line| {
            (
                line["line"].as_u64().unwrap(),
                line["status"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn bad_rows_are_told_and_the_rest_goes_on() {
    let server = Server::start().await;
    let long = "x".repeat(70_000);
    let rows = [
        r#"{"url":"https://a.example/1","code":"one"}"#.to_owned(),
        String::new(),
        r#"{"url":"https://a.example/2","#.to_owned(),
        format!(r#"{{"url":"https://a.example/{long}"}}"#),
        r#"{"url":"https://a.example/3","code":"one"}"#.to_owned(),
        r#"{"url":"mailto:a@a.example"}"#.to_owned(),
        r#"{"url":"https://a.example/4"}"#.to_owned(),
    ];
    let answer = send(&server, NDJSON, None, rows.join("\n")).await;
    let answered = lines(&answer);
    let expected = [(1, 201), (3, 400), (4, 413), (5, 409), (6, 422), (7, 201)];
    assert_eq!(statuses(&answered), expected);
    assert_eq!(answered[0]["link"]["code"], "one");
    assert_eq!(answered[4]["problem"]["errors"][0]["field"], "url");
}

#[tokio::test]
async fn an_array_is_taken_as_rows_too() {
    let server = Server::start().await;
    let body =
        json!([{"url": "https://a.example/[1]"}, {"uri": ""}, 7, {"url": "https://a.example/2"}]);
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    let answer = send(&server, "application/json", None, pretty).await;
    let expected = [(1, 201), (2, 422), (3, 422), (4, 201)];
    assert_eq!(statuses(&lines(&answer)), expected);

    let cut = r#"[{"url":"https://a.example/3"},{"url":"#;
    let answer = send(&server, "application/json", None, cut).await;
    assert_eq!(statuses(&lines(&answer)), [(1, 201), (2, 400)]);
    let answer = send(&server, "application/json", None, "[]").await;
    assert_eq!(lines(&answer).len(), 0);
    let answer = send(&server, "text/csv", None, "url").await;
    answer.problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn rows_are_answered_while_others_are_still_to_come() {
    let server = Server::start().await;
    let (rows, body) = mpsc::channel::<std::io::Result<Frame<Bytes>>>(1);
    let body = BodyExt::boxed(StreamBody::new(ReceiverStream::new(body)));
    let request = server.request("POST", BULK).header("content-type", NDJSON);
    let row = |number: u32| {
        let text = format!("{{\"url\":\"https://a.example/{number}\"}}\n");
        Ok(Frame::data(Bytes::from(text)))
    };
    rows.send(row(0)).await.unwrap();
    let mut answer = server.open(request.body(body).unwrap()).await.into_body();
    for number in 1..5 {
        let frame = answer.frame().await.unwrap().unwrap();
        let line: Value = serde_json::from_slice(frame.data_ref().unwrap()).unwrap();
        assert_eq!(line["line"], number);
        rows.send(row(number)).await.unwrap();
    }
    drop(rows);
    let last = answer.collect().await.unwrap().to_bytes();
    let line: Value = serde_json::from_slice(&last).unwrap();
    assert_eq!((&line["line"], &line["status"]), (&json!(5), &json!(201)));
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_is_served() {
    const ROWS: usize = 20_000;
    let server = Server::start().await;
    let url = format!("https://a.example/{}", "q".repeat(1_000));
    let row = format!("{{\"url\":\"{url}\"}}\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // By HTTP/1.0 the answer comes as it is, not in chunks.
    let head = format!(
        "POST {BULK} HTTP/1.0\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: {NDJSON}\r\ncontent-length: {}\r\n\r\n",
        server.admin,
        row.len() * ROWS
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let batch = row.repeat(1_000);
    for _ in 0..ROWS / 1_000 {
        stream.write_all(batch.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("\"status\":201").count(), ROWS);
    // However many came, few were in memory at once.
    let largest = server.store.largest_insert.load(Ordering::SeqCst);
    assert!(largest <= 500, "{largest}");
}

#[tokio::test]
async fn a_repeated_request_makes_no_row_twice() {
    let server = Server::start().await;
    let body = "{\"url\":\"https://a.example/\"}\n".repeat(3);
    let first = lines(&send(&server, NDJSON, Some("k"), body.clone()).await);
    let again = lines(&send(&server, NDJSON, Some("k"), body.clone()).await);
    assert_eq!(first, again);
    let other = lines(&send(&server, NDJSON, Some("other"), body).await);
    assert_ne!(first, other);
    let all = server.get("/api/v1/links").await.json();
    assert_eq!(all["links"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_dry_run_checks_rows_and_makes_nothing() {
    let server = Server::start().await;
    let taken = serde_json::json!({"url": "https://a.example/", "code": "taken"});
    server.post("/api/v1/links", &taken).await;
    let rows = [
        r#"{"url":"https://a.example/","code":"free"}"#,
        r#"{"url":"https://a.example/"}"#,
        r#"{"url":"https://b.example/","code":"taken"}"#,
        r#"{"url":"nowhere"}"#,
    ];
    let request = server
        .request("POST", "/api/v1/links/bulk?dry_run=true")
        .header("content-type", "application/x-ndjson")
        .body(full(rows.join("\n")))
        .unwrap();
    let answer = server.send(request).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let statuses: Vec<u64> = lines
        .iter()
        .map(|line| line["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 201, 409, 422], "{text}");
    assert!(lines.iter().all(|line| line.get("link").is_none()));
    assert_eq!(server.get("/api/v1/links/free").await.status, 404);
    let list = server.get("/api/v1/links").await.json();
    assert_eq!(list["links"].as_array().unwrap().len(), 1);
    let wrong = server
        .post("/api/v1/links/bulk?dry_run=maybe", &taken)
        .await;
    wrong.problem(400, "invalid-query");
}

//! Requests whose ends are not certain, or that are none for a reverse proxy.

use crate::client::head;
use crate::server::Server;
use crate::upstream::Upstream;

async fn statuses(requests: &[String]) -> (Vec<u16>, usize) {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut statuses = Vec::new();
    for request in requests {
        let mut client = server.client().await;
        statuses.push(client.send(request).await.receive().await.status);
        // Nothing after it is believed to be another request.
        assert!(client.rest().await.is_empty(), "{request}");
    }
    (statuses, upstream.seen().len())
}

#[tokio::test]
async fn two_lengths_hide_no_second_request() {
    let hidden = head("GET", "/hidden", "");
    let length = format!("content-length: {}\r\n", hidden.len() + 5);
    let chunked = "transfer-encoding: chunked\r\n";
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    for headers in [length.clone() + chunked, chunked.to_owned() + &length] {
        let mut client = server.client().await;
        client
            .send(head("POST", "/", &headers) + "0\r\n\r\n" + &hidden)
            .await;
        let answer = client.receive().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    let seen = upstream.seen();
    assert!(seen.iter().all(|seen| seen.target == "/"), "{seen:?}");
    for one in seen {
        let lengths = one.lines("content-length").len() + one.lines("transfer-encoding").len();
        assert_eq!(lengths, 1, "{one:?}");
    }
}

#[tokio::test]
async fn requests_without_one_certain_end_are_refused() {
    let next = head("GET", "/hidden", "");
    let (statuses, arrived) = statuses(&[
        head("POST", "/", "content-length: 3\r\ncontent-length: 4\r\n") + "abc" + &next,
        head("POST", "/", "content-length: +3\r\n") + "abc" + &next,
        head("POST", "/", "transfer-encoding: chunked, gzip\r\n") + &next,
        head("POST", "/", "transfer-encoding: gzip, chunked\r\n") + "0\r\n\r\n" + &next,
        head("POST", "/", "transfer-encoding : chunked\r\n") + "0\r\n\r\n" + &next,
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned() + &next,
    ])
    .await;
    assert_eq!(statuses, [400, 400, 400, 501, 400, 400]);
    assert_eq!(arrived, 0);
}

#[tokio::test]
async fn requests_for_nobody_are_refused() {
    let (statuses, arrived) = statuses(&[
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        head("GET", "/", "host: other.example\r\n"),
        "CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443\r\n\r\n".to_owned(),
        head(
            "GET",
            "/",
            &format!("x-long: {}\r\n", "x".repeat(64 * 1024)),
        ),
    ])
    .await;
    assert_eq!(statuses, [400, 400, 405, 431]);
    assert_eq!(arrived, 0);
}

#[tokio::test]
async fn a_circle_ends() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let via = "via: 1.1 tollgate\r\n";
    let often = server.client().await.get_with("/", &via.repeat(8)).await;
    assert_eq!(often.status, 508);
    let seldom = server.client().await.get_with("/", &via.repeat(7)).await;
    assert_eq!(seldom.status, 200);
    assert_eq!(upstream.only().lines("via").len(), 8);
}

//! Messages that are wrong, and what is counted of them.

use std::time::Duration;

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use envoy_types::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use envoy_types::pb::google::protobuf::UInt64Value;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_server::grpc::GrpcOptions;
use tonic::Code;

use crate::server::{PATIENCE, Server, descriptor, request};

const PATH: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

fn of_user(hits: u64) -> RateLimitRequest {
    let mut one = descriptor(&[("user", "u1")]);
    one.hits_addend = Some(UInt64Value { value: hits });
    request(&[one])
}

#[tokio::test]
async fn wrong_requests_are_refused_by_field() {
    let server = Server::start().await;
    let mut no_domain = of_user(1);
    no_domain.domain = String::new();
    let mut negative = of_user(1);
    negative.descriptors[0].is_negative_hits = true;
    let mut no_unit = of_user(1);
    no_unit.descriptors[0].limit = Some(RateLimitOverride {
        requests_per_unit: 1,
        unit: 0,
    });
    let mut odd_unit = no_unit.clone();
    odd_unit.descriptors[0].limit.as_mut().unwrap().unit = 99;
    let long = "x".repeat(5_000);
    let second =
        |entries: &[(&str, &str)]| request(&[descriptor(&[("user", "u1")]), descriptor(entries)]);
    let wrong = [
        (no_domain, "domain"),
        (request(&[]), "descriptors"),
        (
            request(&vec![descriptor(&[("user", "u1")]); 101]),
            "at most 100",
        ),
        (second(&[]), "descriptors[1].entries"),
        (second(&[("a", "b"); 33]), "descriptors[1].entries"),
        (second(&[("a", &long)]), "at most 4096 bytes"),
        (of_user(u64::MAX), "descriptors[0].hits_addend"),
        (negative, "descriptors[0].is_negative_hits"),
        (no_unit, "descriptors[0].limit.unit"),
        (odd_unit, "descriptors[0].limit.unit"),
    ];
    let count = wrong.len();
    for (request, reason) in wrong {
        let status = server.ask(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{reason}");
        assert!(status.message().contains(reason), "{reason}: {status}");
    }
    let name = "tollgate_grpc_request_duration_seconds_count";
    let labels = r#"method="ShouldRateLimit",code="INVALID_ARGUMENT""#;
    server.counts(&format!("{name}{{{labels}}} {count}")).await;
    let answer = server.ask(of_user(0)).await.unwrap();
    assert_eq!(answer.statuses[0].limit_remaining, 3, "one was charged");
    server
        .counts(&format!(
            r#"{name}{{method="ShouldRateLimit",code="OK"}} 1"#
        ))
        .await;
}

#[tokio::test]
async fn messages_have_a_largest_size() {
    let server = Server::with(GrpcOptions {
        max_message_bytes: 1_000,
        ..GrpcOptions::default()
    })
    .await;
    let of_length =
        |length: usize| request(&[descriptor(&[("user", "x".repeat(length).as_str())])]);
    server.ask(of_length(900)).await.unwrap();
    let status = server.ask(of_length(1_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    // Announced, and never sent.
    let status = raw(&server, PATH, &[0, 0x7f, 0xff, 0xff, 0xff]).await;
    assert_eq!(status, Code::OutOfRange as i32);
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_server_goes_on() {
    let server = Server::start().await;
    for garbage in [
        // No message, a cut frame, no protobuf, no UTF-8, compressed by nobody knows what.
        &[] as &[u8],
        &[0, 0, 0],
        &[0, 0, 0, 0, 9, 1],
        &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0, 3, 0x0a, 0x01, 0xff],
        &[1, 0, 0, 0, 1, 0],
        &[7, 0, 0, 0, 1, 0],
    ] {
        assert_ne!(raw(&server, PATH, garbage).await, 0, "{garbage:?}");
    }
    let unknown = "/envoy.service.ratelimit.v2.RateLimitService/ShouldRateLimit";
    for path in ["/", "/x", unknown, &PATH.replace("Should", "Must")] {
        let status = raw(&server, path, &[0, 0, 0, 0, 0]).await;
        assert_eq!(status, Code::Unimplemented as i32, "{path}");
    }
    server.ask(of_user(1)).await.unwrap();
}

#[tokio::test]
async fn other_protocols_are_not_spoken() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    // A reset is a way of closing, too.
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _ = end.await.expect("the connection ends");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.ask(of_user(1)).await.unwrap();
}

#[tokio::test]
async fn a_message_that_does_not_arrive_is_given_up() {
    let server = Server::with(GrpcOptions {
        request_timeout: Duration::from_millis(50),
        ..GrpcOptions::default()
    })
    .await;
    let (_hold, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let frames = tokio_stream::wrappers::ReceiverStream::new(body);
    let frames = tokio_stream::StreamExt::map(frames, |bytes| bytes.map(hyper::body::Frame::data));
    let body = http_body_util::StreamBody::new(frames);
    let response = send(&server, PATH, body).await;
    assert_eq!(code_of(response).await, Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn connections_and_calls_have_a_bound() {
    let server = Server::with(GrpcOptions {
        max_connections: 1,
        max_streams: 1,
        ..GrpcOptions::default()
    })
    .await;
    let mut first = server.client().await;
    first.should_rate_limit(of_user(0)).await.unwrap();
    server.counts("tollgate_grpc_connections_open 1").await;
    // Calls on one connection take turns.
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let mut client = first.clone();
            tokio::spawn(async move { client.should_rate_limit(of_user(0)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // A second connection waits until the first is gone.
    let server = std::sync::Arc::new(server);
    let waiting = std::sync::Arc::clone(&server);
    let second = tokio::spawn(async move { waiting.ask(of_user(0)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    let second = tokio::time::timeout(PATIENCE, second).await;
    second.unwrap().unwrap().unwrap();
}

/// Sends bytes as they are, and answers the gRPC status.
async fn raw(server: &Server, path: &str, bytes: &'static [u8]) -> i32 {
    let body = if bytes.is_empty() {
        Empty::new().boxed()
    } else {
        Full::new(Bytes::from_static(bytes)).boxed()
    };
    let body = body.map_err(|never| match never {});
    code_of(send(server, path, body).await).await
}

async fn send<B>(server: &Server, path: &str, body: B) -> http::Response<Incoming>
where
    B: hyper::body::Body<Data = Bytes, Error = std::io::Error> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    response.expect("an answer").unwrap()
}

async fn code_of(response: http::Response<Incoming>) -> i32 {
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    let status = head.headers.get("grpc-status").cloned();
    let status = status.or_else(|| trailers?.get("grpc-status").cloned());
    status.expect("a status").to_str().unwrap().parse().unwrap()
}

use std::time::Duration;

use tokio::net::TcpStream;
use tollgate_server::grpc::GrpcOptions;

use crate::server::{PATIENCE, Server, descriptor, request};

#[tokio::test]
async fn calls_in_flight_are_answered_and_new_ones_refused() {
    let server = Server::start().await;
    let slow = request(&[descriptor(&[("slow", "x")])]);
    let mut client = server.client().await;
    client.should_rate_limit(slow.clone()).await.unwrap();
    let mut other = client.clone();
    let call = tokio::spawn(async move { other.should_rate_limit(slow).await });
    // Decided, and in a queue for 100 ms.
    let allowed = || {
        let stats = server.service.stats();
        stats.rules.iter().map(|rule| rule.allowed).sum::<u64>()
    };
    while allowed() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.shutdown.cancel();
    call.await.unwrap().unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.task).await;
    ended.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let server = Server::with(GrpcOptions {
        drain: PATIENCE * 10,
        ..GrpcOptions::default()
    })
    .await;
    let mut client = server.client().await;
    let one = request(&[descriptor(&[("user", "x")])]);
    client.should_rate_limit(one.clone()).await.unwrap();
    server.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, server.task).await;
    ended.expect("it ends").unwrap().unwrap();
    client.should_rate_limit(one).await.unwrap_err();
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off() {
    let server = Server::with(GrpcOptions {
        drain: Duration::from_millis(50),
        request_timeout: PATIENCE * 10,
        ..GrpcOptions::default()
    })
    .await;
    // It never sends its message.
    let mut client =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            server.channel().await,
        );
    let answers = client.server_reflection_info(tokio_stream::pending());
    let mut answers = answers.await.unwrap().into_inner();
    server.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, server.task).await;
    ended.expect("it ends").unwrap().unwrap();
    let answer = tokio::time::timeout(PATIENCE, answers.message()).await;
    answer.expect("the connection is cut").unwrap_err();
}

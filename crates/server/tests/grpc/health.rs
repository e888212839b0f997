//! Health and reflection.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::server::Server;

const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn the_whole_and_the_service_are_serving() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    for service in ["", SERVICE] {
        let answer = client.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let status = client.check(of("nobody")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    server
        .counts(r#"tollgate_grpc_request_duration_seconds_count{method="Check",code="OK"} 2"#)
        .await;
}

#[tokio::test]
async fn who_watches_is_told_of_the_end() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watched = client.watch(of(SERVICE)).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    server.shutdown.cancel();
    let last = watched.next().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(watched.next().await.is_none());
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn checks_are_told_of_the_end_before_it_comes() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    server.draining.cancel();
    let next = watched.next().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    // It still decides, on new connections too.
    server.one("user", "x").await;
    server.shutdown.cancel();
    while let Some(told) = watched.next().await {
        assert_eq!(told.unwrap().status(), ServingStatus::NotServing);
    }
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn clients_can_ask_what_there_is() {
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let mut asked = async |message: MessageRequest| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let answers = client.server_reflection_info(tokio_stream::once(request));
        let mut answers = answers.await.unwrap().into_inner();
        answers
            .next()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) =
        asked(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: BTreeSet<&str> = listed.service.iter().map(|s| s.name.as_str()).collect();
    for name in [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    // With what the files import, so that a client can put the messages together.
    for file in [
        "envoy/service/ratelimit/v3/rls.proto",
        "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
        "envoy/config/core/v3/base.proto",
        "envoy/type/v3/ratelimit_unit.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/wrappers.proto",
    ] {
        let answer = asked(MessageRequest::FileByFilename(file.to_owned())).await;
        let MessageResponse::FileDescriptorResponse(found) = answer else {
            panic!("{file}: {answer:?}")
        };
        let bytes = found.file_descriptor_proto[0].as_slice();
        assert_eq!(FileDescriptorProto::decode(bytes).unwrap().name(), file);
    }
    let symbol = MessageRequest::FileContainingSymbol(format!("{SERVICE}.ShouldRateLimit"));
    assert!(matches!(
        asked(symbol).await,
        MessageResponse::FileDescriptorResponse(_)
    ));
}

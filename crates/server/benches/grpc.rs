//! The other two of `benches/grpc/run`: a server of the protocol that decides nothing, and the client that asks both.
//!
//! `echo ADDRESS` answers every call with the same message, through nothing but tonic. `ask ADDRESS CONNECTIONS IN_FLIGHT SECONDS
//! KEYS` calls with so many requests at once on each connection, each about a random one of so many users, and prints calls a
//! second and percentiles of their latency.

#![allow(clippy::unwrap_used, reason = "a panic ends the benchmark")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// What the domain of `benches/grpc/run` is called.
const DOMAIN: &str = "bench";

#[derive(Debug)]
struct Echo;

#[tonic::async_trait]
impl RateLimitService for Echo {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let asked = request.into_inner().descriptors.len();
        // What the limit service answers to the same.
        let status = DescriptorStatus {
            code: Code::Ok.into(),
            current_limit: Some(RateLimit {
                name: "per_user".to_owned(),
                requests_per_unit: 1_000_000,
                unit: 1,
            }),
            limit_remaining: 999_999,
            duration_until_reset: Some(envoy_types::pb::google::protobuf::Duration {
                seconds: 0,
                nanos: 1_000,
            }),
            ..DescriptorStatus::default()
        };
        Ok(Response::new(RateLimitResponse {
            overall_code: Code::Ok.into(),
            statuses: vec![status; asked],
            ..RateLimitResponse::default()
        }))
    }
}

async fn echo(address: SocketAddr) {
    Server::builder()
        .tcp_nodelay(true)
        .add_service(RateLimitServiceServer::new(Echo))
        .serve(address)
        .await
        .unwrap();
}

fn request(user: u64) -> RateLimitRequest {
    RateLimitRequest {
        domain: DOMAIN.to_owned(),
        descriptors: vec![RateLimitDescriptor {
            entries: vec![Entry {
                key: "user".to_owned(),
                value: format!("u{user:06}"),
            }],
            ..RateLimitDescriptor::default()
        }],
        ..RateLimitRequest::default()
    }
}

/// Asks again and again until the end; how long each call took.
async fn ask_on(channel: Channel, keys: u64, seed: u64, end: Instant) -> Vec<Duration> {
    let mut client = RateLimitServiceClient::new(channel);
    let mut random = StdRng::seed_from_u64(seed);
    let mut took = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        let answer = client.should_rate_limit(request(random.random_range(0..keys)));
        let answer = answer.await.unwrap().into_inner();
        assert_eq!(answer.overall_code, i32::from(Code::Ok));
        assert_eq!(answer.statuses.len(), 1);
        took.push(begun.elapsed());
    }
    took
}

async fn ask(address: &str, connections: u64, in_flight: u64, seconds: u64, keys: u64) {
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let mut asking = Vec::new();
    for connection in 0..connections {
        let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
        let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
        for one in 0..in_flight {
            let seed = connection * in_flight + one;
            asking.push(tokio::spawn(ask_on(channel.clone(), keys, seed, end)));
        }
    }
    let mut took = Vec::new();
    for one in asking {
        took.extend(one.await.unwrap());
    }
    took.sort_unstable();
    let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
    let at = |share: f64| took[(took.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "calls={} rate={rate:.0} p50={:.0} p99={:.0}",
        took.len(),
        at(0.5),
        at(0.99)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // One thread: it has one core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match words[..] {
        ["echo", address] => runtime.block_on(echo(address.parse().unwrap())),
        ["ask", address, connections, in_flight, seconds, keys] => {
            let [connections, in_flight, seconds, keys] =
                [connections, in_flight, seconds, keys].map(|number| number.parse().unwrap());
            runtime.block_on(ask(address, connections, in_flight, seconds, keys));
        }
        _ => panic!("echo ADDRESS, or ask ADDRESS CONNECTIONS IN_FLIGHT SECONDS KEYS"),
    }
}

//! A listener on a free port with a clock set by hand, and a client for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::PolicySet;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_server::grpc::{GrpcOptions, GrpcState, serve};
use tollgate_server::metrics::Metrics;
use tonic::transport::{Channel, Endpoint};

/// The begin of a minute and an hour, but not of a day.
const START: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
/// The longest wait for what usually takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLICIES: &str = "\
domain: shop
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: minute, requests_per_unit: 3}
  - key: plan
    value: free
    rate_limit: {name: free, unit: hour, requests_per_unit: 2}
    descriptors:
      - key: user
        rate_limit: {unit: week, requests_per_unit: 7}
  - key: odd
    rate_limit: {window: 90s, requests_per_unit: 30}
  - key: staff
    rate_limit: {unlimited: true}
  - key: banned
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: watched
    rate_limit: {name: watched, unit: minute, requests_per_unit: 1}
    shadow_mode: true
  - key: vip
    rate_limit: {unit: minute, requests_per_unit: 9, replaces: [{name: per_user}]}
  - key: report
    rate_limit: {unit: second, requests_per_unit: 1, burst: 5, on_exceed: delay}
  - key: slow
    rate_limit: {window: 100ms, requests_per_unit: 1, burst: 5, on_exceed: queue}
  - key: endless
    rate_limit: {unit: day, requests_per_unit: 1, burst: 3, on_exceed: queue}
";

pub struct Server {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub service: Arc<LimitService>,
    pub metrics: Metrics,
    pub draining: CancellationToken,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(GrpcOptions::default()).await
    }

    pub async fn with(options: GrpcOptions) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(1), clock.clone()));
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let metrics = Metrics::new();
        let service = Arc::new(LimitService::new(policies, store.clone(), store));
        let draining = CancellationToken::new();
        let state = GrpcState {
            service: service.clone(),
            metrics: metrics.register_grpc(),
            options,
            draining: draining.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        Self {
            address,
            clock,
            service,
            metrics,
            draining,
            task: tokio::spawn(serve(listener, state, shutdown.clone())),
            shutdown,
        }
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::try_from(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn client(&self) -> RateLimitServiceClient<Channel> {
        RateLimitServiceClient::new(self.channel().await)
    }

    pub async fn ask(&self, request: RateLimitRequest) -> Result<RateLimitResponse, tonic::Status> {
        let mut client = self.client().await;
        let response = client.should_rate_limit(request).await?;
        Ok(response.into_inner())
    }

    /// Asks for one descriptor of one entry.
    pub async fn one(&self, key: &str, value: &str) -> RateLimitResponse {
        self.ask(request(&[descriptor(&[(key, value)])]))
            .await
            .unwrap()
    }

    /// Waits until the metrics have this line.
    pub async fn counts(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.metrics.encode();
            if text.lines().any(|l| l == line) {
                return;
            }
            assert!(Instant::now() < deadline, "no {line} in {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn request(descriptors: &[RateLimitDescriptor]) -> RateLimitRequest {
    RateLimitRequest {
        domain: "shop".to_owned(),
        descriptors: descriptors.to_vec(),
        hits_addend: 0,
    }
}

pub fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entry = |(key, value): &(&str, &str)| Entry {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    RateLimitDescriptor {
        entries: entries.iter().map(entry).collect(),
        ..RateLimitDescriptor::default()
    }
}

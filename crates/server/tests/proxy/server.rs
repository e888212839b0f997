//! A proxy on a free port with a clock set by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::PolicySet;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{LimitStore, MemoryOptions, MemoryStore};
use tollgate_server::limits::Attribute;
use tollgate_server::metrics::Metrics;
use tollgate_server::proxy::{Proxy, ProxyOptions};

use crate::client::{Client, Response};

/// The begin of a minute.
const START: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
/// The longest wait for what usually takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLICIES: &str = "\
domain: http
descriptors:
  - key: path
    value: /limited
    rate_limit: {name: limited, unit: minute, requests_per_unit: 2}
  - key: path
    value: /closed
    rate_limit: {name: closed, unit: minute, requests_per_unit: 9, on_store_failure: closed}
  - key: path
    value: /dear
    rate_limit: {name: dear, unit: minute, requests_per_unit: 10, cost: 4}
  - key: path
    value: /watched
    rate_limit: {name: watched, unit: minute, requests_per_unit: 1}
    shadow_mode: true
  - key: path
    value: /shaped
    rate_limit: {name: shaped, unit: second, requests_per_unit: 10, burst: 10, on_exceed: queue}
  - key: path
    value: /told
    rate_limit: {name: told, unit: second, requests_per_unit: 10, burst: 10, on_exceed: delay}
  - key: path
    value: /slow
    rate_limit: {name: slow, unit: hour, requests_per_unit: 1, burst: 3, on_exceed: queue}
  - key: path
    value: /impatient
    rate_limit: {name: impatient, unit: hour, requests_per_unit: 1, burst: 9, on_exceed: queue, max_delay: 1s}
  - key: remote_address
    value: 203.0.113.9
    rate_limit: {name: banned, unit: hour, requests_per_unit: 0}
  - key: host
    value: banned.example
    rate_limit: {name: banned_host, unit: hour, requests_per_unit: 0}
";

pub struct Server {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub service: Arc<LimitService>,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

/// The usual options, counting by path, address and host.
pub fn options(upstream: &str) -> ProxyOptions {
    ProxyOptions {
        by: vec![
            vec![Attribute::Path],
            vec![Attribute::RemoteAddress],
            vec![Attribute::Host],
        ],
        drain: PATIENCE * 10,
        ..ProxyOptions::to(upstream.parse().unwrap())
    }
}

impl Server {
    pub async fn start(upstream: &str) -> Self {
        Self::with(options(upstream)).await
    }

    pub async fn with(options: ProxyOptions) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let store = MemoryStore::new(MemoryOptions::with_seed(1), clock.clone());
        Self::counting_in(options, clock, Arc::new(store)).await
    }

    pub async fn counting_in(
        options: ProxyOptions,
        clock: Arc<ManualClock>,
        store: Arc<dyn LimitStore>,
    ) -> Self {
        let local = MemoryStore::new(MemoryOptions::with_seed(2), clock.clone());
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let service = Arc::new(LimitService::new(policies, store, Arc::new(local)));
        let metrics = Metrics::new();
        let proxy = Proxy::new(options, service.clone(), metrics.register_proxy()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        Self {
            address,
            clock,
            service,
            metrics,
            task: tokio::spawn(proxy.serve(listener, shutdown.clone())),
            shutdown,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Response {
        self.client().await.get(path).await
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

    /// Waits until so many requests were allowed by a policy.
    pub async fn decided(&self, count: u64) {
        let allowed = || -> u64 {
            let rules = self.service.stats().rules;
            rules.iter().map(|rule| rule.allowed).sum()
        };
        while allowed() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until so many requests wait for their turn.
    pub async fn waiting(&self, count: usize) {
        self.counts(&format!("tollgate_proxy_waiting {count}"))
            .await;
    }

    /// How often a metric with this outcome was counted.
    pub fn outcome(&self, outcome: &str) -> u64 {
        let begin = format!("tollgate_proxy_requests_total{{outcome=\"{outcome}\"}} ");
        let text = self.metrics.encode();
        let count = text.lines().find_map(|line| line.strip_prefix(&*begin));
        count.map_or(0, |count| count.parse().unwrap())
    }
}

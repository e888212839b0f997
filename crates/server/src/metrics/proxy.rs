use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::open::Open;

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Requests to a proxy.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    requests: Family<Labels, Counter>,
    answers: Histogram,
    waits: Histogram,
    waiting: Gauge,
    open: Gauge,
    reachable: Gauge,
    /// Connections closed at once because too many of the same address were open.
    pub(crate) refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: ProxyOutcome,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProxyOutcome {
    /// It was passed on and answered.
    Forwarded,
    /// It became a tunnel.
    Tunnelled,
    /// A limit was over.
    Limited,
    /// Too many waited for their turn.
    Crowded,
    /// It could not be passed on, or its body ended early.
    Malformed,
    /// The client went away before it was answered.
    ClientGone,
    /// No connection to the upstream could be made.
    UpstreamUnreachable,
    /// The upstream took the request and gave no answer.
    UpstreamFailed,
    /// The upstream took too long.
    UpstreamTimeout,
    /// A defect of ours.
    Failed,
}

impl EncodeLabelValue for ProxyOutcome {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> std::fmt::Result {
        let name = match self {
            Self::Forwarded => "forwarded",
            Self::Tunnelled => "tunnelled",
            Self::Limited => "limited",
            Self::Crowded => "crowded",
            Self::Malformed => "malformed",
            Self::ClientGone => "client_gone",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Failed => "failed",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl ProxyMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            answers: Histogram::new(BOUNDS),
            waits: Histogram::new(BOUNDS),
            waiting: Gauge::default(),
            open: Gauge::default(),
            reachable: Gauge::default(),
            refused: Counter::default(),
        };
        registry.register(
            "tollgate_proxy_connections_refused_by_address",
            "Connections closed at once because too many of the same address were open",
            metrics.refused.clone(),
        );
        registry.register(
            "tollgate_proxy_requests",
            "Requests to the proxy, by what came of them",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "tollgate_proxy_upstream_duration",
            "Time from passing a request on to the head of the upstream's answer",
            Unit::Seconds,
            metrics.answers.clone(),
        );
        registry.register_with_unit(
            "tollgate_proxy_wait_duration",
            "Time that requests were held for their turn, until they went or their clients left",
            Unit::Seconds,
            metrics.waits.clone(),
        );
        let gauges = [
            (
                "tollgate_proxy_waiting",
                "Requests that wait for their turn now",
                &metrics.waiting,
            ),
            (
                "tollgate_proxy_connections_open",
                "Connections of clients open now, tunnels included",
                &metrics.open,
            ),
            (
                "tollgate_proxy_upstream_reachable",
                "1, or 0 if no connection to the upstream could be made when one was last needed",
                &metrics.reachable,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }

    /// A request that has come, and is counted when what this answers is dropped.
    pub(crate) fn request(&self) -> ProxyRequest {
        ProxyRequest {
            outcome: ProxyOutcome::ClientGone,
            requests: self.requests.clone(),
        }
    }

    /// A request waits for its turn, until what this answers is dropped.
    pub(crate) fn wait(&self) -> Wait {
        Wait {
            began: Instant::now(),
            waits: self.waits.clone(),
            _waiting: Open::counted(&self.waiting),
        }
    }

    /// The upstream answered after this time.
    pub(crate) fn answered(&self, took: Duration) {
        self.answers.observe(took.as_secs_f64());
    }

    /// Counts a connection as open, until what this answers is dropped.
    pub(crate) fn opened(&self) -> Open {
        Open::counted(&self.open)
    }

    /// Whether the upstream can be reached.
    pub(crate) fn reachable(&self, reachable: bool) {
        self.reachable.set(i64::from(reachable));
    }
}

/// A request that is counted when it is over.
#[derive(Debug)]
pub(crate) struct ProxyRequest {
    pub(crate) outcome: ProxyOutcome,
    requests: Family<Labels, Counter>,
}

impl Drop for ProxyRequest {
    fn drop(&mut self) {
        let labels = Labels {
            outcome: self.outcome,
        };
        self.requests.get_or_create(&labels).inc();
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    began: Instant,
    waits: Histogram,
    _waiting: Open,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.observe(self.began.elapsed().as_secs_f64());
    }
}

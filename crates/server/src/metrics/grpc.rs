use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::open::Open;

/// Upper bounds of the buckets, in seconds: decisions take microseconds, and those that wait for a
/// queue take seconds.
const BOUNDS: [f64; 17] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Calls to the gRPC listener, by method and code.
#[derive(Debug, Clone)]
pub struct GrpcMetrics {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    open: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    code: &'static str,
}

impl GrpcMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let durations =
            Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        registry.register_with_unit(
            "tollgate_grpc_request_duration",
            "Time from a call to the gRPC listener to the head of its answer; the code is that of gRPC, CANCELLED if the client went away first",
            Unit::Seconds,
            durations.clone(),
        );
        let open = Gauge::default();
        registry.register(
            "tollgate_grpc_connections_open",
            "Connections open now",
            open.clone(),
        );
        Self { durations, open }
    }

    /// Counts one call. Both labels have to come from bounded sets: each new one is a time series for
    /// good.
    pub fn observe(&self, method: &'static str, code: &'static str, took: Duration) {
        self.durations
            .get_or_create(&Labels { method, code })
            .observe(took.as_secs_f64());
    }

    /// Counts a connection as open, until what this answers is dropped.
    #[must_use]
    pub fn opened(&self) -> Open {
        Open::counted(&self.open)
    }
}

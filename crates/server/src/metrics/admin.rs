use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the buckets, in seconds: API calls wait for the store's commits.
const BOUNDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Requests to the admin listener, by method, route and status.
#[derive(Debug)]
pub struct AdminMetrics {
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    /// Connections closed at once because too many of the same address were open.
    pub(crate) refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    route: String,
    status: u16,
}

impl AdminMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let durations =
            Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        registry.register_with_unit(
            "tollgate_admin_request_duration",
            "Time from a request to the admin listener to the head of its response; the route is its pattern, unmatched if there is none",
            Unit::Seconds,
            durations.clone(),
        );
        let refused = Counter::default();
        registry.register(
            "tollgate_admin_connections_refused_by_address",
            "Connections closed at once because too many of the same address were open",
            refused.clone(),
        );
        Self { durations, refused }
    }

    /// Counts one answered request. `route` is the matched pattern (such as
    /// `/api/v1/links/{code}`), never the path: each new one is a time series for good.
    pub fn observe(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        self.durations
            .get_or_create(&Labels {
                method: label(method),
                route: route.to_owned(),
                status: status.as_u16(),
            })
            .observe(took.as_secs_f64());
    }
}

/// Clients can invent methods; time series must stay bounded.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

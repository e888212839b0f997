//! Everything Prometheus can ask for. Names begin with `tollgate_` (`process_` for the usual process
//! metrics) and end with their unit; the snapshot test beside the collectors lists them all.

mod admin;
mod cache;
mod clicks;
mod connections;
mod edge;
mod files;
mod grpc;
mod limits;
mod open;
mod overload;
mod process;
mod proxy;
mod reading;
mod replicas;
mod resp;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tollgate_clicks::capture::Capture;
use tollgate_clicks::spool::SpoolStats;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::MemoryStore;
use tollgate_links::LinkCache;

pub use admin::AdminMetrics;
pub use edge::{EdgeRecorder, Outcome, Source};
pub use files::{FileWrites, WatchedFile};
pub use resp::{RespOutcome, RespRecorder};

pub(crate) use connections::Connections;
pub use grpc::GrpcMetrics;
pub use open::Open;
pub use proxy::ProxyMetrics;
pub(crate) use proxy::{ProxyOutcome, ProxyRequest};
pub use replicas::WatchedReplica;
pub(crate) use resp::RespTotals;

use self::overload::OverloadCollector;
use crate::overload::Overload;
use cache::CacheCollector;
use clicks::ClicksCollector;
use edge::EdgeMetrics;
use files::FilesCollector;
use limits::{LimitStoreCollector, LimitsCollector};
use process::ProcessCollector;
use reading::{Kind, Reading};
use replicas::ReplicasCollector;
use resp::RespMetrics;

/// A counter: its name, what it counts, and which of some counts it is.
pub type Counter<T> = (&'static str, &'static str, fn(T) -> u64);

/// A gauge, in the same way.
pub type Gauge<T> = Counter<T>;

/// The registry, and the metrics that are always there.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    edge: Arc<EdgeMetrics>,
    resp: Arc<RespMetrics>,
    /// Requests to the admin listener.
    pub admin: AdminMetrics,
}

impl Metrics {
    /// A registry with the metrics of the listeners and the process.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let edge = Arc::new(EdgeMetrics::default());
        registry.register_collector(Box::new(Arc::clone(&edge)));
        let resp = Arc::new(RespMetrics::default());
        registry.register_collector(Box::new(Arc::clone(&resp)));
        let admin = AdminMetrics::registered(&mut registry);
        registry.register_collector(Box::new(ProcessCollector::new()));
        Self {
            registry: Mutex::new(registry),
            edge,
            resp,
            admin,
        }
    }

    /// A recorder for one edge thread; the threads' recorders are summed when somebody asks.
    #[must_use]
    pub fn edge_recorder(&self) -> Arc<EdgeRecorder> {
        self.edge.recorder()
    }

    /// The same for a thread of the Redis protocol.
    #[must_use]
    pub fn resp_recorder(&self) -> Arc<RespRecorder> {
        self.resp.recorder()
    }

    /// What the threads of the Redis protocol counted.
    pub(crate) fn resp_totals(&self) -> RespTotals {
        self.resp.totals()
    }

    /// Shows the counters of the link cache.
    pub fn register_cache(&self, cache: Arc<LinkCache>) {
        self.register_collector(CacheCollector::new(move || cache.stats()));
    }

    /// Shows what is let in, and what is refused because too much is asked.
    pub fn register_overload(&self, overload: Overload) {
        self.register_collector(OverloadCollector(overload));
    }

    /// Shows what becomes of commits to files.
    pub fn register_files(&self, files: Vec<WatchedFile>) {
        self.register_collector(FilesCollector(files));
    }

    /// Shows how the servers of a store do that are read beside each other.
    pub fn register_replicas(
        &self,
        replicas: impl Fn() -> Vec<WatchedReplica> + Send + Sync + 'static,
    ) {
        self.register_collector(ReplicasCollector(replicas));
    }

    /// Shows what becomes of clicks between the edge and the spool.
    pub fn register_clicks(
        &self,
        capture: Arc<Capture>,
        spool: impl Fn() -> SpoolStats + Send + Sync + 'static,
    ) {
        self.register_collector(ClicksCollector { capture, spool });
    }

    /// Shows what the policies of the limit service decided.
    pub fn register_limits(&self, service: Arc<LimitService>) {
        self.register_collector(LimitsCollector(service));
    }

    /// Shows the calls to a gRPC listener, which counts them by what this answers.
    #[must_use]
    pub fn register_grpc(&self) -> GrpcMetrics {
        GrpcMetrics::registered(&mut self.registry())
    }

    /// Shows the requests to a proxy, which counts them by what this answers.
    #[must_use]
    pub fn register_proxy(&self) -> ProxyMetrics {
        ProxyMetrics::registered(&mut self.registry())
    }

    /// Shows what the store of limits in memory holds.
    pub fn register_limit_store(&self, store: Arc<MemoryStore>) {
        self.register_collector(LimitStoreCollector(store));
    }

    /// Shows a value that goes up and down, read when somebody asks.
    pub fn register_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register_collector(Reading::new(name, help, Kind::Gauge, read));
    }

    /// Shows a count that only grows, read when somebody asks; `_total` is added to its name.
    pub fn register_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register_collector(Reading::new(name, help, Kind::Counter, read));
    }

    /// Shows several counts of one thing, whose `stats` are taken for each when somebody asks. They
    /// are exact up to 2^53, which no process reaches.
    pub fn register_counters<T: 'static, const N: usize>(
        &self,
        counters: [Counter<T>; N],
        stats: impl Fn() -> T + Clone + Send + Sync + 'static,
    ) {
        for (name, help, read) in counters {
            let stats = stats.clone();
            self.register_counter(name, help, move || read(stats()) as f64);
        }
    }

    /// The same for several gauges of one thing.
    pub fn register_gauges<T: 'static, const N: usize>(
        &self,
        gauges: [Gauge<T>; N],
        stats: impl Fn() -> T + Clone + Send + Sync + 'static,
    ) {
        for (name, help, read) in gauges {
            let stats = stats.clone();
            self.register_gauge(name, help, move || read(stats()) as f64);
        }
    }

    /// Adds metrics of any shape.
    pub fn register_collector(&self, collector: impl Collector) {
        self.registry().register_collector(Box::new(collector));
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A string takes everything; only a collector of somebody else could fail.
        if text::encode(&mut text, &self.registry()).is_err() {
            tracing::error!("a metrics collector failed: the metrics are not complete");
        }
        text
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A collector that panicked leaves the registry as it was.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};
    use tollgate_links::CacheStats;

    use super::*;

    #[test]
    fn names_and_types() {
        let metrics = Metrics::new();
        metrics.edge_recorder().observe(
            Outcome::Redirect,
            Source::Memory,
            Duration::from_micros(7),
        );
        metrics.admin.observe(
            &Method::GET,
            "/api/v1/links",
            StatusCode::OK,
            Duration::from_millis(3),
        );
        metrics.register_collector(CacheCollector::new(CacheStats::default));
        metrics.register_gauge("tollgate_links", "Links in the store", || 3.0);
        metrics.register_counter("tollgate_commits", "Commits", || 4.0);
        let text = metrics.encode();
        let types: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        insta::assert_snapshot!(types.join("\n"));
        assert!(text.contains("\ntollgate_links 3.0\n"), "{text}");
        assert!(text.contains("\ntollgate_commits_total 4.0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}

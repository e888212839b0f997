use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// One of the servers of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchedReplica {
    /// Host and port.
    pub server: String,
    /// Whether it is read as a replica now.
    pub readable: bool,
    /// For how long it has been behind the primary, if that is known.
    pub lag_seconds: Option<f64>,
    /// By how many bytes of the log.
    pub lag_bytes: Option<u64>,
    /// Reads that it answered.
    pub reads: u64,
    /// Reads that failed.
    pub failures: u64,
}

/// Shows them all.
pub(super) struct ReplicasCollector<F>(pub(super) F);

type Gauge = (
    &'static str,
    &'static str,
    fn(&WatchedReplica) -> Option<f64>,
);
type Counter = (&'static str, &'static str, fn(&WatchedReplica) -> u64);

const GAUGES: [Gauge; 3] = [
    (
        "tollgate_postgres_replica_readable",
        "Whether this server is read as a standby: 0 while it is away, too far behind, or the primary",
        |replica| Some(f64::from(u8::from(replica.readable))),
    ),
    (
        "tollgate_postgres_replica_lag_seconds",
        "For how long this standby has been behind the primary; not there while that is not known",
        |replica| replica.lag_seconds,
    ),
    (
        "tollgate_postgres_replica_lag_bytes",
        "Bytes of the write-ahead log that this standby has not replayed; not there while that is not known",
        |replica| replica.lag_bytes.map(|bytes| bytes as f64),
    ),
];

const COUNTERS: [Counter; 2] = [
    (
        "tollgate_postgres_replica_reads",
        "Reads that this server answered as a standby",
        |replica| replica.reads,
    ),
    (
        "tollgate_postgres_replica_failures",
        "Reads that this server failed as a standby, and another one was asked",
        |replica| replica.failures,
    ),
];

impl<F: Fn() -> Vec<WatchedReplica> + Send + Sync + 'static> Collector for ReplicasCollector<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = (self.0)();
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for replica in &all {
                if let Some(value) = read(replica) {
                    let labels = [("server", replica.server.as_str())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        for (name, help, read) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for replica in &all {
                let labels = [("server", replica.server.as_str())];
                ConstCounter::new(read(replica)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl<F> fmt::Debug for ReplicasCollector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplicasCollector").finish_non_exhaustive()
    }
}

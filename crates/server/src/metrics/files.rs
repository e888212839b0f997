use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Counter;

/// How writing to a file of a store has gone since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileWrites {
    /// Commits, including failed ones.
    pub commits: u64,
    /// Those that failed.
    pub failed: u64,
    /// Whether the last one did.
    pub failing: bool,
}

/// A file that a store writes to.
#[derive(Clone)]
pub struct WatchedFile {
    /// What it holds: `links`, `keys` and so on.
    pub holds: &'static str,
    /// Tells how writing has gone.
    pub writes: Arc<dyn Fn() -> FileWrites + Send + Sync>,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("WatchedFile");
        debug.field("holds", &self.holds).finish_non_exhaustive()
    }
}

/// Shows what becomes of commits.
#[derive(Debug)]
pub(super) struct FilesCollector(pub(super) Vec<WatchedFile>);

impl Collector for FilesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self
            .0
            .iter()
            .map(|file| ([("file", file.holds)], (file.writes)()))
            .collect();
        let mut family = encoder.encode_descriptor(
            "tollgate_store_failing",
            "1 while nothing can be written to this file: the last commit failed",
            None,
            MetricType::Gauge,
        )?;
        for (labels, writes) in &all {
            let gauge = ConstGauge::new(u64::from(writes.failing) as f64);
            gauge.encode(family.encode_family(labels)?)?;
        }
        let counts: [Counter<FileWrites>; 2] = [
            (
                "tollgate_store_commits",
                "Commits to this file, also failed ones",
                |it| it.commits,
            ),
            (
                "tollgate_store_commits_failed",
                "Commits to this file that failed",
                |it| it.failed,
            ),
        ];
        for (name, help, read) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, writes) in &all {
                let counter = ConstCounter::new(read(*writes));
                counter.encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

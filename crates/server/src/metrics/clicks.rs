use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tollgate_clicks::capture::Capture;
use tollgate_clicks::spool::{SpoolHealth, SpoolStats};

use super::reading::{counter, gauge};

/// What became of clicks between the edge and the spool.
pub(super) struct ClicksCollector<S> {
    pub(super) capture: Arc<Capture>,
    pub(super) spool: S,
}

impl<S: Fn() -> SpoolStats + Send + Sync + 'static> Collector for ClicksCollector<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let capture = self.capture.stats();
        let spool = (self.spool)();
        counter(
            encoder,
            "tollgate_clicks_captured",
            "Clicks that the edge put into a queue",
            capture.captured as f64,
        )?;
        let mut dropped = encoder.encode_descriptor(
            "tollgate_clicks_dropped",
            "Clicks that are lost: queue_full, spool_full or spool_failing",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in [
            ("queue_full", capture.dropped),
            ("spool_full", spool.dropped_full),
            ("spool_failing", spool.dropped_failing),
        ] {
            dropped
                .encode_family(&[("reason", reason)])?
                .encode_counter::<NoLabelSet, f64, f64>(&(count as f64), None)?;
        }
        gauge(
            encoder,
            "tollgate_clicks_queued",
            "Clicks in queues, on their way to the spool",
            capture.queued as f64,
        )?;
        counter(
            encoder,
            "tollgate_clicks_spooled",
            "Clicks written to the spool",
            spool.written as f64,
        )?;
        gauge(
            encoder,
            "tollgate_clicks_spool_bytes",
            "Bytes of the spool",
            spool.bytes as f64,
        )?;
        gauge(
            encoder,
            "tollgate_clicks_spool_failing",
            "1 while clicks cannot be written and are dropped",
            f64::from(u8::from(spool.health == SpoolHealth::Failing)),
        )?;
        counter(
            encoder,
            "tollgate_clicks_spool_torn_bytes",
            "Bytes cut off at start, because an earlier process had not written them whole",
            spool.torn_bytes as f64,
        )?;
        counter(
            encoder,
            "tollgate_clicks_spool_damaged_bytes",
            "Bytes of the spool that were skipped, because they are damaged",
            spool.damaged_bytes as f64,
        )?;
        counter(
            encoder,
            "tollgate_clicks_spool_sync_failures",
            "Times the disk did not take what was written",
            spool.sync_failures as f64,
        )
    }
}

impl<S> fmt::Debug for ClicksCollector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClicksCollector").finish_non_exhaustive()
    }
}

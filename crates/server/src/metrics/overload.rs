use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::overload::{GateStats, Overload};

/// Shows what the gates count for themselves, by the work that they let in.
#[derive(Debug)]
pub(super) struct OverloadCollector(pub(super) Overload);

type Gauge = (&'static str, &'static str, fn(GateStats) -> u64);

const GAUGES: [Gauge; 2] = [
    (
        "tollgate_overload_limit",
        "How much is let in at once now, by the kind of work",
        |stats| stats.limit,
    ),
    (
        "tollgate_overload_in_flight",
        "How much is worked on now, by the kind of work",
        |stats| stats.in_flight,
    ),
];

impl Collector for OverloadCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.all().map(|(work, gate)| (work, gate.stats()));
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (work, stats) in all {
                family
                    .encode_family(&[("work", work)])?
                    .encode_gauge(&(read(stats) as f64))?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "tollgate_overload_shed",
            "Refused at once because it would not have been answered in time, by the kind of work",
            None,
            MetricType::Counter,
        )?;
        for (work, stats) in all {
            family
                .encode_family(&[("work", work)])?
                .encode_counter::<NoLabelSet, f64, f64>(&(stats.shed as f64), None)?;
        }
        Ok(())
    }
}

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A single number that somebody else keeps, read when it is asked for.
pub(super) struct Reading<F> {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    read: F,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

impl<F> Reading<F> {
    pub(super) fn new(name: &'static str, help: &'static str, kind: Kind, read: F) -> Self {
        Self {
            name,
            help,
            kind,
            read,
        }
    }
}

impl<F: Fn() -> f64 + Send + Sync + 'static> Collector for Reading<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let value = (self.read)();
        match self.kind {
            Kind::Gauge => gauge(&mut encoder, self.name, self.help, value),
            Kind::Counter => counter(&mut encoder, self.name, self.help, value),
        }
    }
}

impl<F> fmt::Debug for Reading<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&self.name).finish()
    }
}

/// Writes one gauge.
pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

/// Writes one counter.
pub(super) fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, f64, f64>(&value, None)
}

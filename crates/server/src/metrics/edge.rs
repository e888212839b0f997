use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tollgate_links::Tier;

use super::connections::{self, Connections};

/// Upper bounds of the buckets in nanoseconds, 5 µs to 10 s; the last bucket is open.
const BOUNDS_NANOS: [u64; 20] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

const BUCKETS: usize = BOUNDS_NANOS.len() + 1;

/// What the edge answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A redirect to the target.
    Redirect,
    /// The preview page.
    Preview,
    /// A QR code.
    QrCode,
    /// The password form.
    Password,
    /// The password form again, because the password was wrong.
    WrongPassword,
    /// No link of this name.
    NotFound,
    /// A link whose `starts_at` is still to come.
    Pending,
    /// A link past its `expires_at`.
    Expired,
    /// A link without clicks left.
    UsedUp,
    /// A page of the service itself: landing page, `robots.txt`.
    Page,
    /// A visitor who asks too often.
    Limited,
    /// A request that is wrong in itself: method, size, content type.
    Refused,
    /// The store is away, or too many passwords are being checked.
    Unavailable,
    /// Refused at once: more is asked than can be answered in time.
    Shed,
    /// A defect of the service.
    Failed,
}

impl Outcome {
    const ALL: [(Self, &'static str); 15] = [
        (Self::Redirect, "redirect"),
        (Self::Preview, "preview"),
        (Self::QrCode, "qr_code"),
        (Self::Password, "password"),
        (Self::WrongPassword, "wrong_password"),
        (Self::NotFound, "not_found"),
        (Self::Pending, "pending"),
        (Self::Expired, "expired"),
        (Self::UsedUp, "used_up"),
        (Self::Page, "page"),
        (Self::Limited, "limited"),
        (Self::Refused, "refused"),
        (Self::Unavailable, "unavailable"),
        (Self::Shed, "shed"),
        (Self::Failed, "failed"),
    ];
}

/// Who knew the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The cache in memory, fresh.
    Memory,
    /// The cache in memory, past freshness.
    Stale,
    /// The cache that instances share.
    Shared,
    /// The store.
    Store,
    /// No link was looked up, or nobody knew.
    None,
}

impl Source {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Memory, "memory"),
        (Self::Stale, "stale"),
        (Self::Shared, "shared"),
        (Self::Store, "store"),
        (Self::None, "none"),
    ];
}

impl From<Tier> for Source {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Memory => Self::Memory,
            Tier::Stale => Self::Stale,
            Tier::Shared => Self::Shared,
            Tier::Store => Self::Store,
        }
    }
}

/// What one edge thread counts. Only that thread writes, so its cache lines stay with its core;
/// readers may be a few requests behind.
#[derive(Debug, Default)]
pub struct EdgeRecorder {
    requests: [[Latency; Source::ALL.len()]; Outcome::ALL.len()],
    pub(crate) connections: Connections,
}

#[derive(Debug, Default)]
struct Latency {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

impl EdgeRecorder {
    /// Counts one answered request; `took` ends when the response is ready to be written.
    pub fn observe(&self, outcome: Outcome, source: Source, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let latency = &self.requests[outcome as usize][source as usize];
        // Most answers fall into the first buckets: walking beats a binary search.
        let bucket = BOUNDS_NANOS
            .iter()
            .position(|&bound| nanos <= bound)
            .unwrap_or(BUCKETS - 1);
        latency.buckets[bucket].fetch_add(1, Relaxed);
        latency.sum_nanos.fetch_add(nanos, Relaxed);
    }
}

/// The recorders of all edge threads.
#[derive(Debug, Default)]
pub(super) struct EdgeMetrics {
    recorders: Mutex<Vec<Arc<EdgeRecorder>>>,
}

impl EdgeMetrics {
    pub(super) fn recorder(&self) -> Arc<EdgeRecorder> {
        let recorder = Arc::new(EdgeRecorder::default());
        self.recorders().push(Arc::clone(&recorder));
        recorder
    }

    fn recorders(&self) -> MutexGuard<'_, Vec<Arc<EdgeRecorder>>> {
        self.recorders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, read: impl Fn(&EdgeRecorder) -> u64) -> u64 {
        self.recorders().iter().map(|recorder| read(recorder)).sum()
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "tollgate_edge_request_duration",
            "Time from the head of a request to its response being ready, by outcome and by who \
             knew the link",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (outcome, outcome_name) in Outcome::ALL {
            for (source, source_name) in Source::ALL {
                let latency = |recorder: &EdgeRecorder, read: &dyn Fn(&Latency) -> &AtomicU64| {
                    read(&recorder.requests[outcome as usize][source as usize]).load(Relaxed)
                };
                let bound = |i: usize| {
                    BOUNDS_NANOS
                        .get(i)
                        .map_or(f64::INFINITY, |&nanos| nanos as f64 / 1e9)
                };
                let buckets: Vec<(f64, u64)> = (0..BUCKETS)
                    .map(|i| (bound(i), self.sum(|r| latency(r, &|l| &l.buckets[i]))))
                    .collect();
                let count: u64 = buckets.iter().map(|(_, count)| count).sum();
                if count == 0 {
                    continue;
                }
                let nanos = self.sum(|r| latency(r, &|l| &l.sum_nanos));
                family
                    .encode_family(&[("outcome", outcome_name), ("tier", source_name)])?
                    .encode_histogram::<NoLabelSet>(nanos as f64 / 1e9, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

impl Collector for EdgeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        let recorders = self.recorders();
        let threads = recorders.iter().map(|recorder| &recorder.connections);
        connections::encode(&mut encoder, "edge", threads.clone())?;
        connections::encode_by_address(&mut encoder, "edge", threads)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    fn text_of(metrics: &Arc<EdgeMetrics>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(metrics)));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        out
    }

    #[test]
    fn tables_are_indexed_by_discriminant() {
        for (i, (outcome, _)) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
        }
        for (i, (source, _)) in Source::ALL.into_iter().enumerate() {
            assert_eq!(source as usize, i);
        }
    }

    #[test]
    fn threads_are_summed_and_buckets_are_cumulative() {
        let metrics = Arc::new(EdgeMetrics::default());
        let (a, b) = (metrics.recorder(), metrics.recorder());
        a.observe(Outcome::Redirect, Source::Memory, Duration::from_micros(5));
        b.observe(Outcome::Redirect, Source::Memory, Duration::from_micros(6));
        b.observe(Outcome::Redirect, Source::Memory, Duration::from_secs(60));
        b.observe(Outcome::NotFound, Source::Store, Duration::from_millis(1));
        let text = text_of(&metrics);
        let value = |series: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(series))
                .unwrap_or_else(|| panic!("no {series} in {text}"))
                .trim()
                .to_owned()
        };
        let name = "tollgate_edge_request_duration_seconds";
        let labels = r#"outcome="redirect",tier="memory""#;
        assert_eq!(value(&format!("{name}_count{{{labels}}}")), "3");
        let bucket = |le: &str| value(&format!("{name}_bucket{{le=\"{le}\",{labels}}}"));
        assert_eq!(bucket("0.000005"), "1");
        assert_eq!(bucket("0.00001"), "2");
        assert_eq!(bucket("10.0"), "2");
        assert_eq!(bucket("+Inf"), "3");
        assert!(text.contains(r#"outcome="not_found",tier="store""#));
        assert!(!text.contains("preview"), "series nobody needs: {text}");
    }
}

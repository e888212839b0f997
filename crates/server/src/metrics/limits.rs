use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::MemoryStore;

use super::reading::{counter, gauge};

/// Shows how often each policy decided what.
pub(super) struct LimitsCollector(pub(super) Arc<LimitService>);

impl Collector for LimitsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let mut decisions = encoder.encode_descriptor(
            "tollgate_limits_decisions",
            "Decisions by policies: one for each descriptor of a request",
            None,
            MetricType::Counter,
        )?;
        for rule in &stats.rules {
            let outcomes = [
                ("allowed", rule.allowed),
                ("denied", rule.denied),
                ("would_deny", rule.would_deny),
                ("error", rule.errors),
            ];
            for (outcome, count) in outcomes {
                let labels = [
                    ("domain", &*rule.rule.domain),
                    ("policy", &*rule.rule.name),
                    ("outcome", outcome),
                ];
                let counter = ConstCounter::new(count);
                counter.encode(decisions.encode_family(&labels)?)?;
            }
        }
        let mut unmatched = encoder.encode_descriptor(
            "tollgate_limits_unmatched",
            "Descriptors that no policy is for, which are allowed",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in [
            ("domain", stats.unknown_domain),
            ("descriptor", stats.unmatched),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(unmatched.encode_family(&[("unknown", reason)])?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for LimitsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitsCollector")
    }
}

/// Shows what the store of limits in memory holds.
pub(super) struct LimitStoreCollector(pub(super) Arc<MemoryStore>);

impl Collector for LimitStoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let gauges = [
            ("keys", "Keys that limits are counted by", stats.keys),
            ("bytes", "Bytes the counters take", stats.bytes),
        ];
        for (name, help, value) in gauges {
            let name = format!("tollgate_limits_store_{name}");
            gauge(&mut encoder, &name, help, value as f64)?;
        }
        let counters = [
            (
                "expired",
                "Keys with nothing left to remember",
                stats.expired,
            ),
            ("evictions", "Keys dropped to make room", stats.evictions),
            (
                "overflowed",
                "Charges to a counter that keys share for want of room",
                stats.overflowed,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("tollgate_limits_store_{name}");
            counter(&mut encoder, &name, help, value as f64)?;
        }
        Ok(())
    }
}

impl fmt::Debug for LimitStoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitStoreCollector")
    }
}

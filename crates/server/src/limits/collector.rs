use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tollgate_limit::service::LimitService;

/// Shows how often each policy decided what.
pub(crate) struct LimitsCollector(pub(crate) Arc<LimitService>);

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

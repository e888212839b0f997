use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;
use tollgate_limit::service::{DECISION_TIME_BOUNDS, DecisionTimes, LimitService, RuleStats};
use tollgate_limit::store::MemoryStore;

use super::reading::{counter, gauge};

/// Shows how often each policy decided what, and how long it took.
pub(super) struct LimitsCollector(pub(super) Arc<LimitService>);

/// What is shown of the rules of one name, which a file may give to several of a domain: no two
/// series may have the same labels.
struct Policy<'a> {
    domain: &'a str,
    name: &'a str,
    /// By outcome.
    counts: [(&'static str, u64); 4],
    times: DecisionTimes,
}

fn by_name(rules: &[RuleStats]) -> Vec<Policy<'_>> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut policies: Vec<Policy<'_>> = Vec::with_capacity(rules.len());
    for stats in rules {
        let (domain, name) = (&*stats.rule.domain, &*stats.rule.name);
        let counts = [
            ("allowed", stats.allowed),
            ("denied", stats.denied),
            ("would_deny", stats.would_deny),
            ("error", stats.errors),
        ];
        match places.entry((domain, name)) {
            Entry::Vacant(place) => {
                place.insert(policies.len());
                policies.push(Policy {
                    domain,
                    name,
                    counts,
                    times: stats.times.clone(),
                });
            }
            Entry::Occupied(place) => {
                let policy = &mut policies[*place.get()];
                for ((_, sum), (_, more)) in policy.counts.iter_mut().zip(counts) {
                    *sum += more;
                }
                policy.times.add(&stats.times);
            }
        }
    }
    policies
}

fn encode_times(policies: &[Policy<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "tollgate_limits_decision_duration",
        "Time from the question to the decision of requests that met a policy, without what they are held for",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    let bounds = DECISION_TIME_BOUNDS.iter().map(Duration::as_secs_f64);
    let bounds: Vec<f64> = bounds.chain([f64::INFINITY]).collect();
    for policy in policies {
        let count = policy.times.count();
        if count == 0 {
            continue;
        }
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(policy.times.buckets).collect();
        let sum = policy.times.sum.as_secs_f64();
        family
            .encode_family(&[("domain", policy.domain), ("policy", policy.name)])?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

impl Collector for LimitsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let policies = by_name(&stats.rules);
        let mut decisions = encoder.encode_descriptor(
            "tollgate_limits_decisions",
            "Decisions by policies, one for each descriptor of a request; would_deny is shadow mode, error a store that failed",
            None,
            MetricType::Counter,
        )?;
        for policy in &policies {
            for (outcome, count) in policy.counts {
                let labels = [
                    ("domain", policy.domain),
                    ("policy", policy.name),
                    ("outcome", outcome),
                ];
                let counter = ConstCounter::new(count);
                counter.encode(decisions.encode_family(&labels)?)?;
            }
        }
        encode_times(&policies, &mut encoder)?;
        let mut unmatched = encoder.encode_descriptor(
            "tollgate_limits_unmatched",
            "Descriptors that no policy is for, which are allowed: the domain is unknown, or the descriptor",
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;
    use tollgate_clock::ManualClock;
    use tollgate_limit::policy::{Descriptor, PolicySet};
    use tollgate_limit::service::CheckRequest;
    use tollgate_limit::store::MemoryOptions;

    use super::*;

    const POLICIES: &str = "
domain: shop
descriptors:
  - key: user
    rate_limit: {name: shared, unit: hour, requests_per_unit: 1}
  - key: tenant
    rate_limit: {name: shared, unit: hour, requests_per_unit: 9}
  - key: idle
    rate_limit: {unit: hour, requests_per_unit: 9}
";

    fn scrape(service: &Arc<LimitService>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(LimitsCollector(Arc::clone(service))));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        out
    }

    #[tokio::test]
    async fn policies_of_one_name_are_one_series() {
        let clock = Arc::new(ManualClock::at(tollgate_clock::UnixMillis::from_millis(0)));
        let options = MemoryOptions::with_seed(7);
        let store = Arc::new(MemoryStore::new(options, clock.clone()));
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let service = LimitService::new(policies, store.clone(), store).with_stopwatch(clock);
        let service = Arc::new(service);
        for key in ["user", "user", "tenant"] {
            let request = CheckRequest {
                domain: "shop".to_owned(),
                descriptors: vec![Descriptor::of([(key, "x")])],
                hits: 1,
            };
            let _ = service.check(&request).await;
        }
        let out = scrape(&service);
        for line in [
            r#"decisions_total{domain="shop",policy="shared",outcome="allowed"} 2"#,
            r#"decisions_total{domain="shop",policy="shared",outcome="denied"} 1"#,
            r#"decision_duration_seconds_sum{domain="shop",policy="shared"} 0.0"#,
            r#"decision_duration_seconds_count{domain="shop",policy="shared"} 3"#,
            r#"decision_duration_seconds_bucket{le="0.00001",domain="shop",policy="shared"} 3"#,
            r#"decision_duration_seconds_bucket{le="0.1",domain="shop",policy="shared"} 3"#,
            r#"decision_duration_seconds_bucket{le="+Inf",domain="shop",policy="shared"} 3"#,
        ] {
            let line = format!("\ntollgate_limits_{line}\n");
            assert!(out.contains(&line), "{line} {out}");
        }
        assert!(!out.contains(r#"duration_seconds_count{domain="shop",policy="idle"}"#));
        let series = out.lines().filter(|line| !line.starts_with('#'));
        let names: Vec<&str> = series
            .map(|line| line.rsplit_once(' ').unwrap().0)
            .collect();
        let different: HashSet<&&str> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{out}");
    }
}

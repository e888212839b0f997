//! Keys of our own beside those of the reference service, and what errors say.

use std::sync::Arc;
use std::time::Duration;

use tollgate_limit::policy::{
    Ceiling, Descriptor, OnExceed, OnStoreFailure, PolicySet, Precision, Resolved, Rule,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

use crate::bench::{Bench, parse};

/// The one rule of a block `rate_limit`.
fn rule(block: &str) -> Rule {
    let policies = parse(&file(block));
    (*policies.rules()[0]).clone()
}

fn file(block: &str) -> String {
    format!("domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{{block}}}\n")
}

fn refusal(yaml: &str) -> String {
    PolicySet::parse("limits.yaml", yaml)
        .unwrap_err()
        .to_string()
}

fn limiter(kind: AlgorithmKind, limit: u64, window: Duration, burst: Option<u64>) -> Limiter {
    Limiter::new(kind, Quota::new(limit, window).unwrap(), burst).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_plain_rule_is_a_fixed_window() {
    let plain = rule("unit: minute, requests_per_unit: 7");
    assert_eq!(
        plain.limiter(),
        Some(limiter(AlgorithmKind::FixedWindow, 7, MINUTE, None))
    );
    assert_eq!(
        (plain.on_exceed, plain.max_delay, plain.cost),
        (OnExceed::Reject, None, 1)
    );
    assert_eq!(
        (plain.on_store_failure, plain.precision),
        (None, Precision::Exact)
    );
    assert_eq!(
        (&*plain.name, &*plain.path, &*plain.domain),
        ("k", "k", "d")
    );
}

#[test]
fn every_algorithm_has_its_name() {
    for kind in AlgorithmKind::ALL {
        let read = rule(&format!(
            "window: 90s, requests_per_unit: 7, algorithm: {}",
            kind.name()
        ));
        assert_eq!(
            read.limiter(),
            Some(limiter(kind, 7, Duration::from_secs(90), None))
        );
    }
}

#[test]
fn the_other_keys_are_kept_on_the_rule() {
    let read = rule(
        "unit: minute, requests_per_unit: 60, algorithm: gcra, burst: 5, cost: 3, name: n, \
         on_store_failure: closed, precision: leased, replaces: [{name: a}, {name: b}]",
    );
    assert_eq!(
        read.limiter(),
        Some(limiter(AlgorithmKind::Gcra, 60, MINUTE, Some(5)))
    );
    assert_eq!((read.cost, &*read.name), (3, "n"));
    assert_eq!(read.on_store_failure, Some(OnStoreFailure::Closed));
    assert_eq!(read.precision, Precision::Leased);
    assert_eq!(read.global_budget, None);
    assert_eq!(read.replaces, ["a", "b"].map(Arc::<str>::from));
}

#[test]
fn a_budget_has_the_window_of_its_rule_and_values_take_it_over() {
    let read = rule("window: 90s, requests_per_unit: 7, global_budget: 20");
    let budget = Quota::new(20, Duration::from_secs(90)).unwrap();
    assert_eq!(read.global_budget, Some(budget));
    let of = |terms: &str| {
        let yaml = format!(
            "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{unit: minute, \
             requests_per_unit: 7, global_budget: 20}}\n    overrides:\n      - {{value: v, \
             rate_limit: {{{terms}}}}}\n"
        );
        let parsed = PolicySet::parse("limits.yaml", &yaml)?;
        Ok::<_, tollgate_limit::policy::PolicyError>(parsed.rules()[1].global_budget)
    };
    assert_eq!(of("unit: hour").unwrap().unwrap().limit(), 20);
    assert_eq!(of("unlimited: true").unwrap(), None);
    assert_eq!(of("requests_per_unit: 0").unwrap(), None);
    let error = of("requests_per_unit: 21").unwrap_err();
    assert!(error.reason.contains("less than the 21"), "{error}");
}

#[test]
fn to_wait_is_to_be_in_a_queue() {
    for (block, on_exceed) in [
        ("on_exceed: delay", OnExceed::Delay),
        ("on_exceed: queue", OnExceed::Queue),
        ("algorithm: leaky_queue", OnExceed::Delay),
        ("algorithm: leaky_queue, on_exceed: queue", OnExceed::Queue),
    ] {
        let read = rule(&format!(
            "unit: minute, requests_per_unit: 6, max_delay: 250ms, {block}"
        ));
        assert_eq!(read.on_exceed, on_exceed, "{block}");
        let delay = Duration::from_millis(250);
        assert_eq!(read.max_delay, Some(delay));
        let Ceiling::Limited {
            limiter: Limiter::LeakyQueue(queue),
            quota,
        } = read.ceiling
        else {
            panic!("{block}");
        };
        assert_eq!(
            Ok(queue),
            tollgate_limit::LeakyQueue::new(quota).with_max_delay(delay)
        );
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let base = "unit: minute, requests_per_unit: 10";
    for (block, field, reason) in [
        (
            format!("{base}, burst: 5"),
            "burst",
            "fixed_window has no burst",
        ),
        (
            format!("{base}, burst: 5, algorithm: sliding_log"),
            "burst",
            "sliding_log has no burst",
        ),
        (
            format!("{base}, burst: 0, algorithm: gcra"),
            "burst",
            "0 is out of range",
        ),
        (
            format!("{base}, window: 1m"),
            "window",
            "unit says it already",
        ),
        (
            format!("{base}, on_exceed: delay, algorithm: gcra"),
            "on_exceed",
            "gcra cannot make",
        ),
        (
            format!("{base}, on_exceed: reject, algorithm: leaky_queue"),
            "on_exceed",
            "give leaky_bucket to reject",
        ),
        (
            format!("{base}, max_delay: 1s"),
            "max_delay",
            "only requests that wait have it",
        ),
        (
            format!("{base}, on_exceed: delay, max_delay: soon"),
            "max_delay",
            "no length of time",
        ),
        (
            format!("{base}, on_exceed: delay, max_delay: 101years"),
            "max_delay",
            "out of range",
        ),
        (
            format!("{base}, global_budget: 9"),
            "global_budget",
            "9 for all regions is less than the 10 that each",
        ),
        (
            format!("{base}, global_budget: 99999999999999999"),
            "global_budget",
            "out of range",
        ),
        (
            format!("{base}, algorithm: gcra, burst: 50, cost: 20, global_budget: 19"),
            "global_budget",
            "19 is less than the 20 that one hit costs",
        ),
        (
            "window: 900ms, requests_per_unit: 1, global_budget: 2".to_owned(),
            "global_budget",
            "windows of 900ms",
        ),
        (
            "unlimited: true, global_budget: 2".to_owned(),
            "global_budget",
            "means nothing where unlimited",
        ),
        (format!("{base}, cost: 0"), "cost", "0 is out of range"),
        (
            format!("{base}, cost: 11"),
            "cost",
            "11 is more than the 10 that pass at once",
        ),
        (
            format!("{base}, cost: 5, burst: 4, algorithm: gcra"),
            "cost",
            "5 is more than the 4 that pass at once",
        ),
        (
            "requests_per_unit: 1".to_owned(),
            "unit",
            "missing; give second",
        ),
        (
            "unit: minute".to_owned(),
            "requests_per_unit",
            "missing; give how many",
        ),
        (
            "unit: fortnight, requests_per_unit: 1".to_owned(),
            "unit",
            "\"fortnight\" is no unit",
        ),
        (
            "window: 400days, requests_per_unit: 1".to_owned(),
            "window",
            "out of range",
        ),
        (
            "window: 400days, requests_per_unit: 0".to_owned(),
            "window",
            "out of range",
        ),
        (
            "unit: minute, requests_per_unit: -1".to_owned(),
            "requests_per_unit",
            "whole number",
        ),
        (
            "unit: minute, requests_per_unit: 9007199254740993".to_owned(),
            "requests_per_unit",
            "out of range",
        ),
        (
            "unlimited: true, unit: minute".to_owned(),
            "unit",
            "means nothing",
        ),
        (
            "unlimited: true, burst: 1".to_owned(),
            "burst",
            "means nothing",
        ),
        ("unlimited: maybe".to_owned(), "unlimited", "true or false"),
        (
            format!("{base}, algorithm: token_buckets"),
            "algorithm",
            "did you mean token_bucket?",
        ),
        (
            format!("{base}, algorithm: magic"),
            "algorithm",
            "give one of gcra, token_bucket",
        ),
        (
            format!("{base}, replaces: [{{name: ''}}]"),
            "replaces[0].name",
            "missing",
        ),
        (
            format!("{base}, name: n, replaces: [{{name: n}}]"),
            "replaces[0].name",
            "itself",
        ),
        (
            format!("{base}, shadow_mode: true"),
            "shadow_mode",
            "it belongs beside rate_limit",
        ),
    ] {
        let error = PolicySet::parse("limits.yaml", &file(&block)).unwrap_err();
        assert_eq!(
            error.field,
            format!("descriptors[0].rate_limit.{field}"),
            "{block}: {error}"
        );
        assert!(error.reason.contains(reason), "{block}: {error}");
        assert_eq!(error.line, 4, "{block}");
    }
}

#[test]
fn errors_name_file_line_column_field_and_reason() {
    for (yaml, message) in [
        (
            "domain: d\ndescriptors:\n  - key: k\n    rate_limit:\n      units: minute\n",
            "limits.yaml:5:7: descriptors[0].rate_limit.units: unknown key; did you mean unit?",
        ),
        (
            "domain: d\ndescriptors:\n  - key: k\n    algorithm: gcra\n",
            "limits.yaml:4:5: descriptors[0].algorithm: unknown key; it belongs inside of rate_limit",
        ),
        (
            "domain: d\ndescriptors:\n  - key: k\n    qqq: 1\n",
            "limits.yaml:4:5: descriptors[0].qqq: unknown key; known here are key, value, \
             rate_limit, shadow_mode, quota_mode, detailed_metric, value_to_metric, \
             share_threshold, metadata, descriptors, overrides",
        ),
        (
            "domain: d\ndescriptors:\n  - value: v\n",
            "limits.yaml:3:5: descriptors[0].key: missing; give the key of the descriptor",
        ),
        (
            "domain: d\ndescriptors:\n  - {key: k, value: v}\n  - {key: k}\n  - {key: k, value: v}\n",
            "limits.yaml:5:5: descriptors[2]: \"k\" with \"v\" is there already, on line 3",
        ),
        (
            "domain: d\n---\ndomain: e\n---\ndomain: d\n",
            "limits.yaml:5:9: domain: the domain \"d\" is there already, on line 1",
        ),
        (
            "descriptors: []\n",
            "limits.yaml:1:1: domain: missing; give the name of the domain",
        ),
        (
            "# nothing\n",
            "limits.yaml:1:1: the file is empty: give a domain and its descriptors",
        ),
        (
            "- domain: d\n",
            "limits.yaml:1:1: a list where a mapping belongs, with domain, descriptors, metadata",
        ),
        (
            "domain: d\ndescriptors:\n  - key: k\n    value: v\n    share_threshold: true\n",
            "limits.yaml:3:5: descriptors[0]: share_threshold is for many values: give a wildcard, \
             or no value",
        ),
        (
            "domain: d\ndomain: d\n",
            "limits.yaml:2:1: domain is there twice, first on line 1",
        ),
    ] {
        assert_eq!(refusal(yaml), message);
    }
    let broken =
        PolicySet::parse("limits.yaml", "domain: d\ndescriptors: [\n  {key: k}\n").unwrap_err();
    assert!(broken.line >= 3, "{broken}");
}

#[test]
fn wildcards_are_tried_in_the_order_of_the_file_between_the_exact_and_any() {
    let policies = parse(
        "
domain: d
descriptors:
  - {key: path, rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: path, value: '/a/*', rate_limit: {unit: day, requests_per_unit: 2}}
  - {key: path, value: '/*/x', rate_limit: {unit: day, requests_per_unit: 3}}
  - {key: path, value: '/a/x', rate_limit: {unit: day, requests_per_unit: 4}}
  - {key: path_of, value: '/*', rate_limit: {unit: day, requests_per_unit: 5}}
",
    );
    let limit = |path: &str| match policies.resolve("d", &Descriptor::of([("path", path)])) {
        Resolved::Limited { rule, .. } => rule.allowance().unwrap().requests(),
        other => panic!("{other:?}"),
    };
    let found = ["/a/x", "/a/y", "/b/x", "/b/y", "/a/y/x", ""].map(limit);
    assert_eq!(found, [4, 2, 3, 1, 2, 1]);
}

#[test]
fn a_value_can_have_other_terms_and_keeps_the_rest() {
    let bench = Bench::new(
        "
domain: api
descriptors:
  - key: plan
    rate_limit: {unit: minute, requests_per_unit: 10, algorithm: gcra, burst: 2, on_store_failure: closed}
    shadow_mode: true
    descriptors:
      - key: user
        rate_limit: {unit: minute, requests_per_unit: 3}
    overrides:
      - value: pro
        rate_limit: {requests_per_unit: 100, burst: 20}
        shadow_mode: false
      - value: 'team-*'
        rate_limit: {algorithm: sliding_log}
      - value: internal
        rate_limit: {unlimited: true}
",
    );
    let policies = bench.service.policies();
    let of = |value| match policies.resolve("api", &Descriptor::of([("plan", value)])) {
        Resolved::Limited { rule, .. } | Resolved::Unlimited { rule } => (*rule).clone(),
        other => panic!("{other:?}"),
    };
    let (free, pro, team, internal) = (of("free"), of("pro"), of("team-7"), of("internal"));
    assert_eq!(
        free.limiter(),
        Some(limiter(AlgorithmKind::Gcra, 10, MINUTE, Some(2)))
    );
    assert_eq!(
        pro.limiter(),
        Some(limiter(AlgorithmKind::Gcra, 100, MINUTE, Some(20)))
    );
    assert_eq!(
        team.limiter(),
        Some(limiter(AlgorithmKind::SlidingLog, 10, MINUTE, None))
    );
    assert_eq!(internal.ceiling, Ceiling::Unlimited);
    for rule in [&free, &pro, &team, &internal] {
        assert_eq!(rule.on_store_failure, Some(OnStoreFailure::Closed));
        assert_eq!(rule.shadow, rule.path != pro.path);
    }
    let paths = [&free, &pro, &team, &internal].map(|rule| &*rule.path);
    assert_eq!(paths, ["plan", "plan=pro", "plan=team-*", "plan=internal"]);
    // What stands below holds for every value.
    let user = |plan| Descriptor::of([("plan", plan), ("user", "u")]);
    assert_eq!(
        (
            bench.passing("api", &user("free")),
            bench.passing("api", &user("pro"))
        ),
        (3, 3)
    );
}

#[test]
fn terms_of_a_value_are_checked_as_well() {
    let over = |value: &str, rest: &str, overrides: &str| {
        refusal(&format!(
            "domain: d\ndescriptors:\n  - key: k\n    {value}\n    {rest}\n    overrides:\n{overrides}"
        ))
    };
    let rate = "rate_limit: {unit: day, requests_per_unit: 5}";
    for (refused, part) in [
        (
            over("value: v", rate, "      - value: w\n"),
            "overrides are for many values",
        ),
        (
            over("value: 'v*'", rate, "      - value: w\n"),
            "\"w\" does not fit \"v*\"",
        ),
        (
            over("", rate, "      - rate_limit: {burst: 1}\n"),
            "overrides[0].value: missing",
        ),
        (
            over(
                "",
                rate,
                "      - value: w\n        rate_limit: {burst: 1}\n",
            ),
            "fixed_window has no burst",
        ),
        (
            over("", "", "      - value: w\n"),
            "overrides[0].rate_limit: missing",
        ),
        (
            over("", rate, "      - value: w\n      - value: w\n"),
            "is there already, on line 7",
        ),
        (
            over("", rate, "      - value: w\n        burst: 1\n"),
            "it belongs inside of rate_limit",
        ),
    ] {
        assert!(refused.contains(part), "{refused}: {part}");
    }
}

#[test]
fn shared_counters_are_told_from_values_that_look_alike() {
    let policies = parse(
        "
domain: d
descriptors:
  - {key: k, value: 'v*', share_threshold: true, rate_limit: {unit: day, requests_per_unit: 5}}
  - {key: j, share_threshold: true, rate_limit: {unit: day, requests_per_unit: 5}}
---
domain: e
descriptors:
  - {key: k, rate_limit: {unit: day, requests_per_unit: 5}}
",
    );
    assert_eq!(policies.domains(), ["d", "e"]);
    let key = |domain: &str, key: &str, value: &str| match policies
        .resolve(domain, &Descriptor::of([(key, value)]))
    {
        Resolved::Limited { key, .. } => String::from_utf8(key.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(key("d", "k", "v1"), "d|k~v*|");
    assert_eq!(key("d", "k", "v*"), "d|k~v*|");
    assert_eq!(key("d", "j", "x"), "d|j~|");
    assert_eq!(key("e", "k", "v*"), "e|k=v*|");
}

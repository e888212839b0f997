//! The examples of the reference service, and what it says of them.

use std::time::Duration;

use tollgate_limit::policy::{Descriptor, Resolved};
use tollgate_limit::service::Code;

use crate::bench::{Bench, codes, parse};

fn of<const N: usize>(entries: [(&str, &str); N]) -> Descriptor {
    Descriptor::of(entries)
}

#[test]
fn values_have_limits_of_their_own() {
    let bench = Bench::new(
        "
domain: mongo_cps
descriptors:
  - key: database
    value: users
    rate_limit:
      unit: second
      requests_per_unit: 500

  - key: database
    value: default
    rate_limit:
      unit: second
      requests_per_unit: 500
",
    );
    assert_eq!(
        bench.passing("mongo_cps", &of([("database", "users")])),
        500
    );
    assert_eq!(
        bench.passing("mongo_cps", &of([("database", "default")])),
        500
    );
    let other = bench.check("mongo_cps", 1, &[of([("database", "other")])]);
    assert_eq!(
        (other.allowed, codes(&other)),
        (true, vec![Code::Unmatched])
    );
}

#[test]
fn a_request_is_limited_by_all_of_its_descriptors() {
    let bench = Bench::new(
        "
domain: messaging
descriptors:
  # Only allow 5 marketing messages a day
  - key: message_type
    value: marketing
    descriptors:
      - key: to_number
        rate_limit:
          unit: day
          requests_per_unit: 5

  # Only allow 100 messages a day to any unique phone number
  - key: to_number
    rate_limit:
      unit: day
      requests_per_unit: 100
",
    );
    let to = |number| {
        [
            of([("message_type", "marketing"), ("to_number", number)]),
            of([("to_number", number)]),
        ]
    };
    let passing = |number| {
        (0..200)
            .take_while(|_| bench.check("messaging", 1, &to(number)).allowed)
            .count()
    };
    assert_eq!((passing("2061111111"), passing("2062222222")), (5, 5));
    let refused = bench.check("messaging", 1, &to("2061111111"));
    assert_eq!(codes(&refused), [Code::OverLimit, Code::Allowed]);
    // What the first limit refused was not charged to the second one.
    assert_eq!(refused.statuses[1].remaining, Some(95));
    assert_eq!(bench.passing("messaging", &to("2061111111")[1]), 95);
    bench.store.wait(Duration::from_secs(86_400));
    assert!(bench.check("messaging", 1, &to("2061111111")).allowed);
}

#[test]
fn the_most_specific_descriptor_counts_and_zero_lets_nothing_through() {
    let bench = Bench::new(
        "
domain: edge_proxy_per_ip
descriptors:
  - key: remote_address
    rate_limit:
      unit: second
      requests_per_unit: 10

  # Black list IP
  - key: remote_address
    value: 50.0.0.5
    rate_limit:
      unit: second
      requests_per_unit: 0
",
    );
    let passing = |ip| bench.passing("edge_proxy_per_ip", &of([("remote_address", ip)]));
    assert_eq!((passing("50.0.0.1"), passing("50.0.0.2")), (10, 10));
    assert_eq!(passing("50.0.0.5"), 0);
}

#[test]
fn the_depth_of_the_request_is_that_of_the_rule() {
    let request = of([("key", "value"), ("subkey", "subvalue")]);
    let shallow = parse(
        "
domain: example4
descriptors:
  - key: key
    value: value
    rate_limit:
      requests_per_unit: 300
      unit: second
",
    );
    let deep = parse(
        "
domain: example4
descriptors:
  - key: key
    value: value
    descriptors:
      - key: subkey
        rate_limit:
          requests_per_unit: 300
          unit: second
",
    );
    assert!(matches!(
        shallow.resolve("example4", &request),
        Resolved::Unmatched
    ));
    assert!(matches!(
        deep.resolve("example4", &request),
        Resolved::Limited { .. }
    ));
    let outer = of([("key", "value")]);
    assert!(matches!(
        deep.resolve("example4", &outer),
        Resolved::Unmatched
    ));
    let none = Descriptor::default();
    assert!(matches!(
        deep.resolve("example4", &none),
        Resolved::Unmatched
    ));
}

#[test]
fn unlimited_is_told_from_unmatched() {
    let bench = Bench::new(
        "
domain: internal
descriptors:
  - key: ldap
    rate_limit:
      unlimited: true

  - key: azure
    rate_limit:
      unit: minute
      requests_per_unit: 100
",
    );
    let free = bench.check("internal", 1_000, &[of([("ldap", "x")])]);
    assert_eq!((free.allowed, codes(&free)), (true, vec![Code::Unlimited]));
    assert_eq!(
        (free.statuses[0].limit, free.statuses[0].remaining),
        (None, None)
    );
    assert_eq!(bench.store.asked(), 0);
    assert_eq!(bench.passing("internal", &of([("azure", "x")])), 100);
}

#[test]
fn shadow_mode_never_refuses() {
    let bench = Bench::new(
        "
domain: example6
descriptors:
  - key: service
    descriptors:
      - key: user
        value: user-a
        rate_limit:
          requests_per_unit: 10
          unit: second
        shadow_mode: true
      - key: user
        value: user-b
        rate_limit:
          requests_per_unit: 20
          unit: second
",
    );
    let user = |name| of([("service", "auth-service"), ("user", name)]);
    assert_eq!(bench.passing("example6", &user("user-a")), 1_000);
    assert_eq!(bench.passing("example6", &user("user-b")), 20);
    let shadowed = bench.check("example6", 1, &[user("user-a")]);
    assert!(shadowed.allowed && shadowed.statuses[0].would_refuse);
    let stats = bench.service.stats();
    let of = |path: &str| {
        stats
            .rules
            .iter()
            .find(|one| &*one.rule.path == path)
            .unwrap()
    };
    let shadow = of("service|user=user-a");
    assert_eq!(
        (shadow.allowed, shadow.would_deny, shadow.denied),
        (10, 991, 0)
    );
    let bound = of("service|user=user-b");
    assert_eq!((bound.allowed, bound.would_deny, bound.denied), (20, 0, 1));
}

#[test]
fn a_rule_replaces_the_one_it_names() {
    let bench = Bench::new(
        "
domain: example7
descriptors:
  - key: key_1
    value: value_1
    descriptors:
      - key: user
        value: bkthomps
        rate_limit:
          name: specific_limit
          requests_per_unit: 5
          unit: second
  - key: key_2
    value: value_2
    descriptors:
      - key: user
        value: bkthomps
        rate_limit:
          replaces:
            - name: specific_limit
          requests_per_unit: 10
          unit: second
",
    );
    let one = of([("key_1", "value_1"), ("user", "bkthomps")]);
    let two = of([("key_2", "value_2"), ("user", "bkthomps")]);
    let both = [one.clone(), two];
    let passing = (0..50)
        .take_while(|_| bench.check("example7", 1, &both).allowed)
        .count();
    assert_eq!(passing, 10);
    let answer = bench.check("example7", 1, &both);
    assert_eq!(codes(&answer), [Code::Replaced, Code::OverLimit]);
    assert_eq!(answer.statuses[0].policy(), Some("specific_limit"));
    // The limit that was replaced is untouched.
    assert_eq!(bench.passing("example7", &one), 5);
}

#[test]
fn a_value_beside_any_value() {
    let bench = Bench::new(
        "
domain: example8
descriptors:
  - key: key1
    detailed_metric: true
    rate_limit:
      unit: minute
      requests_per_unit: 10
  - key: key1
    value: value1
    rate_limit:
      unit: minute
      requests_per_unit: 20
",
    );
    let passing = |value| bench.passing("example8", &of([("key1", value)]));
    assert_eq!(
        (
            passing("unspecified_value"),
            passing("unspecified_value2"),
            passing("value1")
        ),
        (10, 10, 20)
    );
    let rules = bench.service.policies();
    assert!(rules.rules()[0].detailed_metric && !rules.rules()[1].detailed_metric);
}

#[test]
fn each_value_of_a_wildcard_counts_apart() {
    let bench = Bench::new(
        "
domain: example9
descriptors:
  - key: key1
    value: value*
    rate_limit:
      unit: minute
      requests_per_unit: 20
",
    );
    let passing = |value| bench.passing("example9", &of([("key1", value)]));
    assert_eq!((passing("value_1"), passing("value_2")), (20, 20));
}

#[test]
fn all_values_of_a_shared_threshold_count_together() {
    let bench = Bench::new(
        "
domain: share-threshold-test
descriptors:
  - key: files
    value: files/*
    share_threshold: true
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: files_no_share
    value: files_no_share/*
    share_threshold: false
    rate_limit: {unit: hour, requests_per_unit: 10}
  - key: nested
    value: nested/*
    share_threshold: true
    descriptors:
      - key: user
        rate_limit: {unit: hour, requests_per_unit: 3}
",
    );
    let domain = "share-threshold-test";
    assert_eq!(bench.passing(domain, &of([("files", "files/a.pdf")])), 10);
    assert_eq!(bench.passing(domain, &of([("files", "files/b.csv")])), 0);
    let apart = |value| bench.passing(domain, &of([("files_no_share", value)]));
    assert_eq!(
        (apart("files_no_share/a"), apart("files_no_share/b")),
        (10, 10)
    );
    let user = |file, user| bench.passing(domain, &of([("nested", file), ("user", user)]));
    assert_eq!(
        (
            user("nested/1", "a"),
            user("nested/2", "a"),
            user("nested/2", "b")
        ),
        (3, 0, 3)
    );
}

#[test]
fn quota_mode_never_refuses_but_tells() {
    let bench = Bench::new(
        "
---
domain: quota
descriptors:
  - key: service
    value: service_1
    quota_mode: true
    rate_limit:
      unit: minute
      requests_per_unit: 1
  - key: service
    value: service_2
    quota_mode: true
    rate_limit:
      unit: minute
      requests_per_unit: 2
",
    );
    let both = [
        of([("service", "service_1")]),
        of([("service", "service_2")]),
    ];
    let would = |answer: tollgate_limit::service::CheckAnswer| {
        assert!(answer.allowed);
        answer
            .statuses
            .iter()
            .map(|one| one.would_refuse)
            .collect::<Vec<_>>()
    };
    assert_eq!(would(bench.check("quota", 1, &both)), [false, false]);
    assert_eq!(would(bench.check("quota", 1, &both)), [true, false]);
    assert_eq!(would(bench.check("quota", 1, &both)), [true, true]);
}

#[test]
fn every_key_of_the_reference_service_loads() {
    let policies = parse(
        "
domain: everything
descriptors:
  - key: a
    value: v
    rate_limit: {unit: SECOND, requests_per_unit: 1, name: n, unlimited: false, replaces: [{name: m}]}
    shadow_mode: false
    quota_mode: false
    detailed_metric: true
    value_to_metric: true
    metadata: {anything: [goes, {here: 1}]}
    descriptors:
      - {key: b, value: 'x*', share_threshold: true, rate_limit: {unit: week, requests_per_unit: 2}}
      - {key: c, rate_limit: {unit: month, requests_per_unit: 3}}
      - {key: d, rate_limit: {unit: year, requests_per_unit: 4}}
      - key: whitelisted
",
    );
    let windows: Vec<_> = policies
        .rules()
        .iter()
        .filter_map(|rule| rule.allowance())
        .map(|limit| (limit.requests(), limit.window().as_secs() / 86_400))
        .collect();
    assert_eq!(windows, [(1, 0), (2, 7), (3, 30), (4, 365)]);
}

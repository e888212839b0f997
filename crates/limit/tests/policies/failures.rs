//! A store that fails.

use tollgate_limit::policy::{Descriptor, OnStoreFailure};
use tollgate_limit::service::Code;

use crate::bench::{Bench, codes};

const POLICIES: &str = "
domain: d
descriptors:
  - {key: open, rate_limit: {unit: day, requests_per_unit: 3, on_store_failure: open}}
  - {key: closed, rate_limit: {unit: day, requests_per_unit: 3, on_store_failure: closed}}
  - {key: local, rate_limit: {unit: day, requests_per_unit: 3, on_store_failure: local}}
  - {key: unsaid, rate_limit: {unit: day, requests_per_unit: 3}}
  - key: shadow
    shadow_mode: true
    rate_limit: {unit: day, requests_per_unit: 3, on_store_failure: closed}
";

fn of(key: &str) -> Descriptor {
    Descriptor::of([(key, "x")])
}

fn down() -> Bench {
    let bench = Bench::new(POLICIES);
    bench.store.set_down(true);
    bench
}

#[test]
fn each_rule_says_what_happens() {
    let bench = down();
    let passing = ["open", "closed", "local", "unsaid"].map(|key| bench.passing("d", &of(key)));
    assert_eq!(passing, [1_000, 0, 3, 3]);
    let closed = bench.check("d", 1, &[of("closed")]);
    assert_eq!(codes(&closed), [Code::OverLimit]);
    assert_eq!(closed.statuses[0].failure, Some(OnStoreFailure::Closed));
    assert_eq!(
        (closed.statuses[0].remaining, closed.retry_after()),
        (None, None)
    );
    let shadow = bench.check("d", 1, &[of("shadow")]);
    assert!(shadow.allowed && shadow.statuses[0].would_refuse);
    let stats = bench.service.stats();
    assert_eq!(stats.rules[1].errors, 2);
    // Once the store is back, it decides by what it knew.
    bench.store.set_down(false);
    assert_eq!(bench.passing("d", &of("local")), 3);
}

#[test]
fn what_is_refused_is_not_charged_here_either() {
    let bench = down();
    for _ in 0..5 {
        let refused = bench.check("d", 1, &[of("local"), of("closed")]);
        assert_eq!(codes(&refused), [Code::Allowed, Code::OverLimit]);
    }
    assert_eq!(bench.passing("d", &of("local")), 3);
    assert!(!bench.check("d", 1, &[of("local"), of("open")]).allowed);
}

#[test]
fn the_service_has_a_default() {
    let Bench {
        service,
        store,
        fallback,
    } = down();
    let service = service.with_on_store_failure(OnStoreFailure::Closed);
    let bench = Bench {
        service,
        store,
        fallback,
    };
    assert_eq!(bench.passing("d", &of("unsaid")), 0);
    assert_eq!(bench.passing("d", &of("local")), 3);
}

#[test]
fn without_any_store_local_lets_through() {
    let bench = down();
    bench.fallback.set_down(true);
    let answer = bench.check("d", 1, &[of("local")]);
    assert_eq!(
        (answer.allowed, codes(&answer)),
        (true, vec![Code::Allowed])
    );
    assert_eq!(answer.statuses[0].failure, Some(OnStoreFailure::Local));
    assert!(!bench.check("d", 1, &[of("local"), of("closed")]).allowed);
}

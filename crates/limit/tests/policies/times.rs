//! How long decisions take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clock::{Clock as _, ManualClock, UnixMillis};
use tollgate_limit::Shaped;
use tollgate_limit::policy::Descriptor;
use tollgate_limit::service::{CheckRequest, DECISION_TIME_BOUNDS, LimitService};
use tollgate_limit::store::{Charge, LimitStore, Refund, StoreError};

use crate::bench::{Bench, NaiveStore, now, parse};

const POLICIES: &str = "
domain: d
descriptors:
  - {key: a, rate_limit: {name: a, unit: day, requests_per_unit: 2}}
  - {key: b, rate_limit: {name: b, unit: day, requests_per_unit: 9}}
  - {key: c, rate_limit: {name: c, unit: day, requests_per_unit: 9, replaces: [{name: b}]}}
  - {key: free, rate_limit: {name: free, unlimited: true}}
";

/// A store that takes 3 ms for each decision.
struct Slow {
    clock: Arc<ManualClock>,
    store: Arc<NaiveStore>,
}

#[async_trait]
impl LimitStore for Slow {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.clock.advance(Duration::from_millis(3));
        self.store.decide(charges).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.store.refund(refunds).await
    }
}

#[test]
fn each_rule_of_a_request_is_told_how_long_it_took() {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
    let store = Arc::<NaiveStore>::default();
    let slow = Slow {
        clock: clock.clone(),
        store: store.clone(),
    };
    let service =
        LimitService::new(parse(POLICIES), Arc::new(slow), store).with_stopwatch(clock.clone());
    let check = |keys: &[&str]| {
        let request = CheckRequest {
            domain: "d".to_owned(),
            descriptors: keys
                .iter()
                .map(|key| Descriptor::of([(*key, "x")]))
                .collect(),
            hits: 1,
        };
        now(service.check(&request)).unwrap().allowed
    };
    assert_eq!(
        [check(&["a"]), check(&["a", "b"]), check(&["a"])],
        [true, true, false]
    );
    assert!(check(&["b", "c"]), "b does not count there");
    assert!(
        check(&["free"]) && check(&["unheard"]),
        "nobody asks the store"
    );
    assert_eq!(clock.monotonic(), Duration::from_millis(12));
    let millis = DECISION_TIME_BOUNDS.map(|bound| bound.as_secs_f64() * 1e3);
    assert_eq!(millis[7..9], [2.5, 5.0]);
    let stats = service.stats();
    let seen = stats.rules.iter().map(|rule| {
        let times = &rule.times;
        let of = (&*rule.rule.name, times.buckets[8], times.buckets[0]);
        assert_eq!(times.sum, Duration::from_millis(3 * of.1));
        assert_eq!(times.count(), of.1 + of.2);
        of
    });
    let seen: Vec<_> = seen.collect();
    assert_eq!(
        seen[..4],
        [("a", 3, 0), ("b", 1, 0), ("c", 1, 0), ("free", 0, 1)]
    );
    // They stay when the policies change, as the counts do.
    service.reload("limits.yaml", POLICIES).unwrap();
    assert_eq!(service.stats(), stats);
}

#[test]
fn without_a_clock_no_time_is_measured() {
    let bench = Bench::new(POLICIES);
    assert!(bench.check("d", 1, &[Descriptor::of([("a", "x")])]).allowed);
    assert_eq!(bench.service.stats().rules[0].allowed, 1);
    assert_eq!(bench.service.stats().rules[0].times.count(), 0);
}

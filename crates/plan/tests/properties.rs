//! What holds of every plan.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use proptest::prelude::*;
use tollgate_plan::{Assumption as A, Assumptions, Origin, Output as O, Plan, Unit, birthday_odds};

fn plan(given: &[(A, f64)]) -> Plan {
    let mut all = Assumptions::new();
    for &(assumption, value) in given {
        all.set(assumption.setting(value).unwrap(), Origin::Given);
    }
    Plan::new(all).unwrap()
}

/// What is in proportion to the traffic.
const LINEAR: [O; 12] = [
    O::WritesPerSecond,
    O::ReadsPerSecond,
    O::PeakWritesPerSecond,
    O::PeakReadsPerSecond,
    O::StoreReadsPerSecond,
    O::Records,
    O::StorageBytes,
    O::BytesReplicated,
    O::ClickBytes,
    O::OutBits,
    O::HotLinks,
    O::MemoryBytes,
];

/// What never shrinks when traffic grows.
const GROWING: [O; 6] = [
    O::Instances,
    O::RedisNodes,
    O::Replicas,
    O::Shards,
    O::StoreServers,
    O::KafkaPartitions,
];

/// The odds that of `codes` drawn from `keyspace` two are the same, factor by factor.
fn exact_odds(codes: u32, keyspace: f64) -> f64 {
    let all_differ: f64 = (0..codes)
        .map(|drawn| 1.0 - f64::from(drawn) / keyspace)
        .product();
    1.0 - all_differ
}

/// The default of an assumption, or a value drawn from its range, more often a small one.
fn any_setting(assumption: A) -> impl Strategy<Value = Option<(A, f64)>> {
    let (least, most) = assumption.range();
    let least = least.max(1e-9);
    prop::option::of((least.ln()..most.ln()).prop_map(move |log| {
        let value = log.exp().clamp(least, most);
        let whole = assumption.unit() == Unit::Whole;
        (assumption, if whole { value.round() } else { value })
    }))
}

proptest! {
    #[test]
    fn loads_are_in_proportion_to_users(dau in 1e3..1e8_f64, times in 1.0..1e3_f64) {
        let (small, large) = (plan(&[(A::Dau, dau)]), plan(&[(A::Dau, dau * times)]));
        for output in LINEAR {
            let ratio = large.value(output) / small.value(output) / times;
            prop_assert!((ratio - 1.0).abs() < 1e-9, "{output:?}: {ratio}");
        }
        for output in GROWING {
            prop_assert!(large.value(output) >= small.value(output), "{output:?}");
        }
    }

    #[test]
    fn a_better_hit_rate_never_needs_more(
        reads in 1.0..1e6_f64,
        one in 0.0..=1.0_f64,
        other in 0.0..=1.0_f64,
    ) {
        let at = |rate| plan(&[(A::ReadsPerSecond, reads), (A::HitRate, rate)]);
        let (worse, better) = (at(one.min(other)), at(one.max(other)));
        for output in [O::StoreReadsPerSecond, O::Replicas, O::StoreServers] {
            prop_assert!(better.value(output) <= worse.value(output), "{output:?}");
        }
    }

    #[test]
    fn the_hit_rate_for_six_replicas_needs_six(reads in 1e3..1e6_f64) {
        let rate = plan(&[(A::ReadsPerSecond, reads)]).value(O::HitRateForFewReplicas);
        let replicas = plan(&[(A::ReadsPerSecond, reads), (A::HitRate, rate)]).value(O::Replicas);
        prop_assert_eq!(replicas, 6.0);
    }

    #[test]
    fn the_birthday_bound_is_close_to_the_exact_product(
        codes in 0..2_000_u32,
        keyspace in 1e5..1e9_f64,
    ) {
        let (bound, exact) = (birthday_odds(f64::from(codes), keyspace), exact_odds(codes, keyspace));
        // The bound leaves out the terms from n^3 / 6 N^2 on.
        let left_out = f64::from(codes).powi(3) / (3.0 * keyspace * keyspace) + 1e-12;
        prop_assert!(bound <= exact + 1e-12, "{bound} {exact}");
        prop_assert!(exact - bound <= left_out, "{bound} {exact}");
    }

    #[test]
    fn whatever_is_in_range_makes_a_plan(
        all in A::ALL.iter().map(|&one| any_setting(one)).collect::<Vec<_>>(),
    ) {
        let mut assumptions = Assumptions::new();
        for (assumption, value) in all.into_iter().flatten() {
            assumptions.set(assumption.setting(value).unwrap(), Origin::Given);
        }
        let Ok(plan) = Plan::new(assumptions) else {
            return Ok(());
        };
        for quantity in plan.quantities() {
            prop_assert!(quantity.value >= 0.0 && quantity.value.is_finite(), "{quantity:?}");
            prop_assert!(!quantity.calculation.contains("NaN"), "{quantity:?}");
        }
    }
}

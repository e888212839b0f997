//! What 3 to 10 instances admit between them, at any order of requests, refills and rests.

use std::time::Duration;

use proptest::prelude::*;
use tollgate_limit::store::LeaseOptions;
use tollgate_limit::{AlgorithmKind, Limiter};

use crate::bench::{Bench, charge, kinds, limiter, yearly};

#[derive(Debug, Clone, Copy)]
enum Background {
    Nothing,
    Refill,
    Tend,
}

/// Microseconds before; which instance; its requests and the cost of each; and what it does then in
/// the background.
#[derive(Debug, Clone)]
struct Step {
    pause: u64,
    instance: prop::sample::Index,
    requests: u64,
    cost: u64,
    background: Background,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        4 => 0_u64..5_000,
        2 => 0_u64..60_000,
        1 => 0_u64..1_200_000,
    ];
    let background = prop_oneof![
        1 => Just(Background::Nothing),
        4 => Just(Background::Refill),
        1 => Just(Background::Tend),
    ];
    let cost = prop_oneof![4 => Just(1_u64), 1 => 1_u64..5];
    let step = (
        pause,
        any::<prop::sample::Index>(),
        1_u64..60,
        cost,
        background,
    );
    let step = step.prop_map(|(pause, instance, requests, cost, background)| Step {
        pause,
        instance,
        requests,
        cost,
        background,
    });
    prop::collection::vec(step, 1..80)
}

fn limiters() -> impl Strategy<Value = Limiter> {
    let kind = prop::sample::select(kinds().collect::<Vec<_>>());
    let window = prop::sample::select(vec![37_u64, 200, 1_000, 10_000]);
    (kind, 64_u64..3_000, window, prop::option::of(64_u64..3_000)).prop_map(
        |(kind, limit, window, burst)| limiter(kind, limit, Duration::from_millis(window), burst),
    )
}

/// Units that passed, and what was held when their moment began.
#[derive(Debug, Clone, Copy)]
struct Use {
    at: u64,
    units: u64,
    held: u64,
}

fn run(bench: &mut Bench, limiter: Limiter, steps: &[Step]) -> Vec<Use> {
    let mut uses = Vec::new();
    let mut held = 0;
    for step in steps {
        if step.pause > 0 {
            bench.wait(Duration::from_micros(step.pause));
            held = bench.held();
        }
        let instance = step.instance.get(&bench.instances);
        let request = [charge("k", limiter, step.cost)];
        for _ in 0..step.requests {
            if instance.passes(&request) {
                let at = bench.time.as_nanos() as u64;
                let units = step.cost;
                uses.push(Use { at, units, held });
            }
        }
        match step.background {
            Background::Nothing => {}
            Background::Refill => instance.refill(),
            Background::Tend => instance.tend(),
        }
    }
    uses
}

fn sum(uses: &[Use], within: impl Fn(u64) -> bool) -> u128 {
    let within = uses.iter().filter(|it| within(it.at));
    within.map(|it| u128::from(it.units)).sum()
}

/// For every interval that ends with the last of these.
fn holds(limiter: &Limiter, uses: &[Use]) -> Result<(), TestCaseError> {
    let Some(last) = uses.last() else {
        return Ok(());
    };
    let limit = u128::from(limiter.quota().limit());
    let window = limiter.quota().window().as_nanos() as u64;
    let wide = u128::from(window);
    match limiter.kind() {
        AlgorithmKind::FixedWindow => {
            let used = sum(uses, |at| at / window == last.at / window);
            prop_assert!(used <= limit, "{used} of {limit}");
        }
        AlgorithmKind::SlidingCounter => {
            let current = sum(uses, |at| at / window == last.at / window);
            let previous = sum(uses, |at| at / window + 1 == last.at / window);
            let left = u128::from(window - last.at % window);
            prop_assert!(current * wide + previous * left <= limit * wide);
        }
        AlgorithmKind::SlidingLog => {
            let inside = |at: u64| last.at - at < window;
            let first = uses.iter().find(|it| inside(it.at)).unwrap();
            let most = limit + u128::from(first.held);
            let used = sum(uses, inside);
            prop_assert!(used <= most, "{used} of {most}");
        }
        _ => {
            let burst = u128::from(limiter.most());
            let life = LeaseOptions::default().life.as_nanos();
            for first in uses {
                let used = sum(uses, |at| at >= first.at);
                let lasts = u128::from(last.at - first.at);
                let held = u128::from(first.held);
                prop_assert!(used * wide <= (burst + held) * wide + limit * lasts);
                prop_assert!(used * wide <= burst * wide + limit * (lasts + life));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_interval_has_more_than_the_stated_bound(
        instances in 3_usize..=10, limiter in limiters(), steps in steps()
    ) {
        let mut bench = Bench::new(instances);
        let uses = run(&mut bench, limiter, &steps);
        // Not after each single one of them: the last of a moment stands for all of it.
        for end in 1..=uses.len() {
            if uses.get(end).is_none_or(|next| next.at != uses[end - 1].at) {
                holds(&limiter, &uses[..end])?;
            }
        }
        for instance in &bench.instances {
            instance.tend();
            let stats = instance.leased.stats();
            prop_assert!(stats.held <= limiter.most() / LeaseOptions::default().share);
            prop_assert_eq!(stats.leased, stats.used + stats.returned + stats.lost + stats.held);
        }
    }

    /// Nothing is lost, and nothing comes of nothing.
    #[test]
    fn what_was_not_used_is_there_for_others_afterwards(
        instances in 3_usize..=10, steps in steps(),
        kind in prop::sample::select(kinds().collect::<Vec<_>>()), limit in 64_u64..5_000
    ) {
        let limiter = yearly(kind, limit);
        let mut bench = Bench::new(instances);
        let uses = run(&mut bench, limiter, &steps);
        bench.close();
        prop_assert_eq!(bench.held(), 0);
        let used = uses.iter().map(|it| it.units).sum::<u64>();
        // A token that was held has drained by a part, which is not given back.
        let slack = u64::from(limiter.bucket().is_some());
        let left = bench.remaining("k", limiter);
        prop_assert!(used + left <= limit && used + left + slack >= limit, "{used} + {left}");
        for instance in &bench.instances {
            prop_assert_eq!(instance.leased.stats().lost, 0);
        }
    }
}

#[test]
fn an_idle_instance_gives_back_what_it_holds() {
    for kind in kinds() {
        let limiter = yearly(kind, 10_000);
        let mut bench = Bench::new(2);
        let request = [charge("k", limiter, 1)];
        for _ in 0..200 {
            assert!(bench.instances[0].passes(&request));
            bench.instances[0].refill();
        }
        assert!(bench.held() > 50, "{kind:?}");
        bench.wait(Duration::from_millis(99));
        bench.instances[0].tend();
        assert!(bench.held() > 50, "{kind:?}");
        bench.wait(Duration::from_millis(1));
        bench.instances[0].tend();
        assert_eq!(bench.held(), 0, "{kind:?}");
        let left = bench.remaining("k", limiter);
        assert!((9_799..=9_800).contains(&left), "{kind:?}: {left}");
        let stats = bench.instances[0].leased.stats();
        assert_eq!(stats.leased, stats.used + stats.returned, "{kind:?}");
    }
}

#[test]
fn the_last_tokens_go_to_whoever_asks_first() {
    for kind in kinds() {
        let bench = Bench::new(3);
        let request = [charge("k", yearly(kind, 1_000), 1)];
        let mut passed = [0; 3];
        for round in 0..1_500 {
            let at = round % 3;
            passed[at] += u64::from(bench.instances[at].passes(&request));
            bench.instances[at].refill();
        }
        assert_eq!(passed.iter().sum::<u64>(), 1_000, "{kind:?}");
        let (least, most) = (passed.iter().min(), passed.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1_000 / 16, "{passed:?}");
    }
}

//! Instances that lease tokens from a store, in a world where messages are lost and late, and instances are paused and
//! killed; and regions that share a budget, in the same world.

#![cfg(feature = "redis")]
// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod fleet;
mod regions;
#[path = "../policies/totals.rs"]
mod totals;
#[allow(dead_code, reason = "shared with the simulation of links")]
#[path = "../../../clock/tests/simulation/world.rs"]
mod world;

use tollgate_limit::AlgorithmKind;

use crate::fleet::Fleet;
use crate::regions::Regions;

/// Whatever the seed, no interval has more than the bound that `docs/redis.md` states, no token is counted twice, nothing
/// waits for ever, and once all is well again the whole limit can be used.
#[test]
fn leased_limits_stay_within_their_bound() {
    simulate(world::SOME);
}

#[test]
#[ignore = "slow"]
fn leased_limits_stay_within_their_bound_with_many_seeds() {
    simulate(world::MANY);
}

fn simulate(seeds: u64) {
    world::each_seed("leased limits", seeds, async |seed| {
        let fleet = Fleet::new(seed);
        let passed = fleet.run().await?;
        bounds::hold(&fleet, &passed)?;
        fleet.recovers().await
    });
}

/// Whatever the seed, no window has more than the bound that `docs/redis.md` states, and once all is well again the whole
/// budget can be used.
#[test]
fn budgets_stay_within_their_bound() {
    simulate_regions(world::SOME);
}

#[test]
#[ignore = "slow"]
fn budgets_stay_within_their_bound_with_many_seeds() {
    simulate_regions(world::MANY);
}

fn simulate_regions(seeds: u64) {
    world::each_seed("budgets of regions", seeds, async |seed| {
        let regions = Regions::new(seed);
        let lives = regions.run().await;
        regions.hold(&lives)?;
        regions.recovers().await
    });
}

/// The bound would say little if budgets were never used up, or never by several at once.
#[test]
fn a_seed_of_regions_repeats_itself_and_uses_budgets_up() {
    let (mut refusals, mut used) = (0, 0);
    for seed in 0..30 {
        let history = || {
            world::run(async {
                let regions = Regions::new(seed);
                let lives = regions.run().await;
                let refused: u64 = regions.stats().iter().map(|it| it.refusals).sum();
                (lives, refused, regions.count)
            })
        };
        let (first, second) = (history(), history());
        assert_eq!(first, second, "seed {seed}");
        refusals += u64::from(first.1 > 0);
        used += u64::from(first.1 > 0 && first.2 > 1);
    }
    assert!(refusals > 15 && used > 10, "{refusals}, {used}");
}

/// A seed would be of little use if it did not.
#[test]
fn a_seed_repeats_itself() {
    let mut kinds = Vec::new();
    for seed in 0..30 {
        let history = || {
            world::run(async {
                let fleet = Fleet::new(seed);
                let passed = fleet.run().await.unwrap();
                (fleet.limiter.kind(), passed, fleet.stats())
            })
        };
        let (first, second) = (history(), history());
        assert_eq!(first, second, "seed {seed}");
        assert!(!first.1.is_empty(), "seed {seed}");
        kinds.push(first.0);
    }
    let leased = AlgorithmKind::ALL
        .into_iter()
        .filter(|kind| *kind != AlgorithmKind::LeakyQueue);
    for kind in leased {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

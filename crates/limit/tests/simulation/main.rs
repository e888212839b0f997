//! Instances that lease tokens from a store, in a world where messages are lost and late, and instances are paused and
//! killed.

#![cfg(feature = "redis")]
// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod fleet;
#[allow(dead_code, reason = "shared with the simulation of links")]
#[path = "../../../clock/tests/simulation/world.rs"]
mod world;

use tollgate_limit::AlgorithmKind;

use crate::fleet::Fleet;

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

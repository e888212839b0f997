//! Instances that lease numbers and make codes of them, in a world where messages are lost and late, clocks are wrong and
//! are set, and instances are paused and killed.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod fleet;
#[allow(dead_code, reason = "shared with the simulation of limits")]
#[path = "../../../clock/tests/simulation/world.rs"]
mod world;

use crate::fleet::Fleet;

/// Whatever the seed, no two instances make the same code, none waits for ever, and all make codes once all is well
/// again.
#[test]
fn no_code_is_made_twice() {
    simulate(world::SOME);
}

#[test]
#[ignore = "slow"]
fn no_code_is_made_twice_with_many_seeds() {
    simulate(world::MANY);
}

fn simulate(seeds: u64) {
    world::each_seed("codes", seeds, async |seed| {
        Fleet::new(seed).run().await.map(drop)
    });
}

/// A seed would be of little use if it did not.
#[test]
fn a_seed_repeats_itself() {
    for seed in 0..20 {
        let history = || world::run(async { Fleet::new(seed).run().await.unwrap() });
        let (first, second) = (history(), history());
        assert!(first.len() > 100, "seed {seed}: {}", first.len());
        assert_eq!(first, second, "seed {seed}");
    }
}

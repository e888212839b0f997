//! Servers that share a store and a cache, in a world where messages are lost and late, and servers are paused and
//! killed. The code is that of production, down to the script that Redis runs.

mod fleet;
mod history;
mod redis;
mod store;
#[allow(dead_code, reason = "shared with the simulation of limits")]
#[path = "../../../../../../clock/tests/simulation/world.rs"]
mod world;

use self::fleet::Fleet;
use self::world::{Faults, each_seed, run};

/// Whatever the seed, no visitor is sent where an edit that its server has to know of led him away from, no lookup waits
/// for ever, and when all is well again all servers agree with the store.
#[test]
fn no_server_serves_what_it_has_to_know_is_old() {
    edits(world::SOME);
}

#[test]
#[ignore = "slow"]
fn no_server_serves_what_it_has_to_know_is_old_with_many_seeds() {
    edits(world::MANY);
}

fn edits(seeds: u64) {
    each_seed("edits of links", seeds, async |seed| {
        let fleet = Fleet::new(seed, None);
        fleet.run().await?;
        fleet.agrees().await
    });
}

/// Where nothing goes wrong, all servers together read the store once for each time that an entry ends.
#[test]
fn a_fleet_reads_the_store_once_for_each_end_of_an_entry() {
    reads(world::SOME);
}

#[test]
#[ignore = "slow"]
fn a_fleet_reads_the_store_once_for_each_end_of_an_entry_with_many_seeds() {
    reads(world::MANY);
}

fn reads(seeds: u64) {
    each_seed("reads of the store", seeds, async |seed| {
        let fleet = Fleet::new(seed, Some(Faults::default()));
        fleet.run().await?;
        fleet.has_read_little()
    });
}

/// A seed would be of little use if it did not.
#[test]
fn a_seed_repeats_itself() {
    for seed in 0..20 {
        let history = || {
            run(async {
                let fleet = Fleet::new(seed, None);
                fleet.run().await.unwrap();
                fleet.seen()
            })
        };
        let (first, second) = (history(), history());
        assert!(first.len() > 50, "seed {seed}: {}", first.len());
        assert_eq!(first, second, "seed {seed}");
    }
}

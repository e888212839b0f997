//! What a ring promises, on keys as codes are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_ring::Ring;

const KEYS: u32 = 100_000;

fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0..KEYS).map(u32::to_le_bytes)
}

/// Nodes as shards are named.
fn shards(count: u32) -> Ring {
    Ring::new((1..=count).map(|number| (format!("s{number}"), 1))).unwrap()
}

/// How many of the keys each node has.
fn shares(ring: &Ring) -> BTreeMap<&str, u32> {
    let mut shares: BTreeMap<&str, u32> = ring.nodes().map(|node| (node, 0)).collect();
    for key in keys() {
        *shares.entry(ring.node(&key)).or_default() += 1;
    }
    shares
}

/// How far from 1 a share is, as a part of what it should be.
fn off(share: u32, weight: u32, of: u32) -> f64 {
    let even = f64::from(KEYS) * f64::from(weight) / f64::from(of);
    (f64::from(share) / even - 1.0).abs()
}

#[test]
fn up_to_32_shards_are_within_a_tenth_of_even() {
    let mut worst = (0.0, 0);
    for count in 1..=32 {
        let ring = shards(count);
        for share in shares(&ring).into_values() {
            let off = off(share, 1, count);
            assert!(off < 0.1, "{count} shards: {off}");
            worst = if off > worst.0 { (off, count) } else { worst };
        }
    }
    println!(
        "the worst share is {:.4} off, of {} shards",
        worst.0, worst.1
    );
}

#[test]
fn a_shard_that_is_added_takes_its_part_and_nothing_else_moves() {
    for count in 1..=31 {
        let (before, after) = (shards(count), shards(count + 1));
        let new = format!("s{}", count + 1);
        let mut moved = 0;
        for key in keys() {
            let (was, is) = (before.node(&key), after.node(&key));
            if was != is {
                assert_eq!(is, new);
                moved += 1;
            }
        }
        let off = off(moved, 1, count + 1);
        assert!(off < 0.1, "{count} shards and one more: {off}");
    }
}

fn nodes() -> impl Strategy<Value = BTreeMap<String, u32>> {
    proptest::collection::btree_map("[a-z0-9.:]{1,12}", 1..4_u32, 2..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the names: only the keys of the node move, and all are back when it is.
    #[test]
    fn a_node_that_goes_moves_only_its_own_keys(nodes in nodes(), gone in any::<prop::sample::Index>()) {
        let whole = Ring::new(nodes.clone()).unwrap();
        let gone = nodes.keys().nth(gone.index(nodes.len())).unwrap().clone();
        let mut rest = nodes.clone();
        rest.remove(&gone);
        let without = Ring::new(rest.clone()).unwrap();
        for key in keys().take(10_000) {
            let (was, is) = (whole.node(&key), without.node(&key));
            prop_assert!(was == gone || was == is);
            prop_assert!(is != gone);
        }
        rest.insert(gone.clone(), nodes[&gone]);
        // Back in whatever order it is named.
        prop_assert_eq!(&Ring::new(rest.into_iter().rev()).unwrap(), &whole);
        // A weight of 0 is the same as to be gone.
        let mut idle = nodes;
        idle.insert(gone, 0);
        let idle = Ring::new(idle).unwrap();
        for key in keys().take(10_000) {
            prop_assert_eq!(idle.node(&key), without.node(&key));
        }
    }

    /// Five standard deviations, since names are random here.
    #[test]
    fn shares_follow_weights(nodes in nodes()) {
        let ring = Ring::new(nodes.clone()).unwrap();
        let all: u32 = nodes.values().sum();
        for (name, share) in shares(&ring) {
            let off = off(share, nodes[name], all);
            prop_assert!(off < 0.12, "{name} of {nodes:?}: {off}");
        }
    }

    /// More weight takes keys, and gives none away.
    #[test]
    fn a_node_that_grows_only_gains(nodes in nodes(), grown in any::<prop::sample::Index>()) {
        let before = Ring::new(nodes.clone()).unwrap();
        let mut after = nodes;
        let name = after.keys().nth(grown.index(after.len())).unwrap().clone();
        *after.entry(name.clone()).or_default() += 1;
        let after = Ring::new(after).unwrap();
        for key in keys().take(10_000) {
            let (was, is) = (before.node(&key), after.node(&key));
            prop_assert!(was == is || is == name);
        }
    }
}

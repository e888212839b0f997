//! Consistent hashing: which of several nodes a key belongs to, so that a node that comes or goes moves
//! only the keys it gains or loses. Pure: no clock, no randomness, no I/O.
//!
//! ```
//! use tollgate_ring::Ring;
//!
//! let two = Ring::new([("s1", 1), ("s2", 1)])?;
//! let three = Ring::new([("s1", 1), ("s2", 1), ("s3", 1)])?;
//! for key in 0..10_000_u32 {
//!     let (was, is) = (two.node(&key.to_le_bytes()), three.node(&key.to_le_bytes()));
//!     // A key stays where it is, or moves to the new node.
//!     assert!(is == was || is == "s3");
//! }
//! # Ok::<(), tollgate_ring::RingError>(())
//! ```
//!
//! # Placing
//!
//! Each node has virtual nodes on a circle of 2^64 points, [`VNODES`] for each unit of its weight. A key
//! is looked for at [`PROBES`] points of the circle; of the virtual nodes that follow them clockwise, the
//! one that follows most closely has the key.
//!
//! With a single probe a node's share is the sum of its arcs, which at 150 virtual nodes varies by 8 %
//! (one standard deviation, the square root of 1 in 150), so that the largest of ten nodes is usually 13 to 15 % too large. The
//! closest of several probes prefers no long arcs: the deviation falls to 2 %, and the largest of 32
//! nodes stays within 10 % of its share.
//!
//! # Stability
//!
//! Keys are stored by what this answers, so it never changes:
//!
//! - The hash is XXH3 of 64 bits without a seed, as its specification has it.
//! - Virtual node `i` of a node is at the hash of the node's name, a zero byte, and `i` as 4 bytes, the lowest first.
//! - Probe `p` of a key is at the `p`-th number that SplitMix64 makes of the hash of the key as its seed.
//! - Of virtual nodes at the same distance, that of the name that sorts first counts.

use xxhash_rust::xxh3::xxh3_64;

/// Virtual nodes for each unit of weight.
pub const VNODES: u32 = 150;
/// Points at which a key is looked for.
pub const PROBES: u32 = 8;
/// The most virtual nodes of a ring, which bounds its memory: 16 bytes each.
pub const MAX_VNODES: usize = 4 << 20;

/// Why there is no such ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Nobody could have a key.
    #[error("a ring needs at least one node with a weight above 0")]
    Empty,
    /// Two nodes of one name.
    #[error("two nodes have the name {0:?}")]
    Twice(String),
    /// More than [`MAX_VNODES`].
    #[error("these weights make {0} virtual nodes, and {MAX_VNODES} are possible: divide them")]
    TooMany(u64),
}

/// Nodes, and where they are on the circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// Sorted by name.
    names: Vec<String>,
    /// Sorted; the index of a name each.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// A ring of nodes with their weights. Their order means nothing; a node with the weight 0 has no keys.
    ///
    /// # Errors
    /// See [`RingError`].
    pub fn new<N: Into<String>>(
        nodes: impl IntoIterator<Item = (N, u32)>,
    ) -> Result<Self, RingError> {
        Self::with_vnodes(nodes, VNODES)
    }

    /// The same with another number of virtual nodes for each unit of weight.
    ///
    /// # Errors
    /// See [`RingError`].
    pub fn with_vnodes<N: Into<String>>(
        nodes: impl IntoIterator<Item = (N, u32)>,
        vnodes: u32,
    ) -> Result<Self, RingError> {
        let mut nodes: Vec<(String, u32)> = nodes
            .into_iter()
            .map(|(name, weight)| (name.into(), weight))
            .collect();
        nodes.sort();
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(RingError::Twice(pair[0].0.clone()));
        }
        let each = |weight: u32| u64::from(weight) * u64::from(vnodes);
        let wanted = nodes.iter().map(|(_, weight)| each(*weight)).sum::<u64>();
        if wanted > MAX_VNODES as u64 {
            return Err(RingError::TooMany(wanted));
        }
        if wanted == 0 {
            return Err(RingError::Empty);
        }
        let mut points = Vec::with_capacity(wanted as usize);
        for (number, (name, weight)) in nodes.iter().enumerate() {
            let mut bytes = [name.as_bytes(), &[0; 5]].concat();
            let end = bytes.len() - 4;
            for vnode in 0..each(*weight) as u32 {
                bytes[end..].copy_from_slice(&vnode.to_le_bytes());
                points.push((xxh3_64(&bytes), number as u32));
            }
        }
        points.sort_unstable();
        let names = nodes.into_iter().map(|(name, _)| name).collect();
        Ok(Self { names, points })
    }

    /// The node that has a key.
    #[must_use]
    pub fn node(&self, key: &[u8]) -> &str {
        let mut seed = xxh3_64(key);
        let mut closest = (u64::MAX, u32::MAX);
        for _ in 0..PROBES {
            let probe = split_mix(&mut seed);
            let follows = self.points.partition_point(|(point, _)| *point < probe);
            // Past the last one the circle begins again.
            let (point, node) = self.points.get(follows).unwrap_or(&self.points[0]);
            closest = closest.min((point.wrapping_sub(probe), *node));
        }
        &self.names[closest.1 as usize]
    }

    /// The names of all nodes, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// The next number of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    /// What is stored by it would be lost if this changed.
    #[test]
    fn keys_stay_where_they_are_for_good() {
        let ring = Ring::new([("s1", 1), ("s2", 2), ("s3", 1)]).unwrap();
        let nodes: Vec<&str> = (0..16_u32)
            .map(|key| ring.node(&key.to_le_bytes()))
            .collect();
        assert_eq!(nodes.join(" "), KNOWN);
        // The first numbers that SplitMix64 makes of 1234567, as its reference program has them.
        let mut seed = 1_234_567;
        assert_eq!(split_mix(&mut seed), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut seed), 3_203_168_211_198_807_973);
    }

    const KNOWN: &str = "s3 s1 s2 s1 s2 s2 s2 s2 s2 s3 s1 s2 s3 s1 s3 s2";

    #[test]
    fn what_is_no_ring_is_refused() {
        let none: [(&str, u32); 0] = [];
        assert_eq!(Ring::new(none), Err(RingError::Empty));
        assert_eq!(Ring::new([("a", 0)]), Err(RingError::Empty));
        let twice = Ring::new([("a", 1), ("b", 1), ("a", 2)]);
        assert_eq!(twice, Err(RingError::Twice("a".into())));
        let many = Ring::new([("a", u32::MAX)]);
        assert!(matches!(many, Err(RingError::TooMany(_))), "{many:?}");
    }
}

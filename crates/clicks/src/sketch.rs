//! How many visitors there were, in at most three kilobytes.
//!
//! HyperLogLog with the estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches" (2017), which needs no tables of corrections. It is our own because it is stored for
//! years: the crates for it either have no exact form for small sets, which most are, or no format
//! that they promise to keep.

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 12;
/// Registers: the standard error is `1.04 / sqrt(REGISTERS)`, 1.6 %.
const REGISTERS: usize = 1 << INDEX_BITS;
/// The bits of a hash that are not in the index.
const REST_BITS: usize = 64 - INDEX_BITS as usize;
/// The most hashes that are kept as they are: they take as much as the registers do.
const EXACT: usize = PACKED / 8;
/// The bytes of the registers, six bits each.
const PACKED: usize = REGISTERS * 6 / 8;
/// Hashes that are gathered, some of them twice, before they are sorted.
const GATHERED: usize = 4 * EXACT;

const TAG_EXACT: u8 = 0;
const TAG_REGISTERS: u8 = 1;

/// A set of visitors, by their hashes. Up to 384 are counted exactly; of more, the number is
/// estimated with a standard error of 1.6 %.
///
/// What it says depends on the set alone, not on the order or the parts in which it came together.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// Hashes; without meaning once there are registers.
    hashes: Vec<u64>,
    registers: Option<Box<[u8; REGISTERS]>>,
}

/// Bytes that no sketch wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sketch of visitors is damaged")]
pub struct DamagedSketch;

impl Sketch {
    /// Adds a visitor.
    pub fn insert(&mut self, hash: u64) {
        match &mut self.registers {
            Some(registers) => register(registers, hash),
            None => {
                self.hashes.push(hash);
                if self.hashes.len() >= GATHERED {
                    self.settle();
                }
            }
        }
    }

    /// Adds all visitors of a sketch that [`Self::into_bytes`] wrote.
    ///
    /// # Errors
    /// [`DamagedSketch`]; some may have been added.
    pub fn union(&mut self, bytes: &[u8]) -> Result<(), DamagedSketch> {
        match bytes.split_first() {
            None => Ok(()),
            Some((&TAG_EXACT, hashes)) => {
                let (hashes, rest) = hashes.as_chunks::<8>();
                for hash in hashes {
                    self.insert(u64::from_le_bytes(*hash));
                }
                if rest.is_empty() {
                    Ok(())
                } else {
                    Err(DamagedSketch)
                }
            }
            Some((&TAG_REGISTERS, packed)) if packed.len() == PACKED => {
                let registers = self.estimated();
                for (four, three) in registers.chunks_exact_mut(4).zip(packed.chunks_exact(3)) {
                    let bits = u32::from_le_bytes([three[0], three[1], three[2], 0]);
                    for (place, register) in four.iter_mut().enumerate() {
                        let theirs = (bits >> (6 * place) & 63) as u8;
                        *register = (*register).max(theirs);
                    }
                }
                Ok(())
            }
            Some(_) => Err(DamagedSketch),
        }
    }

    /// Adds all visitors of another one.
    pub fn merge(&mut self, other: &Self) {
        match &other.registers {
            Some(theirs) => {
                let ours = self.estimated();
                for (ours, theirs) in ours.iter_mut().zip(theirs.iter()) {
                    *ours = (*ours).max(*theirs);
                }
            }
            None => other.hashes.iter().for_each(|hash| self.insert(*hash)),
        }
    }

    /// About how many different visitors were added.
    #[must_use]
    pub fn estimate(&mut self) -> u64 {
        self.settle();
        match &self.registers {
            None => self.hashes.len() as u64,
            // Positive, and far below 2^63.
            Some(registers) => estimate(registers).round() as u64,
        }
    }

    /// To be stored; empty if nobody was added.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.settle();
        let Some(registers) = self.registers else {
            if self.hashes.is_empty() {
                return Vec::new();
            }
            let mut bytes = Vec::with_capacity(1 + 8 * self.hashes.len());
            bytes.push(TAG_EXACT);
            bytes.extend(self.hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            return bytes;
        };
        let mut bytes = Vec::with_capacity(1 + PACKED);
        bytes.push(TAG_REGISTERS);
        for four in registers.chunks_exact(4) {
            let mut bits = 0_u32;
            for (place, register) in four.iter().enumerate() {
                bits |= u32::from(*register) << (6 * place);
            }
            bytes.extend_from_slice(&bits.to_le_bytes()[..3]);
        }
        bytes
    }

    /// Leaves each hash once, and goes over to registers if there are too many.
    fn settle(&mut self) {
        if self.registers.is_none() {
            self.hashes.sort_unstable();
            self.hashes.dedup();
            if self.hashes.len() > EXACT {
                self.estimated();
            }
        }
    }

    /// The registers; made of the hashes if there are none yet.
    fn estimated(&mut self) -> &mut [u8; REGISTERS] {
        let hashes = &mut self.hashes;
        self.registers.get_or_insert_with(|| {
            let mut registers = Box::new([0; REGISTERS]);
            for hash in std::mem::take(hashes) {
                register(&mut registers, hash);
            }
            registers
        })
    }
}

/// Notes a hash: its register keeps the longest run of leading zeros, plus one.
fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let hash = mix(hash);
    let index = (hash >> REST_BITS) as usize;
    // At most `REST_BITS` + 1, which fits into six bits.
    let run = ((hash << INDEX_BITS).leading_zeros() as usize).min(REST_BITS) as u8 + 1;
    if let Some(register) = registers.get_mut(index) {
        *register = (*register).max(run);
    }
}

/// The finaliser of splitmix64: makes every bit depend on every other, whatever hash came in.
const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Algorithm 6 of Ertl's paper.
fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    let mut of_run = [0_u32; REST_BITS + 2];
    for register in registers {
        if let Some(count) = of_run.get_mut(usize::from(*register)) {
            *count += 1;
        }
    }
    let m = REGISTERS as f64;
    let full = f64::from(of_run[REST_BITS + 1]);
    let mut z = m * tau(1.0 - full / m);
    for count in of_run[1..=REST_BITS].iter().rev() {
        z = (z + f64::from(*count)) * 0.5;
    }
    z += m * sigma(f64::from(of_run[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// The part of the registers that nothing has touched.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let next = z + x * y;
        if next == z {
            return z;
        }
        (y, z) = (y + y, next);
    }
}

/// The part of the registers that cannot rise any more.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        y *= 0.5;
        let next = z - (1.0 - x) * (1.0 - x) * y;
        if next == z {
            return z / 3.0;
        }
        z = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Well-spread hashes, others for each seed.
    fn hashes(seed: u64, count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |number| mix(mix(seed + 1).wrapping_add(number)))
    }

    fn of(hashes: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        hashes.for_each(|hash| sketch.insert(hash));
        sketch
    }

    #[test]
    fn few_visitors_are_counted_exactly_however_often_they_come() {
        for count in [0, 1, 2, 100, EXACT as u64] {
            let mut sketch = of((0..5).flat_map(|_| hashes(7, count)));
            assert_eq!(sketch.estimate(), count);
            let bytes = sketch.into_bytes();
            assert!(bytes.len() <= 1 + PACKED);
            assert_eq!(bytes.is_empty(), count == 0);
        }
    }

    /// The error that is stated: 1.6 % is the standard deviation, and no single set is off by more
    /// than four of them.
    #[test]
    fn many_visitors_are_estimated_within_the_stated_error() {
        let stated = 1.04 / (REGISTERS as f64).sqrt();
        assert!(stated < 0.0163);
        for count in [400_u64, 1_000, 3_000, 10_000, 20_000, 100_000] {
            let seeds = 40;
            let mut squares = 0.0;
            let mut sum = 0.0;
            for seed in 0..seeds {
                let error = of(hashes(seed, count)).estimate() as f64 / count as f64 - 1.0;
                assert!(error.abs() < 4.0 * stated, "{count} {seed}: {error}");
                squares += error * error;
                sum += error;
            }
            let deviation = (squares / seeds as f64).sqrt();
            assert!(deviation < 1.3 * stated, "{count}: {deviation}");
            let bias = sum / seeds as f64;
            assert!(bias.abs() < stated, "{count}: {bias}");
        }
    }

    #[test]
    fn numbers_in_a_row_are_as_good_as_hashes() {
        let estimate = of(0..50_000).estimate() as f64;
        assert!((estimate / 50_000.0 - 1.0).abs() < 0.065, "{estimate}");
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        for bytes in [&[0_u8, 1][..], &[1; 100], &[9], &[1]] {
            assert_eq!(Sketch::default().union(bytes), Err(DamagedSketch));
        }
    }

    proptest! {
        #[test]
        fn parts_make_the_same_sketch_as_the_whole(
            sets in prop::collection::vec((0_u64..3, 0_u64..1_500), 1..6),
            stored in any::<bool>(),
        ) {
            let mut whole = Sketch::default();
            let mut parts = Sketch::default();
            for (seed, count) in sets {
                hashes(seed, count).for_each(|hash| whole.insert(hash));
                let part = of(hashes(seed, count));
                if stored {
                    parts.union(&part.into_bytes()).unwrap();
                } else {
                    parts.merge(&part);
                }
            }
            prop_assert_eq!(whole.estimate(), parts.estimate());
            prop_assert_eq!(whole.into_bytes(), parts.into_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let mut sketch = Sketch::default();
            let _ = sketch.union(&bytes);
            let _ = sketch.estimate();
        }
    }
}

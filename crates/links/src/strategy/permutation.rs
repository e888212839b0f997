use std::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

/// Feistel rounds. Four make a pseudo-random permutation (Luby and Rackoff 1988); small domains
/// want more, as the ten of NIST's FF1 show. Even, so that the halves end where they began.
const ROUNDS: u64 = 10;

/// A keyed bijection of the numbers below `size` onto themselves, so that consecutive numbers look
/// unrelated to whoever lacks the key.
///
/// A generalised Feistel network over `left * right >= size` with cycle walking: J. Black and
/// P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, methods 2 and 3. The round
/// function is SipHash-2-4.
#[derive(Debug, Clone)]
pub(super) struct Permutation {
    size: u128,
    left: u64,
    right: u64,
    key: [u8; 16],
}

impl Permutation {
    /// The permutation of the numbers below `size`, which is at least 1 and below 2^126. Each size
    /// is permuted under its own key, derived from the secret.
    pub(super) fn new(secret: &[u8; 32], size: u128) -> Self {
        debug_assert!((1..1 << 126).contains(&size), "halves must fit in 63 bits");
        let mut hash = Sha256::new();
        hash.update(b"tollgate counter permutation");
        hash.update(secret);
        hash.update(size.to_le_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        // The closer left * right is to size, the fewer steps a walk takes: here the excess is
        // below left, so nearly all walks end at once.
        let root = size.isqrt();
        let left = if root * root < size { root + 1 } else { root };
        let right = size.div_ceil(left);
        Self {
            size,
            left: left as u64,
            right: right as u64,
            key,
        }
    }

    /// Where `number`, which is below the size, is moved to.
    pub(super) fn apply(&self, number: u128) -> u128 {
        debug_assert!(number < self.size, "outside of the domain");
        let mut at = number;
        // Ends: the network permutes a finite set, so walking on from a number below the size comes
        // back below it, at the latest to the number itself.
        loop {
            at = self.network(at);
            if at < self.size {
                return at;
            }
        }
    }

    fn network(&self, number: u128) -> u128 {
        let mut left = (number % u128::from(self.left)) as u64;
        let mut right = (number / u128::from(self.left)) as u64;
        for round in 0..ROUNDS {
            let modulus = if round % 2 == 0 {
                self.left
            } else {
                self.right
            };
            let sum = (left + self.round(round, right) % modulus) % modulus;
            (left, right) = (right, sum);
        }
        u128::from(self.left) * u128::from(right) + u128::from(left)
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        let mut input = [0; 16];
        input[..8].copy_from_slice(&round.to_le_bytes());
        input[8..].copy_from_slice(&half.to_le_bytes());
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&input);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_small_domain_is_mapped_onto_itself(secret: [u8; 32], size in 1usize..3_000) {
            let permutation = Permutation::new(&secret, size as u128);
            let mut hit = vec![false; size];
            for number in 0..size as u128 {
                let image = permutation.apply(number) as usize;
                prop_assert!(image < size);
                prop_assert!(!std::mem::replace(&mut hit[image], true), "{} is hit twice", image);
            }
        }

        #[test]
        fn large_domains_are_kept_and_neighbours_apart(
            secret: [u8; 32],
            length in 5u32..=21,
            number: u128,
        ) {
            let size = 62u128.pow(length);
            let permutation = Permutation::new(&secret, size);
            let number = number % (size - 1);
            let (here, next) = (permutation.apply(number), permutation.apply(number + 1));
            prop_assert!(here < size && next < size);
            prop_assert_ne!(here, next);
        }
    }

    #[test]
    fn whole_code_spaces_are_mapped_onto_themselves() {
        for (base, length) in [(62u128, 1), (62, 2), (62, 3), (36, 1), (36, 2), (36, 3)] {
            let size = base.pow(length);
            for secret in [[0; 32], [7; 32]] {
                let permutation = Permutation::new(&secret, size);
                let mut images: Vec<u128> = (0..size).map(|n| permutation.apply(n)).collect();
                images.sort_unstable();
                assert!(images.into_iter().eq(0..size), "{base}^{length}");
            }
        }
    }

    #[test]
    fn another_secret_is_another_permutation() {
        let size = 62u128.pow(7);
        let (a, b) = (
            Permutation::new(&[1; 32], size),
            Permutation::new(&[2; 32], size),
        );
        let same = (0..1_000).filter(|n| a.apply(*n) == b.apply(*n)).count();
        assert_eq!(same, 0);
    }

    #[test]
    fn consecutive_numbers_do_not_come_out_in_order() {
        let permutation = Permutation::new(&[3; 32], 62u128.pow(7));
        let images: Vec<u128> = (0..1_000).map(|n| permutation.apply(n)).collect();
        let rising = images.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((400..600).contains(&rising), "{rising}");
    }
}

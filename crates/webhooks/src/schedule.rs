use std::time::Duration;

use rand::{Rng, RngExt as _};

/// Seconds from a failed attempt to the next one, as Standard Webhooks proposes them.
const DELAYS: [u64; 9] = [
    5,
    5 * 60,
    30 * 60,
    2 * 3_600,
    5 * 3_600,
    10 * 3_600,
    14 * 3_600,
    20 * 3_600,
    24 * 3_600,
];

/// How often a message is sent at most, before it is given up as dead: over some 75 hours.
pub const ATTEMPTS: u32 = DELAYS.len() as u32 + 1;

/// How long after the failure of attempt `attempt` (the first is 1) the next one is made; `None` after
/// the last. Up to a fifth is added or taken away, so that messages that failed together are not sent
/// again together.
pub fn retry_after(attempt: u32, rng: &mut impl Rng) -> Option<Duration> {
    let delay = DELAYS.get(attempt.checked_sub(1)? as usize)? * 1_000;
    Some(Duration::from_millis(
        rng.random_range(delay - delay / 5..=delay + delay / 5),
    ))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn each_wait_is_longer_than_the_one_before_and_there_is_an_end() {
        for seed in 0..100 {
            let mut rng = StdRng::seed_from_u64(seed);
            let waits: Vec<Duration> = (1..)
                .map_while(|attempt| retry_after(attempt, &mut rng))
                .collect();
            assert_eq!(waits.len() + 1, ATTEMPTS as usize);
            assert!((4_000..=6_000).contains(&waits[0].as_millis()));
            let base: Vec<u64> = DELAYS.to_vec();
            for (wait, base) in waits.iter().zip(base) {
                let (least, most) = (base * 800, base * 1_200);
                let wait = u64::try_from(wait.as_millis()).unwrap();
                assert!((least..=most).contains(&wait), "{wait}");
            }
        }
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(retry_after(0, &mut rng), None);
        assert_eq!(retry_after(ATTEMPTS, &mut rng), None);
    }
}

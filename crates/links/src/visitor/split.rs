//! Sticky shares of visitors.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::LinkKey;

/// What decides a visitor's luck on one link. The same visitor draws the same numbers on the same
/// link today and after a restart; on another link, and for another rule, independent ones.
pub(super) struct Split(u64);

impl Split {
    pub(super) fn new(key: &LinkKey, visitor: u64) -> Self {
        let domain = xxh3_64_with_seed(key.domain.as_str().as_bytes(), visitor);
        Self(xxh3_64_with_seed(key.code.as_str().as_bytes(), domain))
    }

    /// 0 to 99, every number equally often, for the condition at this place: rule and number in it.
    pub(super) fn draw(&self, (rule, condition): (usize, usize)) -> u8 {
        let place = ((rule as u64) << 32) | condition as u64;
        let hash = xxh3_64_with_seed(&place.to_le_bytes(), self.0);
        // Lemire's multiply-shift: no division and no bias worth naming.
        u8::try_from((u128::from(hash) * 100) >> 64).unwrap_or(99)
    }
}

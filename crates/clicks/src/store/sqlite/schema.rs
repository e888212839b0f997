//! The tables, and the numbers in them.

use crate::rollup::Grain;

/// The steps of the schema; see [`tollgate_sqlite::migrate`]. Never change one: add another.
pub(super) const STEPS: [&str; 1] = [include_str!("steps/1.sql")];

/// Bits of a key for the hour or day: enough until the year 9999.
const TIME_BITS: u32 = 27;

/// The key of a roll-up.
pub(super) const fn key(scope: i64, bot: bool, time: i64) -> i64 {
    (scope << (TIME_BITS + 1)) | ((bot as i64) << TIME_BITS) | time
}

/// The hour or day of a key.
pub(super) const fn time(key: i64) -> i64 {
    key & ((1 << TIME_BITS) - 1)
}

/// The number of a grain.
pub(super) const fn number(grain: Grain) -> i64 {
    match grain {
        Grain::Hour(number) | Grain::Day(number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_scope_bot_and_time() {
        let last_hour = 253_339_000_000_000 / 3_600_000;
        let keys = [
            key(1, false, 0),
            key(1, false, last_hour),
            key(1, true, 0),
            key(1, true, last_hour),
            key(2, false, 0),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(time(keys[3]), last_hour);
    }
}

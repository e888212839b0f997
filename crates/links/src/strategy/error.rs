use std::time::Duration;

use tollgate_clock::UnixMillis;

use crate::store::StoreError;

/// Why no code could be made.
#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    /// The store that strategies share failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The counter has given out every code of this length.
    #[error("all codes of {length} characters are given out: set a greater code length")]
    SpaceUsedUp {
        /// Characters in a code.
        length: usize,
    },
    /// The filter refused every code tried.
    #[error("the filter refused {tried} codes one after the other: block fewer words")]
    AllRefused {
        /// Codes tried.
        tried: u32,
    },
    /// Every Snowflake worker number is leased to another instance.
    #[error("all {workers} Snowflake worker numbers are taken: wait until a lease ends")]
    NoWorker {
        /// How many there are.
        workers: u16,
    },
    /// The wall clock was set back further than Snowflake bridges.
    #[error("the clock runs {} ms behind what it showed before: wait, or set it right", .behind.as_millis())]
    ClockBackwards {
        /// How far behind the latest time seen.
        behind: Duration,
    },
    /// More Snowflake codes were asked for than there are for the time passed.
    #[error("the Snowflake codes of the last second are used up: try again in a moment")]
    SequenceExhausted,
    /// The wall clock shows a time no Snowflake code can hold.
    #[error("the clock shows {now}, but Snowflake codes reach from 2025 to 2094: set it right")]
    ClockOutOfRange {
        /// What it shows.
        now: UnixMillis,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

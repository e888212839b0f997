#![doc = include_str!("../README.md")]

mod adaptive;
mod aimd;
mod algorithm;
mod atomic_gcra;
#[cfg(feature = "http")]
pub mod attribute;
mod bucket;
pub mod budget;
mod concurrency;
mod decision;
mod fixed_window;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod gcra;
mod gradient;
#[cfg(feature = "http")]
pub mod headers;
#[cfg(feature = "tower")]
pub mod layer;
mod leaky_meter;
mod leaky_queue;
mod limiter;
mod moment;
mod packed;
pub mod policy;
mod quota;
pub mod service;
mod sliding_counter;
mod sliding_log;
pub mod store;
mod token_bucket;

pub use adaptive::{
    Adaptive, AdaptiveError, AdaptiveState, LimitLaw, LimitRange, Outcome, Permille, Sample,
};
pub use aimd::Aimd;
pub use algorithm::Algorithm;
pub use atomic_gcra::{AtomicGcra, GcraCell, TooFine};
pub use concurrency::{Acquired, Concurrency, Lease, Released, Slots};
pub use decision::{Decision, Verdict};
pub use fixed_window::{FixedWindow, FixedWindowState};
pub use gcra::{Gcra, GcraState};
pub use gradient::{Gradient, GradientState};
pub use leaky_meter::{LeakyMeter, LeakyMeterState};
pub use leaky_queue::{LeakyQueue, LeakyQueueState, Shaped};
pub use limiter::{AlgorithmKind, Limiter, LimiterState};
pub use moment::Moment;
pub use quota::{Bucket, MAX_LIMIT, MAX_REFILL, MAX_WINDOW, MIN_WINDOW, Quota, QuotaError};
pub use sliding_counter::{SlidingCounter, SlidingCounterState};
pub use sliding_log::{SlidingLog, SlidingLogState};
pub use token_bucket::{TokenBucket, TokenBucketState};

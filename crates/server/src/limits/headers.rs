//! What a client is told of the limits it has met.

use std::time::Duration;

pub(crate) use tollgate_limit::headers::{QUOTA_EXCEEDED, seconds, told};
use tollgate_limit::service::CheckAnswer;

use crate::problem::Problem;

/// The answer to a request over its limits.
pub(crate) fn over(answer: &CheckAnswer) -> Problem {
    let policies = answer.violated_policies().map(str::to_owned);
    let problem = Problem::quota_exceeded(policies.collect());
    told(answer)
        .into_iter()
        .fold(problem, |problem, header| match header {
            (Some(name), value) => problem.header(name, value),
            // Each name has one value here.
            (None, _) => problem,
        })
}

/// Milliseconds, rounded up as [`seconds`] are.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

//! What `docs/redis.md` states of leased limits.

use std::time::Duration;

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::LeaseOptions;

use crate::fleet::{Fleet, Passed};

/// Checks every interval. `passed` is in its order.
pub fn hold(fleet: &Fleet, passed: &[Passed]) -> Result<(), String> {
    let limiter = &fleet.limiter;
    let limit = i128::from(limiter.quota().limit());
    let window = nanos(limiter.quota().window());
    let window_of = |it: &Passed| nanos(it.at) / window;
    match limiter.kind() {
        AlgorithmKind::FixedWindow => {
            for same in passed.chunk_by(|a, b| window_of(a) == window_of(b)) {
                within(fleet, sum(same), limit)?;
            }
        }
        AlgorithmKind::SlidingCounter => {
            let mut previous = (0, 0);
            for same in passed.chunk_by(|a, b| window_of(a) == window_of(b)) {
                let number = window_of(&same[0]);
                let before = if previous.0 + 1 == number {
                    previous.1
                } else {
                    0
                };
                for (at, it) in same.iter().enumerate() {
                    let left = window - nanos(it.at) % window;
                    let used = sum(&same[..=at]) * window + before * left;
                    within(fleet, used, limit * window)?;
                }
                previous = (number, sum(same));
            }
        }
        AlgorithmKind::SlidingLog => {
            let held = limit / i128::from(LeaseOptions::default().share);
            let most = limit + held * fleet.instances as i128;
            let mut first = 0;
            for last in 0..passed.len() {
                while nanos(passed[last].at) - nanos(passed[first].at) >= window {
                    first += 1;
                }
                within(fleet, sum(&passed[first..=last]), most)?;
            }
        }
        _ => {
            let life = nanos(LeaseOptions::default().life);
            let most = i128::from(limiter.most()) * window + limit * life;
            // For each end the beginning that leaves the least room.
            let (mut before, mut least) = (0, i128::MAX);
            for it in passed {
                let drained = limit * nanos(it.at);
                least = least.min(before * window - drained);
                before += i128::from(it.units);
                within(fleet, before * window - drained - least, most)?;
            }
        }
    }
    Ok(())
}

fn within(fleet: &Fleet, used: i128, most: i128) -> Result<(), String> {
    if used <= most {
        return Ok(());
    }
    Err(format!(
        "{used} of {most}: {:?}, {} instances",
        fleet.limiter, fleet.instances
    ))
}

fn sum(passed: &[Passed]) -> i128 {
    passed.iter().map(|it| i128::from(it.units)).sum()
}

fn nanos(duration: Duration) -> i128 {
    duration.as_nanos() as i128
}

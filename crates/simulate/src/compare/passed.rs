//! What passed, and how that compares with an exact log of itself.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tollgate_limit::Limiter;

use super::{Arrival, Outcome, POINTS, point};
use crate::traffic::Scale;

/// What one algorithm let through.
pub(super) struct Passed {
    scale: Scale,
    length: u64,
    keys: HashMap<u64, Key>,
    points: Vec<u64>,
    admitted: u64,
    refused: u64,
    delayed: u64,
    longest: Duration,
    false_allow: u64,
    false_deny: u64,
}

/// When requests of one key passed: in the last window, ascending, and all of them.
#[derive(Default)]
struct Key {
    recent: VecDeque<u64>,
    all: Vec<u64>,
}

/// The most in any half-open interval of this length.
fn most_within(times: &[u64], length: u64) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while at - times[first] >= length {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as u64
}

impl Passed {
    pub(super) fn new(scale: Scale) -> Self {
        Self {
            scale,
            length: scale.window.saturating_mul(scale.windows),
            keys: HashMap::new(),
            points: vec![0; POINTS],
            admitted: 0,
            refused: 0,
            delayed: 0,
            longest: Duration::ZERO,
            false_allow: 0,
            false_deny: 0,
        }
    }

    /// Counts a request that passed after this delay, or did not pass.
    pub(super) fn note(&mut self, arrival: Arrival, delay: Option<Duration>) {
        let Scale { limit, window, .. } = self.scale;
        let key = self.keys.entry(arrival.key).or_default();
        // It passes when it leaves, and an exact log would be asked then.
        let wait = delay.unwrap_or_default();
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let at = arrival.at.saturating_add(nanos);
        while key
            .recent
            .front()
            .is_some_and(|first| arrival.at.saturating_sub(*first) >= window)
        {
            key.recent.pop_front();
        }
        let until = key.recent.partition_point(|time| *time <= at);
        let gone = key.recent.partition_point(|time| *time + window <= at);
        // What waits has been let through when another one is refused.
        let counted = delay.map_or(key.recent.len(), |_| until);
        let has_room = ((counted - gone) as u64) < limit;
        if delay.is_none() {
            self.refused += 1;
            self.false_deny += u64::from(has_room);
            return;
        }
        self.admitted += 1;
        self.false_allow += u64::from(!has_room);
        self.delayed += u64::from(!wait.is_zero());
        self.longest = self.longest.max(wait);
        // One that did not have to wait, because a store failed, may pass before those that do.
        key.recent.insert(until, at);
        key.all.push(at);
        if at < self.length {
            self.points[point(at, self.length)] += 1;
        }
    }

    /// What came of it, without what it cost.
    pub(super) fn outcome(mut self, limiter: &Limiter) -> Outcome {
        self.keys
            .values_mut()
            .for_each(|key| key.all.sort_unstable());
        let worst = |length| {
            let keys = self.keys.values();
            keys.map(|key| most_within(&key.all, length))
                .max()
                .unwrap_or(0)
        };
        let window = self.scale.window;
        Outcome {
            algorithm: limiter.kind().name(),
            on_store_failure: None,
            admitted: self.admitted,
            refused: self.refused,
            delayed: self.delayed,
            longest_delay_ms: u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX),
            worst_window: worst(window),
            worst_tenth: worst(window / 10),
            false_allow: self.false_allow,
            false_deny: self.false_deny,
            bytes_per_key: 0,
            redis_commands: 0,
            passed: self.points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_half_open() {
        assert_eq!(most_within(&[], 10), 0);
        assert_eq!(most_within(&[0, 0, 10, 19, 20], 10), 2);
        assert_eq!(most_within(&[0, 1, 9, 10], 10), 3);
    }
}

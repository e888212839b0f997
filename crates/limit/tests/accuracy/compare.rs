//! An approximating limiter beside the exact log, on a virtual clock.

use std::ops::AddAssign;
use std::time::Duration;

use tollgate_limit::{Algorithm, MAX_LIMIT, Moment, Quota, SlidingLog};

use crate::traffic::{Traffic, WINDOWS};
use crate::{LIMIT, WINDOW};

/// What of a request is counted against its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// What was admitted, as all limiters of this crate do.
    Admitted,
    /// Every attempt, as Cloudflare's and Envoy's do: who keeps asking keeps being refused.
    Attempts,
}

/// The errors of one trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errors {
    pub all: Wrong,
    /// Of keys whose mean demand is within 20 % of the limit.
    pub near: Wrong,
    /// Sum of the relative differences of estimate and true count, and how many there are.
    difference: f64,
    differences: u64,
    /// The most that was admitted in any window.
    pub worst_window: u64,
    pub admitted: u64,
    pub admitted_by_log: u64,
}

/// Requests, and those decided otherwise than by an exact log of the same history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wrong {
    pub requests: u64,
    pub false_allow: u64,
    pub false_deny: u64,
    /// Those of them at which the true count was a tenth of the limit and more away from it.
    pub far: u64,
}

impl Wrong {
    fn judge(&mut self, allowed: bool, count: u64) {
        self.requests += 1;
        let right = count < LIMIT;
        self.false_allow += u64::from(allowed && !right);
        self.false_deny += u64::from(!allowed && right);
        self.far += u64::from(allowed != right && count.abs_diff(LIMIT) >= LIMIT / 10);
    }
}

impl AddAssign for Wrong {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.false_allow += other.false_allow;
        self.false_deny += other.false_deny;
        self.far += other.far;
    }
}

impl Errors {
    /// The mean relative difference of the estimated and the true count, at each request that has
    /// others in the window before it.
    pub fn mean_difference(&self) -> f64 {
        self.difference / self.differences.max(1) as f64
    }
}

/// Counts without a limit in reach, so that a count can be read off what remains.
struct Meter<A: Algorithm> {
    limit: A,
    state: A::State,
}

impl<A: Algorithm> Meter<A> {
    fn new(of: impl Fn(Quota) -> A) -> Self {
        let limit = of(Quota::new(MAX_LIMIT, Duration::from_nanos(WINDOW)).unwrap());
        let state = A::State::default();
        Self { limit, state }
    }

    /// The count at `now`, an estimate rounded up.
    fn count(&mut self, now: Moment) -> u64 {
        MAX_LIMIT - self.limit.decide(&mut self.state, now, 0).remaining()
    }

    fn charge(&mut self, now: Moment) {
        assert!(self.limit.decide(&mut self.state, now, 1).allowed());
    }
}

/// Decides the traffic by the limiter that `of` makes and compares each decision with that of an
/// exact log of what the limiter itself has counted.
pub fn compare<A: Algorithm>(
    traffic: &Traffic,
    counting: Counting,
    of: impl Fn(Quota) -> A,
) -> Errors {
    let mut errors = Errors::default();
    for times in &traffic.keys {
        let wrong = compare_key(times, counting, &of, &mut errors);
        errors.all += wrong;
        let demand = times.len() as u64 * 10 / WINDOWS;
        if (8 * LIMIT..=12 * LIMIT).contains(&demand) {
            errors.near += wrong;
        }
    }
    errors
}

fn compare_key<A: Algorithm>(
    times: &[u64],
    counting: Counting,
    of: impl Fn(Quota) -> A,
    errors: &mut Errors,
) -> Wrong {
    let mut wrong = Wrong::default();
    let mut estimate = Meter::new(&of);
    // What the estimate stands for, what was really admitted, and a log that goes its own way.
    let (mut counted, mut passed) = (Meter::new(SlidingLog::new), Meter::new(SlidingLog::new));
    let mut own_way = Meter::new(SlidingLog::new);
    for &time in times {
        let now = Moment::from_nanos(time);
        let (estimated, exact) = (estimate.count(now), counted.count(now));
        let allowed = estimated < LIMIT;
        wrong.judge(allowed, exact);
        if exact > 0 {
            errors.difference += estimated.abs_diff(exact) as f64 / exact as f64;
            errors.differences += 1;
        }
        if allowed || counting == Counting::Attempts {
            estimate.charge(now);
            counted.charge(now);
        }
        if allowed {
            passed.charge(now);
            errors.admitted += 1;
            errors.worst_window = errors.worst_window.max(passed.count(now));
        }
        let allowed_by_log = own_way.count(now) < LIMIT;
        errors.admitted_by_log += u64::from(allowed_by_log);
        if allowed_by_log || counting == Counting::Attempts {
            own_way.charge(now);
        }
    }
    wrong
}

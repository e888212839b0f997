use std::time::Duration;

use crate::{
    Algorithm, Bucket, Decision, FixedWindow, FixedWindowState, Gcra, GcraState, LeakyMeter,
    LeakyMeterState, LeakyQueue, LeakyQueueState, Moment, Quota, QuotaError, Shaped,
    SlidingCounter, SlidingCounterState, SlidingLog, SlidingLogState, TokenBucket,
    TokenBucketState,
};

/// A rate limit of whichever algorithm a policy names: one type for stores and front ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// See [`Gcra`].
    Gcra(Gcra),
    /// See [`TokenBucket`].
    TokenBucket(TokenBucket),
    /// See [`LeakyMeter`].
    LeakyMeter(LeakyMeter),
    /// See [`LeakyQueue`].
    LeakyQueue(LeakyQueue),
    /// See [`FixedWindow`].
    FixedWindow(FixedWindow),
    /// See [`SlidingCounter`].
    SlidingCounter(SlidingCounter),
    /// See [`SlidingLog`].
    SlidingLog(SlidingLog),
}

/// The state of one key under a [`Limiter`].
///
/// A state of one algorithm that meets another, because a policy was changed, counts as a key never
/// seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LimiterState {
    /// A key never seen.
    #[default]
    New,
    /// Under [`Limiter::Gcra`].
    Gcra(GcraState),
    /// Under [`Limiter::TokenBucket`].
    TokenBucket(TokenBucketState),
    /// Under [`Limiter::LeakyMeter`].
    LeakyMeter(LeakyMeterState),
    /// Under [`Limiter::LeakyQueue`].
    LeakyQueue(LeakyQueueState),
    /// Under [`Limiter::FixedWindow`].
    FixedWindow(FixedWindowState),
    /// Under [`Limiter::SlidingCounter`].
    SlidingCounter(SlidingCounterState),
    /// Under [`Limiter::SlidingLog`].
    SlidingLog(Box<SlidingLogState>),
}

/// The algorithms a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlgorithmKind {
    /// `gcra`
    Gcra,
    /// `token_bucket`
    TokenBucket,
    /// `leaky_bucket`: as a meter, which refuses.
    LeakyMeter,
    /// `leaky_queue`: as a queue, which delays.
    LeakyQueue,
    /// `fixed_window`
    FixedWindow,
    /// `sliding_counter`
    SlidingCounter,
    /// `sliding_log`
    SlidingLog,
}

impl AlgorithmKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Gcra,
        Self::TokenBucket,
        Self::LeakyMeter,
        Self::LeakyQueue,
        Self::FixedWindow,
        Self::SlidingCounter,
        Self::SlidingLog,
    ];

    /// As policies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::TokenBucket => "token_bucket",
            Self::LeakyMeter => "leaky_bucket",
            Self::LeakyQueue => "leaky_queue",
            Self::FixedWindow => "fixed_window",
            Self::SlidingCounter => "sliding_counter",
            Self::SlidingLog => "sliding_log",
        }
    }

    /// The algorithm of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it has a depth of its own beside its rate.
    #[must_use]
    pub const fn takes_burst(self) -> bool {
        matches!(
            self,
            Self::Gcra | Self::TokenBucket | Self::LeakyMeter | Self::LeakyQueue
        )
    }
}

impl Limiter {
    /// A limiter of this kind. `burst` is the capacity of buckets, by default the limit of the
    /// quota; windows and logs have none and take no notice of it.
    ///
    /// # Errors
    /// [`QuotaError::Capacity`] or [`QuotaError::Refill`] for a burst out of range.
    pub fn new(kind: AlgorithmKind, quota: Quota, burst: Option<u64>) -> Result<Self, QuotaError> {
        let bucket = || match burst {
            Some(capacity) => quota.with_burst(capacity),
            None => Ok(Bucket::from(quota)),
        };
        Ok(match kind {
            AlgorithmKind::Gcra => Self::Gcra(Gcra::new(bucket()?)),
            AlgorithmKind::TokenBucket => Self::TokenBucket(TokenBucket::new(bucket()?)),
            AlgorithmKind::LeakyMeter => Self::LeakyMeter(LeakyMeter::new(bucket()?)),
            AlgorithmKind::LeakyQueue => Self::LeakyQueue(LeakyQueue::new(bucket()?)),
            AlgorithmKind::FixedWindow => Self::FixedWindow(FixedWindow::new(quota)),
            AlgorithmKind::SlidingCounter => Self::SlidingCounter(SlidingCounter::new(quota)),
            AlgorithmKind::SlidingLog => Self::SlidingLog(SlidingLog::new(quota)),
        })
    }

    /// Which algorithm it is.
    #[must_use]
    pub const fn kind(&self) -> AlgorithmKind {
        match self {
            Self::Gcra(_) => AlgorithmKind::Gcra,
            Self::TokenBucket(_) => AlgorithmKind::TokenBucket,
            Self::LeakyMeter(_) => AlgorithmKind::LeakyMeter,
            Self::LeakyQueue(_) => AlgorithmKind::LeakyQueue,
            Self::FixedWindow(_) => AlgorithmKind::FixedWindow,
            Self::SlidingCounter(_) => AlgorithmKind::SlidingCounter,
            Self::SlidingLog(_) => AlgorithmKind::SlidingLog,
        }
    }

    /// Rate and depth; none if it has no depth of its own.
    #[must_use]
    pub const fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Gcra(limit) => Some(limit.bucket()),
            Self::TokenBucket(limit) => Some(limit.bucket()),
            Self::LeakyMeter(limit) => Some(limit.bucket()),
            Self::LeakyQueue(limit) => Some(limit.bucket()),
            Self::FixedWindow(_) | Self::SlidingCounter(_) | Self::SlidingLog(_) => None,
        }
    }

    /// The rate.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        match self {
            Self::Gcra(limit) => limit.bucket().quota(),
            Self::TokenBucket(limit) => limit.bucket().quota(),
            Self::LeakyMeter(limit) => limit.bucket().quota(),
            Self::LeakyQueue(limit) => limit.bucket().quota(),
            Self::FixedWindow(limit) => limit.quota(),
            Self::SlidingCounter(limit) => limit.quota(),
            Self::SlidingLog(limit) => limit.quota(),
        }
    }

    /// The most that passes at once: the depth, or else the limit of the quota.
    #[must_use]
    pub const fn most(&self) -> u64 {
        match self.bucket() {
            Some(bucket) => bucket.capacity(),
            None => self.quota().limit(),
        }
    }

    /// Decides a request as [`Algorithm::decide`] does, and tells how long to hold it: zero but for
    /// a [`LeakyQueue`].
    pub fn shape(&self, state: &mut LimiterState, now: Moment, cost: u64) -> Shaped {
        let kept = std::mem::take(state);
        let (decision, next) = match self {
            Self::LeakyQueue(queue) => {
                let mut own = match kept {
                    LimiterState::LeakyQueue(own) => own,
                    _ => LeakyQueueState::default(),
                };
                let shaped = queue.shape(&mut own, now, cost);
                *state = LimiterState::LeakyQueue(own);
                return shaped;
            }
            Self::SlidingLog(log) => {
                let mut own = match kept {
                    LimiterState::SlidingLog(own) => own,
                    _ => Box::default(),
                };
                let decision = log.decide(&mut own, now, cost);
                (decision, LimiterState::SlidingLog(own))
            }
            Self::Gcra(limit) => {
                let own = match kept {
                    LimiterState::Gcra(own) => own,
                    _ => GcraState::default(),
                };
                step(limit, own, LimiterState::Gcra, now, cost)
            }
            Self::TokenBucket(limit) => {
                let own = match kept {
                    LimiterState::TokenBucket(own) => own,
                    _ => TokenBucketState::default(),
                };
                step(limit, own, LimiterState::TokenBucket, now, cost)
            }
            Self::LeakyMeter(limit) => {
                let own = match kept {
                    LimiterState::LeakyMeter(own) => own,
                    _ => LeakyMeterState::default(),
                };
                step(limit, own, LimiterState::LeakyMeter, now, cost)
            }
            Self::FixedWindow(limit) => {
                let own = match kept {
                    LimiterState::FixedWindow(own) => own,
                    _ => FixedWindowState::default(),
                };
                step(limit, own, LimiterState::FixedWindow, now, cost)
            }
            Self::SlidingCounter(limit) => {
                let own = match kept {
                    LimiterState::SlidingCounter(own) => own,
                    _ => SlidingCounterState::default(),
                };
                step(limit, own, LimiterState::SlidingCounter, now, cost)
            }
        };
        *state = next;
        Shaped {
            decision,
            delay: Duration::ZERO,
            at: now,
        }
    }

    /// Takes back what was charged and not used, as [`Algorithm::refund`] does. A state of another
    /// algorithm stays as it is.
    pub fn refund(&self, state: &mut LimiterState, now: Moment, cost: u64, since: Moment) {
        match (self, state) {
            (Self::Gcra(limit), LimiterState::Gcra(own)) => limit.refund(own, now, cost, since),
            (Self::TokenBucket(limit), LimiterState::TokenBucket(own)) => {
                limit.refund(own, now, cost, since);
            }
            (Self::LeakyMeter(limit), LimiterState::LeakyMeter(own)) => {
                limit.refund(own, now, cost, since);
            }
            (Self::LeakyQueue(limit), LimiterState::LeakyQueue(own)) => {
                limit.refund(own, now, cost, since);
            }
            (Self::FixedWindow(limit), LimiterState::FixedWindow(own)) => {
                limit.refund(own, now, cost, since);
            }
            (Self::SlidingCounter(limit), LimiterState::SlidingCounter(own)) => {
                limit.refund(own, now, cost, since);
            }
            (Self::SlidingLog(limit), LimiterState::SlidingLog(own)) => {
                limit.refund(own, now, cost, since);
            }
            _ => {}
        }
    }
}

fn step<A: Algorithm>(
    limit: &A,
    mut state: A::State,
    wrap: fn(A::State) -> LimiterState,
    now: Moment,
    cost: u64,
) -> (Decision, LimiterState) {
    let decision = limit.decide(&mut state, now, cost);
    (decision, wrap(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_admits_its_limit_and_has_a_name_of_its_own() {
        for kind in AlgorithmKind::ALL {
            assert_eq!(AlgorithmKind::from_name(kind.name()), Some(kind));
            let limiter = Limiter::new(kind, Quota::per_minute(3).unwrap(), None).unwrap();
            assert_eq!(limiter.kind(), kind);
            let mut state = LimiterState::default();
            let now = Moment::from_nanos(1);
            let admitted = (0..9)
                .filter(|_| limiter.shape(&mut state, now, 1).decision.allowed())
                .count();
            assert_eq!(admitted, 3, "{kind:?}");
        }
    }

    #[test]
    fn a_changed_algorithm_begins_anew() {
        let quota = Quota::per_minute(1).unwrap();
        let mut state = LimiterState::default();
        for kind in AlgorithmKind::ALL {
            let limiter = Limiter::new(kind, quota, None).unwrap();
            assert!(
                limiter
                    .shape(&mut state, Moment::ORIGIN, 1)
                    .decision
                    .allowed()
            );
            assert!(
                !limiter
                    .shape(&mut state, Moment::ORIGIN, 1)
                    .decision
                    .allowed()
            );
        }
    }

    #[test]
    fn only_a_queue_delays() {
        for kind in AlgorithmKind::ALL {
            let limiter = Limiter::new(kind, Quota::per_second(2).unwrap(), None).unwrap();
            let mut state = LimiterState::default();
            let delay = |state: &mut _| limiter.shape(state, Moment::ORIGIN, 1).delay;
            assert_eq!(delay(&mut state), Duration::ZERO);
            let second = delay(&mut state);
            assert_eq!(second.is_zero(), kind != AlgorithmKind::LeakyQueue);
        }
    }

    #[test]
    fn a_state_takes_32_bytes() {
        assert_eq!(size_of::<LimiterState>(), 32);
    }
}

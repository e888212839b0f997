use std::time::Duration;

use crate::bucket::ExactMoment;
use crate::moment::{duration, nanos};
use crate::{Algorithm, Bucket, Decision, MAX_REFILL, Moment, QuotaError, Verdict};

/// Leaky bucket as a queue: requests leave evenly spaced at the rate, each told how long it has to
/// wait; one that finds no place is refused.
///
/// - **Formula**: a request leaves at `start = max(now, free)`, where `free` is the time at which
///   the one before it has been served, and occupies the server for `cost × window / limit`. It is
///   allowed if the work waiting, its own included, is at most `capacity`, and its delay
///   `start - now` is at most `max_delay`.
/// - **Bound**: a burst leaves no faster than the rate: departures in any interval of length `t`
///   are at most `limit × t / window` plus the cost of one request. Arrivals admitted in it are at
///   most `capacity + limit × t / window`. The delay is at most `capacity × window / limit`, and
///   `max_delay` if that is less.
/// - **Who leaves** before its turn frees its place for later arrivals; those behind it keep the
///   times they were told. So a later arrival may leave together with one of them. Without those who
///   left, admissions in any interval are above their bound by no more than the cost of the places
///   given back in it; departures, by no more than that of the places given back since the first of
///   them came. The delay is bounded as before.
/// - **Memory per key**: 16 bytes: places in the queue are time, not entries.
/// - **Source**: A. S. Tanenbaum, Computer Networks, "leaky bucket"; nginx `limit_req` with
///   `burst` is its best known form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakyQueue {
    bucket: Bucket,
    max_delay: u64,
}

/// The state of one key under a [`LeakyQueue`]: when the server is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeakyQueueState {
    free: ExactMoment,
}

/// The answer of a [`LeakyQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Shaped {
    /// Whether the request has a place in the queue.
    pub decision: Decision,
    /// How long to hold the request before it leaves: rounded up to a nanosecond. Zero if it has
    /// no place; for a peek, the delay that a request would have.
    pub delay: Duration,
    /// The moment at which it was decided, by the clock of whoever decided.
    pub at: Moment,
}

impl Shaped {
    /// From when on the cost counts, if the request was charged: when it was decided or, in a queue,
    /// when its turn comes. What a refund has to know.
    #[must_use]
    pub fn charged(&self) -> Moment {
        self.at.plus(self.delay)
    }
}

impl LeakyQueue {
    /// A queue that serves at the rate of the bucket and has room for its capacity, the request
    /// being served included.
    pub fn new(bucket: impl Into<Bucket>) -> Self {
        Self {
            bucket: bucket.into(),
            max_delay: nanos(MAX_REFILL),
        }
    }

    /// Refuses what would wait longer than `max_delay`, though there may be room.
    ///
    /// # Errors
    /// [`QuotaError::Delay`] above [`MAX_REFILL`].
    pub fn with_max_delay(self, max_delay: Duration) -> Result<Self, QuotaError> {
        if max_delay > MAX_REFILL {
            return Err(QuotaError::Delay(max_delay));
        }
        Ok(Self {
            max_delay: nanos(max_delay),
            ..self
        })
    }

    /// As patient, of another rate and depth.
    pub(crate) const fn of(self, bucket: Bucket) -> Self {
        Self { bucket, ..self }
    }

    /// Its rate and depth.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// The longest that a request waits.
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        Duration::from_nanos(self.max_delay)
    }

    /// Decides a request as [`Algorithm::decide`] does and tells how long to hold it.
    pub fn shape(&self, state: &mut LeakyQueueState, now: Moment, cost: u64) -> Shaped {
        let waiting = self.bucket.until_empty(state.free, now);
        let patience = u128::from(self.max_delay) * self.bucket.drain();
        let too_slow = self.bucket.drain_time(waiting.0.saturating_sub(patience));
        let (offered, after) = self.bucket.offer(waiting, cost);
        let verdict = match offered.verdict() {
            Verdict::Allowed if cost > 0 && too_slow > 0 => Verdict::RetryAfter(duration(too_slow)),
            Verdict::RetryAfter(room) => Verdict::RetryAfter(room.max(duration(too_slow))),
            verdict => verdict,
        };
        let allowed = verdict == Verdict::Allowed;
        let after = if allowed { after } else { waiting };
        if after != waiting {
            state.free = self.bucket.empty_at(now, after);
        }
        // Nothing more passes until the queue is short enough.
        let taken = if after.0 > patience {
            self.bucket.full()
        } else {
            after
        };
        let reset_after = Bucket::empty_after(state.free, now);
        Shaped {
            decision: self.bucket.decision(verdict, taken, reset_after),
            delay: if allowed {
                duration(self.bucket.drain_time(waiting.0))
            } else {
                Duration::ZERO
            },
            at: now,
        }
    }
}

impl LeakyQueueState {
    pub(crate) const fn words(self) -> [u64; 3] {
        let [nanos, fraction] = self.free.words();
        [nanos, fraction, 0]
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> Self {
        Self {
            free: ExactMoment::from_words([words[0], words[1]]),
        }
    }
}

impl Algorithm for LeakyQueue {
    type State = LeakyQueueState;

    fn limit(&self) -> u64 {
        self.bucket.capacity()
    }

    fn decide(&self, state: &mut LeakyQueueState, now: Moment, cost: u64) -> Decision {
        self.shape(state, now, cost).decision
    }

    /// `since` is when the turn of the request comes: [`Shaped::charged`]. Until then its whole
    /// place is given back.
    fn refund(&self, state: &mut LeakyQueueState, now: Moment, cost: u64, since: Moment) {
        let waiting = self.bucket.until_empty(state.free, now);
        let after = self.bucket.refunded(waiting, now, cost, since);
        if after != waiting {
            state.free = self.bucket.empty_at(now, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    fn delays(limit: &LeakyQueue, key: &mut LeakyQueueState, now: Moment, n: usize) -> Vec<u128> {
        (0..n)
            .map(|_| limit.shape(key, now, 1))
            .take_while(|shaped| shaped.decision.allowed())
            .map(|shaped| shaped.delay.as_millis())
            .collect()
    }

    #[test]
    fn a_burst_leaves_evenly_spaced_until_the_queue_is_full() {
        let limit = LeakyQueue::new(Quota::per_second(10).unwrap().with_burst(4).unwrap());
        let mut key = LeakyQueueState::default();
        let start = Moment::from_nanos(1_000_000_000);
        assert_eq!(delays(&limit, &mut key, start, 9), [0, 100, 200, 300]);
        let refused = limit.shape(&mut key, start, 1);
        assert_eq!(refused.delay, Duration::ZERO);
        assert_eq!(
            refused.decision.retry_after(),
            Some(Duration::from_millis(100))
        );
        // Half a slot later one place is not free yet, a whole slot later it is.
        let half = start.plus(Duration::from_millis(50));
        assert_eq!(delays(&limit, &mut key, half, 9), [0_u128; 0]);
        let slot = start.plus(Duration::from_millis(100));
        assert_eq!(delays(&limit, &mut key, slot, 9), [300]);
    }

    #[test]
    fn patience_ends_before_the_room_does() {
        let limit = LeakyQueue::new(Quota::per_second(10).unwrap())
            .with_max_delay(Duration::from_millis(150))
            .unwrap();
        let mut key = LeakyQueueState::default();
        assert_eq!(delays(&limit, &mut key, Moment::ORIGIN, 9), [0, 100]);
        let refused = limit.shape(&mut key, Moment::ORIGIN, 1).decision;
        assert_eq!(refused.remaining(), 0);
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(50)));
        let peek = limit.shape(&mut key, Moment::ORIGIN, 0);
        assert!(peek.decision.allowed());
        assert_eq!(peek.delay, Duration::from_millis(200));
    }

    #[test]
    fn an_endless_patience_is_refused() {
        let limit = LeakyQueue::new(Quota::per_second(1).unwrap());
        let over = MAX_REFILL + Duration::from_nanos(1);
        assert_eq!(limit.with_max_delay(over), Err(QuotaError::Delay(over)));
    }

    #[test]
    fn a_key_takes_16_bytes() {
        assert_eq!(size_of::<LeakyQueueState>(), 16);
    }
}

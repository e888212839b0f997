//! A circuit breaker around a store: see [`Guarded`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_clock::Clock;

use super::{Charge, LimitStore, Refund, StoreError};
use crate::Shaped;

/// Nobody needs to read the same mistake at every request.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// When a [`Guarded`] gives up on its store, and when it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardOptions {
    /// So many failures in a row, and the store counts as away.
    pub failures: u32,
    /// How long until one decision tries it again.
    pub pause: Duration,
}

impl Default for GuardOptions {
    /// Five failures, and a try every 250 ms.
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_millis(250),
        }
    }
}

/// Whether a [`Guarded`] asks its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It does.
    Closed,
    /// One decision is trying whether the store is back.
    HalfOpen,
    /// It does not: the store is away.
    Open,
}

/// What has become of the decisions of a [`Guarded`] since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStats {
    /// Where it is.
    pub state: BreakerState,
    /// How often the store was found to be away.
    pub opened: u64,
    /// How often it was found to be back.
    pub closed: u64,
    /// Decisions that tried whether it is.
    pub probes: u64,
    /// Decisions that failed because the store could not be reached or took too long.
    pub unavailable: u64,
    /// Decisions that failed at once, without asking.
    pub refused: u64,
    /// Decisions that failed though the store answered.
    pub failed: u64,
}

/// A store that is not asked while it is away.
///
/// After some failures in a row every decision fails at once, but for one at a time, after each
/// pause, which tries whether the store is back. If it is, all go on as before. Only
/// [`StoreError::Unavailable`] counts as a failure: a store that answers is there.
pub struct Guarded<S> {
    store: S,
    options: GuardOptions,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    opened: AtomicU64,
    closed: AtomicU64,
    probes: AtomicU64,
    unavailable: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// When the log last told of a failure though the store answered.
    told: Mutex<Option<Duration>>,
}

#[derive(Debug, Clone, Copy)]
enum Breaker {
    Closed {
        failures: u32,
    },
    /// Until when, by the monotonic clock.
    Open {
        until: Duration,
    },
    HalfOpen,
}

/// A decision that is let through.
struct Passage<'a, S> {
    guarded: &'a Guarded<S>,
    probes: bool,
    ended: bool,
}

impl<S> Guarded<S> {
    /// Guards `store`.
    pub fn new(store: S, options: GuardOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            options,
            clock,
            breaker: Mutex::new(Breaker::Closed { failures: 0 }),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            told: Mutex::new(None),
        }
    }

    /// What it guards.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Where it is, and what has become of its decisions.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        let state = match *self.breaker.lock() {
            Breaker::Closed { .. } => BreakerState::Closed,
            Breaker::HalfOpen => BreakerState::HalfOpen,
            Breaker::Open { .. } => BreakerState::Open,
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BreakerStats {
            state,
            opened: read(&self.opened),
            closed: read(&self.closed),
            probes: read(&self.probes),
            unavailable: read(&self.unavailable),
            refused: read(&self.refused),
            failed: read(&self.failed),
        }
    }

    /// Whether a decision may ask the store.
    fn pass(&self) -> Option<Passage<'_, S>> {
        let mut breaker = self.breaker.lock();
        let probes = match *breaker {
            Breaker::Closed { .. } => false,
            Breaker::Open { until } if self.clock.monotonic() >= until => {
                *breaker = Breaker::HalfOpen;
                true
            }
            Breaker::Open { .. } | Breaker::HalfOpen => return None,
        };
        drop(breaker);
        if probes {
            count(&self.probes);
            tracing::debug!("trying whether the store of limits is back");
        }
        Some(Passage {
            guarded: self,
            probes,
            ended: false,
        })
    }

    /// Asks the store, if it is not away.
    async fn through<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(passage) = self.pass() else {
            count(&self.refused);
            let message = "it was away a moment ago".to_owned();
            return Err(StoreError::Unavailable(message));
        };
        let outcome = asked.await;
        passage.end(outcome.as_ref().map(|_| ()));
        outcome
    }

    fn succeeded(&self, probed: bool) {
        let mut breaker = self.breaker.lock();
        match *breaker {
            Breaker::Closed { ref mut failures } => *failures = 0,
            Breaker::HalfOpen if probed => {
                *breaker = Breaker::Closed { failures: 0 };
                drop(breaker);
                count(&self.closed);
                tracing::info!("the store of limits is back");
            }
            // The answer to a question from before.
            Breaker::Open { .. } | Breaker::HalfOpen => {}
        }
    }

    /// The store answered, but could not decide this.
    fn answered_wrong(&self, error: &StoreError) {
        count(&self.failed);
        let now = self.clock.monotonic();
        let mut told = self.told.lock();
        if told.is_none_or(|then| now.saturating_sub(then) >= BETWEEN_WARNINGS) {
            *told = Some(now);
            drop(told);
            tracing::warn!(%error, "a request was not decided by the store of limits");
        }
    }

    fn failed(&self, probed: bool, error: &StoreError) {
        count(&self.unavailable);
        let until = self.clock.monotonic().saturating_add(self.options.pause);
        let mut breaker = self.breaker.lock();
        match *breaker {
            Breaker::Closed { failures } if failures + 1 < self.options.failures => {
                *breaker = Breaker::Closed {
                    failures: failures + 1,
                };
            }
            Breaker::Closed { .. } => {
                *breaker = Breaker::Open { until };
                drop(breaker);
                count(&self.opened);
                tracing::warn!(%error, "the store of limits is away, and not asked until it is back");
            }
            Breaker::HalfOpen if probed => *breaker = Breaker::Open { until },
            Breaker::Open { .. } | Breaker::HalfOpen => {}
        }
    }
}

impl<S> Passage<'_, S> {
    fn end(mut self, outcome: Result<(), &StoreError>) {
        self.ended = true;
        match outcome {
            Err(error @ StoreError::Unavailable(_)) => self.guarded.failed(self.probes, error),
            Ok(()) => self.guarded.succeeded(self.probes),
            Err(error @ StoreError::Failed(_)) => {
                self.guarded.answered_wrong(error);
                self.guarded.succeeded(self.probes);
            }
        }
    }
}

impl<S> Drop for Passage<'_, S> {
    /// Whoever waited for the decision went away: it is up to the next one to try.
    fn drop(&mut self) {
        if self.probes && !self.ended {
            let until = self.guarded.clock.monotonic();
            *self.guarded.breaker.lock() = Breaker::Open { until };
        }
    }
}

#[async_trait]
impl<S: LimitStore> LimitStore for Guarded<S> {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.through(self.store.decide(charges)).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.through(self.store.refund(refunds)).await
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl<S: fmt::Debug> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("store", &self.store)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

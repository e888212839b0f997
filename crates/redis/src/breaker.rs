//! A circuit breaker: see [`Breaker`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::Clock;

use crate::AskError;

/// Nobody needs to read the same mistake at every request.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// When a [`Breaker`] opens, and when it lets somebody try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures in a row, and what is guarded counts as away.
    pub failures: u32,
    /// How long until one call tries it again.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    /// Five failures, and a try every 250 ms.
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_millis(250),
        }
    }
}

/// Whether a [`Breaker`] lets calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It does.
    Closed,
    /// One call is trying whether what is guarded is back.
    HalfOpen,
    /// It does not: what is guarded is away.
    Open,
}

/// What has become of the calls behind a [`Breaker`] since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStats {
    /// Where it is.
    pub state: BreakerState,
    /// How often what is guarded was found to be away.
    pub opened: u64,
    /// How often it was found to be back.
    pub closed: u64,
    /// Calls that tried whether it is.
    pub probes: u64,
    /// Calls that failed because it could not be reached or took too long.
    pub unavailable: u64,
    /// Calls that failed at once, without asking.
    pub refused: u64,
    /// Calls that failed though it answered.
    pub failed: u64,
}

/// Keeps calls from what is away.
///
/// After some failures in a row every call is refused at once, but for one at a time, after each
/// pause, which tries whether it is back. If it is, all go on as before. Only what could not be reached
/// counts as a failure: who answers is there.
pub struct Breaker {
    what: &'static str,
    options: BreakerOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    opened: AtomicU64,
    closed: AtomicU64,
    probes: AtomicU64,
    unavailable: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// When the log last told of a failure though there was an answer.
    told: Mutex<Option<Duration>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    /// Until when, by the monotonic clock.
    Open {
        until: Duration,
    },
    HalfOpen,
}

/// A call that is let through. If it is dropped without its outcome, whoever waited for it has left.
struct Passage<'a> {
    breaker: &'a Breaker,
    probes: bool,
    ended: bool,
}

impl Breaker {
    /// A closed one; `what` it guards is named in the log.
    pub fn new(what: &'static str, options: BreakerOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            what,
            options,
            clock,
            state: Mutex::new(State::Closed { failures: 0 }),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            told: Mutex::new(None),
        }
    }

    /// Where it is, and what has become of its calls.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        let state = match *self.state.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
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

    /// Makes this call, unless what is guarded is away. `is_away` tells by which errors the call finds that
    /// it is.
    ///
    /// # Errors
    /// Those of the call; [`AskError::Unavailable`] if it is not made.
    pub async fn through<T, E: fmt::Display + From<AskError>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        is_away: fn(&E) -> bool,
    ) -> Result<T, E> {
        let Some(passage) = self.pass() else {
            let message = "it was away a moment ago".to_owned();
            return Err(AskError::Unavailable(message).into());
        };
        let outcome = call.await;
        match &outcome {
            Ok(_) => passage.succeeded(),
            Err(error) if is_away(error) => passage.unavailable(error),
            Err(error) => passage.failed(error),
        }
        outcome
    }

    /// Whether a call may be made; refused ones are counted.
    fn pass(&self) -> Option<Passage<'_>> {
        let mut breaker = self.state.lock();
        let probes = match *breaker {
            State::Closed { .. } => false,
            State::Open { until } if self.clock.monotonic() >= until => {
                *breaker = State::HalfOpen;
                true
            }
            State::Open { .. } | State::HalfOpen => {
                count(&self.refused);
                return None;
            }
        };
        drop(breaker);
        if probes {
            count(&self.probes);
            tracing::debug!("trying whether {} is back", self.what);
        }
        Some(Passage {
            breaker: self,
            probes,
            ended: false,
        })
    }

    fn succeeded(&self, probed: bool) {
        let mut breaker = self.state.lock();
        match *breaker {
            State::Closed { ref mut failures } => *failures = 0,
            State::HalfOpen if probed => {
                *breaker = State::Closed { failures: 0 };
                drop(breaker);
                count(&self.closed);
                tracing::info!("{} is back", self.what);
            }
            // The answer to a question from before.
            State::Open { .. } | State::HalfOpen => {}
        }
    }

    /// It answered, but could not do this.
    fn answered_wrong(&self, error: &dyn fmt::Display) {
        count(&self.failed);
        let now = self.clock.monotonic();
        let mut told = self.told.lock();
        if told.is_none_or(|then| now.saturating_sub(then) >= BETWEEN_WARNINGS) {
            *told = Some(now);
            drop(told);
            tracing::warn!(%error, "{} answered with an error", self.what);
        }
    }

    fn failed(&self, probed: bool, error: &dyn fmt::Display) {
        count(&self.unavailable);
        let until = self.clock.monotonic().saturating_add(self.options.pause);
        let mut breaker = self.state.lock();
        match *breaker {
            State::Closed { failures } if failures + 1 < self.options.failures => {
                *breaker = State::Closed {
                    failures: failures + 1,
                };
            }
            State::Closed { .. } => {
                *breaker = State::Open { until };
                drop(breaker);
                count(&self.opened);
                let what = self.what;
                tracing::warn!(%error, "{what} is away, and not asked until it is back");
            }
            State::HalfOpen if probed => *breaker = State::Open { until },
            State::Open { .. } | State::HalfOpen => {}
        }
    }
}

impl Passage<'_> {
    /// There was an answer.
    fn succeeded(mut self) {
        self.ended = true;
        self.breaker.succeeded(self.probes);
    }

    /// There was an answer, but an error: it is told in the log, now and then.
    fn failed(mut self, error: &dyn fmt::Display) {
        self.ended = true;
        self.breaker.answered_wrong(error);
        self.breaker.succeeded(self.probes);
    }

    /// It could not be reached, or not in time.
    fn unavailable(mut self, error: &dyn fmt::Display) {
        self.ended = true;
        self.breaker.failed(self.probes, error);
    }
}

impl Drop for Passage<'_> {
    /// Whoever waited for the answer went away: it is up to the next one to try.
    fn drop(&mut self) {
        if self.probes && !self.ended {
            let until = self.breaker.clock.monotonic();
            *self.breaker.state.lock() = State::Open { until };
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("what", &self.what)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

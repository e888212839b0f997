//! A circuit breaker: see [`Breaker`].

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::Clock;

use crate::AskError;

/// A part that nobody has asked for so long after it could be tried again is asked no more: another one has taken its
/// place.
const GIVEN_UP: Duration = Duration::from_secs(30);
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

/// Whether a [`Breaker`] lets calls pass; from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A part of what is guarded that may be away while the others are not, as one server of a cluster. The default one is
/// where there are no parts, or nobody knows which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Part(u64);

impl Part {
    /// The part of this name. Two of them may be the same, but hardly ever are.
    pub fn of(name: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Keeps calls from what is away.
///
/// After some failures of a part in a row every call to it is refused at once, but for one at a time, after each
/// pause, which tries whether it is back. If it is, all go on as before. Only what could not be reached
/// counts as a failure: who answers is there.
pub struct Breaker {
    what: &'static str,
    options: BreakerOptions,
    clock: Arc<dyn Clock>,
    /// Of the parts that failed lately; all others are as they should be.
    states: Mutex<Vec<(Part, State)>>,
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
    part: Part,
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
            states: Mutex::new(Vec::new()),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            told: Mutex::new(None),
        }
    }

    /// Where it is, for the part that is worst, and what has become of its calls.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        let mut states = self.states.lock();
        self.forget_replaced(&mut states);
        let state = states.iter().map(|(_, state)| match state {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        });
        let state = state.max().unwrap_or(BreakerState::Closed);
        drop(states);
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

    /// Makes this call to a part, unless that is away. `is_away` tells by which errors the call finds that
    /// it is.
    ///
    /// # Errors
    /// Those of the call; [`AskError::Unavailable`] if it is not made.
    pub async fn through<T, E: fmt::Display + From<AskError>>(
        &self,
        part: Part,
        call: impl Future<Output = Result<T, E>>,
        is_away: fn(&E) -> bool,
    ) -> Result<T, E> {
        let Some(passage) = self.pass(part) else {
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
    fn pass(&self, part: Part) -> Option<Passage<'_>> {
        let mut states = self.states.lock();
        let probes = match of(&mut states, part) {
            None | Some(State::Closed { .. }) => false,
            Some(state) => match *state {
                State::Open { until } if self.clock.monotonic() >= until => {
                    *state = State::HalfOpen;
                    true
                }
                _ => {
                    count(&self.refused);
                    return None;
                }
            },
        };
        drop(states);
        if probes {
            count(&self.probes);
            tracing::debug!("trying whether {} is back", self.what);
        }
        Some(Passage {
            breaker: self,
            part,
            probes,
            ended: false,
        })
    }

    fn succeeded(&self, part: Part, probed: bool) {
        let mut states = self.states.lock();
        let is_back = match of(&mut states, part) {
            None => return,
            Some(State::Closed { .. }) => false,
            Some(State::HalfOpen) if probed => true,
            // The answer to a question from before.
            Some(State::Open { .. } | State::HalfOpen) => return,
        };
        states.retain(|(one, _)| *one != part);
        drop(states);
        if is_back {
            count(&self.closed);
            tracing::info!("{} is back", self.what);
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

    fn failed(&self, part: Part, probed: bool, error: &dyn fmt::Display) {
        count(&self.unavailable);
        let until = self.clock.monotonic().saturating_add(self.options.pause);
        let mut states = self.states.lock();
        self.forget_replaced(&mut states);
        if of(&mut states, part).is_none() {
            states.push((part, State::Closed { failures: 0 }));
        }
        let Some(state) = of(&mut states, part) else {
            return;
        };
        match *state {
            State::Closed { failures } if failures + 1 < self.options.failures => {
                *state = State::Closed {
                    failures: failures + 1,
                };
            }
            State::Closed { .. } => {
                *state = State::Open { until };
                drop(states);
                count(&self.opened);
                let what = self.what;
                tracing::warn!(%error, "{what} is away, and not asked until it is back");
            }
            State::HalfOpen if probed => *state = State::Open { until },
            State::Open { .. } | State::HalfOpen => {}
        }
    }

    /// Parts come and go; of what has none it is known for ever that it is away.
    fn forget_replaced(&self, states: &mut Vec<(Part, State)>) {
        let now = self.clock.monotonic();
        states.retain(|(part, state)| match state {
            State::Open { until } if *part != Part::default() => {
                now.saturating_sub(*until) < GIVEN_UP
            }
            _ => true,
        });
    }
}

impl Passage<'_> {
    /// There was an answer.
    fn succeeded(mut self) {
        self.ended = true;
        self.breaker.succeeded(self.part, self.probes);
    }

    /// There was an answer, but an error: it is told in the log, now and then.
    fn failed(mut self, error: &dyn fmt::Display) {
        self.ended = true;
        self.breaker.answered_wrong(error);
        self.breaker.succeeded(self.part, self.probes);
    }

    /// It could not be reached, or not in time.
    fn unavailable(mut self, error: &dyn fmt::Display) {
        self.ended = true;
        self.breaker.failed(self.part, self.probes, error);
    }
}

impl Drop for Passage<'_> {
    /// Whoever waited for the answer went away: it is up to the next one to try.
    fn drop(&mut self) {
        if self.probes && !self.ended {
            let until = self.breaker.clock.monotonic();
            if let Some(state) = of(&mut self.breaker.states.lock(), self.part) {
                *state = State::Open { until };
            }
        }
    }
}

/// Few parts fail at a time.
fn of(states: &mut [(Part, State)], part: Part) -> Option<&mut State> {
    let found = states.iter_mut().find(|(one, _)| *one == part);
    found.map(|(_, state)| state)
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

//! Requests that are held, each until its turn. One that leaves gives its turn to the one behind it, and
//! so on, and the last turn back: so those who stay go evenly spaced, and nobody waits for a turn that
//! no one takes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{CheckAnswer, LimitService, QueueId, Receipt};

/// All that are held.
#[derive(Default)]
pub(super) struct Queues(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// How many have come: each gets its number.
    come: u64,
    /// In the order of their turns.
    lines: HashMap<Line, Vec<Waiter>>,
}

/// Those that can trade their turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Line {
    Of(QueueId),
    /// A request that waits in several queues trades with nobody.
    Alone(u64),
}

struct Waiter {
    number: u64,
    turn: Instant,
    receipt: Receipt,
    /// Its turn has come nearer.
    moved: Arc<Notify>,
}

/// A request that is held, by [`LimitService::hold`].
///
/// If this is dropped before its turn, because the client went away, those behind it in its queue move
/// up, and the last place is given back.
pub struct Place {
    service: Arc<LimitService>,
    line: Line,
    number: u64,
    moved: Arc<Notify>,
}

impl Queues {
    fn join(&self, receipt: Receipt, turn: Instant) -> (Line, u64, Arc<Notify>) {
        let mut held = self.0.lock();
        let number = held.come;
        held.come += 1;
        let line = receipt.queue().map_or(Line::Alone(number), Line::Of);
        let moved = Arc::new(Notify::new());
        let waiters = held.lines.entry(line.clone()).or_default();
        let at = waiters.partition_point(|waiter| waiter.turn <= turn);
        let waiter = Waiter {
            number,
            turn,
            receipt,
            moved: Arc::clone(&moved),
        };
        waiters.insert(at, waiter);
        (line, number, moved)
    }
}

impl LimitService {
    /// A place for a request that was told to wait; none if it may go at once. It takes the receipt out
    /// of the answer.
    ///
    /// With the feature `hold`.
    #[must_use]
    pub fn hold(self: &Arc<Self>, answer: &mut CheckAnswer) -> Option<Place> {
        if answer.delay.is_zero() {
            return None;
        }
        let receipt = std::mem::take(&mut answer.receipt);
        let turn = Instant::now() + answer.delay;
        let (line, number, moved) = self.queues.join(receipt, turn);
        Some(Place {
            service: Arc::clone(self),
            line,
            number,
            moved,
        })
    }
}

impl Held {
    fn turn(&self, line: &Line, number: u64) -> Option<Instant> {
        let waiters = self.lines.get(line)?;
        let waiter = waiters.iter().find(|waiter| waiter.number == number)?;
        Some(waiter.turn)
    }

    /// Takes a request out, whose turn has come.
    fn take(&mut self, line: &Line, number: u64) -> Option<Waiter> {
        let waiters = self.lines.get_mut(line)?;
        let at = waiters.iter().position(|waiter| waiter.number == number)?;
        let waiter = waiters.remove(at);
        if waiters.is_empty() {
            self.lines.remove(line);
        }
        Some(waiter)
    }

    /// Takes a request out whose turn has not come. Those behind it move up, and what is to be
    /// given back is the turn of the last one.
    fn leave(&mut self, line: &Line, number: u64) -> Option<Receipt> {
        let waiters = self.lines.get_mut(line)?;
        let at = waiters.iter().position(|waiter| waiter.number == number)?;
        if let [leaving, behind @ ..] = &mut waiters[at..] {
            for next in behind {
                std::mem::swap(&mut leaving.turn, &mut next.turn);
                leaving.receipt.trade_turns(&mut next.receipt);
                next.moved.notify_one();
            }
        }
        Some(self.take(line, number)?.receipt)
    }
}

impl Place {
    /// Waits until the request may go. It stays charged then.
    ///
    /// It needs the runtime of tokio with its timer.
    pub async fn wait(self) {
        let queues = &self.service.queues.0;
        loop {
            let turn = queues.lock().turn(&self.line, self.number);
            let Some(turn) = turn else { return };
            tokio::select! {
                () = tokio::time::sleep_until(turn) => break,
                () = self.moved.notified() => {}
            }
        }
        queues.lock().take(&self.line, self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing, if it has gone.
        let left = self.service.queues.0.lock().leave(&self.line, self.number);
        let Some(receipt) = left else { return };
        let service = Arc::clone(&self.service);
        // The store may be far away, and nobody is left to wait for it. Without a runtime, this
        // process is about to end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { service.refund(receipt).await });
        }
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("line", &self.line)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::policy::{Descriptor, PolicySet};
    use crate::service::CheckRequest;
    use crate::store::{MemoryOptions, MemoryStore};
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tollgate_clock::{ManualClock, UnixMillis};

    use super::*;

    const POLICIES: &str = "\
domain: d
descriptors:
  - key: path
    rate_limit: {unit: second, requests_per_unit: 10, on_exceed: queue}
";

    fn service() -> Arc<LimitService> {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
        let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(1), clock));
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        Arc::new(LimitService::new(policies, store.clone(), store))
    }

    fn ask(service: &LimitService, path: &str) -> CheckAnswer {
        let request = CheckRequest {
            domain: "d".to_owned(),
            descriptors: vec![Descriptor::of([("path", path)])],
            hits: 1,
        };
        // The store in memory waits for nothing.
        service.check(&request).now_or_never().unwrap().unwrap()
    }

    /// The time stands still but for what is waited for.
    #[tokio::test(start_paused = true)]
    async fn those_behind_move_up_and_the_last_turn_is_given_back() {
        let service = service();
        let start = Instant::now();
        let held = |path: &str, wanted: u128| {
            let mut answer = ask(&service, path);
            assert_eq!(answer.delay.as_millis(), wanted, "{path}");
            service.hold(&mut answer).unwrap()
        };
        for path in ["a", "b"] {
            assert!(service.hold(&mut ask(&service, path)).is_none(), "{path}");
        }
        let [first, second, third, fourth] = [100, 200, 300, 400].map(|told| held("a", told));
        let other = held("b", 100);
        async fn when(place: Place, start: Instant) -> (u64, u128) {
            let number = place.number;
            place.wait().await;
            (number, start.elapsed().as_millis())
        }
        let going = [first, third, fourth, other].map(|place| when(place, start));
        let (gone, ()) = tokio::join!(join_all(going), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(second);
            // The place is given back by a task.
            tokio::time::sleep(Duration::from_millis(1)).await;
            // For the store it is still the beginning.
            assert_eq!(ask(&service, "a").delay.as_millis(), 400);
        });
        // Timers round up to a millisecond.
        let gone: Vec<_> = gone.into_iter().map(|(n, at)| (n, at / 10 * 10)).collect();
        assert_eq!(gone, [(0, 100), (2, 200), (3, 300), (4, 100)]);
        assert!(service.queues.0.lock().lines.is_empty());
    }
}

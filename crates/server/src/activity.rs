//! What a connection is doing, to close those that do nothing.
//!
//! hyper can bound the time for a request's head, but allocates and arms a timer for each request,
//! and has one bound for slow heads and idle connections. Here a request only writes down the time
//! it is measured with anyway; one timer a connection looks at it when it might be due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::epoch::{Epoch, NEVER};

/// Written and read by the tasks of one connection, which all run on one thread.
#[derive(Debug)]
pub(crate) struct Activity {
    epoch: Epoch,
    /// Nanoseconds after `epoch`, as all times here.
    last_read: AtomicU64,
    /// [`NEVER`] while no part of a request's head has come yet.
    head_since: AtomicU64,
    idle_since: AtomicU64,
    in_flight: AtomicU32,
    multiplexed: AtomicBool,
}

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
}

/// Until when a connection may go on like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The head that has begun has to be complete by then.
    Head(Instant),
    /// Something has to begin by then.
    Idle(Instant),
    /// Requests are being answered, which has bounds of its own.
    Busy,
}

impl Activity {
    /// A connection that was just accepted: its first head is awaited.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            epoch: Epoch(now),
            last_read: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    /// HTTP/2 it is: what comes need not be a head, so that only idleness is watched.
    pub(crate) fn multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    /// Whether it is HTTP/2.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Bytes have come.
    pub(crate) fn bytes_read(&self, now: Instant) {
        let now = self.epoch.nanos(now);
        self.last_read.store(now, Relaxed);
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER {
            self.head_since.store(now, Relaxed);
        }
    }

    /// When bytes came last: where the time of a request begins.
    pub(crate) fn last_read(&self) -> Instant {
        self.epoch.instant(self.last_read.load(Relaxed))
    }

    /// A request was answered.
    pub(crate) fn answered(&self, now: Instant) {
        self.head_since.store(NEVER, Relaxed);
        self.idle_since.store(self.epoch.nanos(now), Relaxed);
    }

    /// A request that takes longer has begun; until the guard is dropped the connection is busy.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn due(&self, patience: Patience) -> Due {
        if self.in_flight.load(Relaxed) > 0 {
            return Due::Busy;
        }
        let head_since = self.head_since.load(Relaxed);
        if head_since != NEVER && !self.multiplexed.load(Relaxed) {
            return Due::Head(self.epoch.instant(head_since) + patience.header);
        }
        Due::Idle(self.epoch.instant(self.idle_since.load(Relaxed)) + patience.idle)
    }
}

/// See [`Activity::begin`].
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(5),
        idle: Duration::from_secs(60),
    };

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_idleness_from_the_last_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let activity = Activity::new(start);
        assert_eq!(activity.due(PATIENCE), Due::Head(at(5)));
        activity.bytes_read(at(3));
        assert_eq!(
            activity.due(PATIENCE),
            Due::Head(at(5)),
            "trickling wins nothing"
        );
        activity.answered(at(4));
        assert_eq!(activity.due(PATIENCE), Due::Idle(at(64)));
        activity.bytes_read(at(30));
        activity.bytes_read(at(33));
        assert_eq!(activity.last_read(), at(33));
        assert_eq!(activity.due(PATIENCE), Due::Head(at(35)));
    }

    #[test]
    fn a_busy_connection_is_left_alone_until_it_has_answered() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let first = activity.begin();
        let second = activity.begin();
        assert_eq!(activity.due(PATIENCE), Due::Busy);
        drop(first);
        assert_eq!(activity.due(PATIENCE), Due::Busy);
        drop(second);
        assert!(matches!(activity.due(PATIENCE), Due::Idle(_)));
    }

    #[test]
    fn pings_do_not_keep_a_multiplexed_connection() {
        let start = Instant::now();
        let activity = Activity::new(start);
        activity.multiplexed();
        activity.bytes_read(start + Duration::from_secs(50));
        assert_eq!(
            activity.due(PATIENCE),
            Due::Idle(start + Duration::from_secs(60))
        );
    }
}

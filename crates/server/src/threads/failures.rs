use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use tollgate_clock::Clock;

/// Writes failures of a store to the log, at most one a second: an outage fails every request.
pub(crate) struct FailureLog {
    what: &'static str,
    clock: Arc<dyn Clock>,
    last_second: AtomicI64,
}

impl FailureLog {
    /// `what` fails, such as "links cannot be read from the store".
    pub(crate) fn new(what: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self {
            what,
            clock,
            last_second: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) fn log(&self, error: &dyn Display) {
        let second = self.clock.now().as_millis() / 1000;
        if self.last_second.swap(second, Relaxed) != second {
            tracing::warn!(%error, "{}", self.what);
        }
    }
}

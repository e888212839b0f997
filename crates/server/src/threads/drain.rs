use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

/// Tells connections that they shall end.
#[derive(Default)]
pub(crate) struct Drain {
    begun: AtomicBool,
    token: CancellationToken,
}

impl Drain {
    /// Cheap, unlike [`Drain::token`]: connections ask whenever they wake.
    pub(crate) fn begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Wakes those that wait once draining has begun.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, Relaxed);
        self.token.cancel();
    }
}

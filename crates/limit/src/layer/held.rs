use std::sync::Arc;
use std::time::Duration;

use crate::service::{LimitService, Receipt};

/// A request that is held. If this is dropped before its turn, because the client went away, its
/// place is given back.
pub(super) struct Held {
    limits: Arc<LimitService>,
    /// None once its turn has come.
    receipt: Option<Receipt>,
}

impl Held {
    pub(super) fn new(limits: Arc<LimitService>, receipt: Receipt) -> Self {
        Self {
            limits,
            receipt: Some(receipt),
        }
    }

    pub(super) async fn wait(mut self, delay: Duration) {
        tokio::time::sleep(delay).await;
        self.receipt = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(receipt) = self.receipt.take() else {
            return;
        };
        let limits = Arc::clone(&self.limits);
        // The store may be far away, and nobody is left to wait for it. Without a runtime, this
        // process is about to end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { limits.refund(receipt).await });
        }
    }
}

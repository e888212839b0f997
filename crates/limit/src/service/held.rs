use std::sync::Arc;
use std::time::Duration;

use super::{LimitService, Receipt};

/// A request that is held until its turn. If this is dropped before, because the client went away,
/// its place is given back.
///
/// With the feature `hold`. It needs the runtime of tokio with its timer.
#[derive(Debug)]
pub struct Held {
    limits: Arc<LimitService>,
    /// None once its turn has come.
    receipt: Option<Receipt>,
}

impl Held {
    /// Holds a request that `limits` has told to wait, with the receipt of that answer.
    #[must_use]
    pub const fn new(limits: Arc<LimitService>, receipt: Receipt) -> Self {
        Self {
            limits,
            receipt: Some(receipt),
        }
    }

    /// Waits for as long as the answer said. From then on nothing is given back.
    pub async fn wait(mut self, delay: Duration) {
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

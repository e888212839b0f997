//! Work that keeps a core busy for milliseconds, such as drawing and hashing: on threads that may block, so that nobody's
//! redirect waits behind it, and a bounded number at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Work that may wait for each one that runs. Each takes some tens of milliseconds at most, so whoever is let in waits less
/// than a second.
pub(super) const WAITING_PER_RUNNING: usize = 16;

/// See the module.
pub(super) struct Aside {
    running: Arc<Semaphore>,
    /// What runs and what waits.
    pub(super) admitted: Semaphore,
}

impl Aside {
    /// Lets `running` run at once.
    pub(super) fn new(running: usize) -> Self {
        let running = running.max(1);
        Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Semaphore::new(running.saturating_mul(1 + WAITING_PER_RUNNING)),
        }
    }

    /// What the work brings; none if too much other work waits, or the runtime is shutting down.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _admitted = self.admitted.try_acquire().ok()?;
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, which goes on even if the visitor has left.
            let _running = running;
            work()
        });
        done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bounded_number_waits_and_the_rest_is_turned_away() {
        let aside = Aside::new(1);
        assert_eq!(aside.run(|| 7).await, Some(7));
        let all = u32::try_from(1 + WAITING_PER_RUNNING).unwrap();
        let held = aside.admitted.try_acquire_many(all).unwrap();
        assert_eq!(aside.run(|| 7).await, None);
        drop(held);
        assert_eq!(aside.run(|| 7).await, Some(7));
    }
}

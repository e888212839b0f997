//! What goes on beside the requests: following edits of other processes, sweeping, and the code
//! strategies' upkeep. Each loop has its own pace and outlives the failures of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tollgate_config::{MemoryCache, Sweep};
use tollgate_links::{Follower, LinkError, LinkService};

/// How often the pool is filled and the worker lease looked at: well below the shortest lease.
const TEND_INTERVAL: Duration = Duration::from_secs(1);
/// Between two batches of a sweep, so that writers of links are not kept waiting.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The pace of a loop, and how it is going.
pub(crate) struct Pace {
    what: &'static str,
    ticks: Interval,
    end: CancellationToken,
    failing: bool,
}

impl Pace {
    pub(crate) fn new(what: &'static str, period: Duration, end: CancellationToken) -> Self {
        let mut ticks = interval(period);
        // Ticks missed meanwhile are not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            what,
            ticks,
            end,
            failing: false,
        }
    }

    /// Waits for the next round; `false` at the end.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.end.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }

    /// Notes how a round went. A failure is told once, not at every tick while the store is away.
    pub(crate) fn note(&mut self, round: Result<(), impl std::fmt::Display>) {
        let what = self.what;
        match round {
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("{what} works again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!(%error, "{what} failed, and is tried again");
            }
            Err(error) => tracing::debug!(%error, "{what} failed again"),
        }
    }
}

/// Tells the cache what other processes edit.
pub(super) async fn follow(service: LinkService, cache: MemoryCache, end: CancellationToken) {
    let mut pace = Pace::new("following edits of other processes", cache.follow, end);
    let feed = Arc::clone(&service.parts().feed);
    let mut follower = Follower::new(service);
    loop {
        // Told of by the store, or else looked for.
        tokio::select! {
            goes_on = pace.next() => if !goes_on { break },
            () = feed.changed() => {}
        }
        let round = follower.poll().await;
        pace.note(round.map(drop));
    }
}

/// Deletes what has expired, in bounded batches.
pub(super) async fn sweep(
    service: LinkService,
    sweep: Sweep,
    swept: Arc<AtomicU64>,
    end: CancellationToken,
) {
    let mut pace = Pace::new("deleting expired links", sweep.interval, end);
    while pace.next().await {
        let round = sweep_all(&service, &sweep, &swept, &pace.end).await;
        pace.note(round);
    }
}

async fn sweep_all(
    service: &LinkService,
    sweep: &Sweep,
    swept: &AtomicU64,
    end: &CancellationToken,
) -> Result<(), LinkError> {
    while !end.is_cancelled() {
        let report = service
            .sweep(sweep.grace, sweep.keep_idempotency, sweep.batch)
            .await?;
        if report.links > 0 {
            swept.fetch_add(report.links, Relaxed);
            tracing::info!(links = report.links, "expired links are deleted");
        }
        if !report.more {
            break;
        }
        sleep(SWEEP_PAUSE).await;
    }
    Ok(())
}

/// Fills the pool and renews the worker lease.
pub(super) async fn tend(service: LinkService, end: CancellationToken) {
    let mut pace = Pace::new("upkeep of the code strategies", TEND_INTERVAL, end);
    while pace.next().await {
        let round = service.parts().strategies.tend().await;
        pace.note(round);
    }
}

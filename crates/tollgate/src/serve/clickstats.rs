//! The statistics of clicks: counting them, dropping single clicks past their time, and forgetting
//! links that are gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clicks::consume::{Consumer, ConsumerOptions, Counts, LiveClicks, Progress};
use tollgate_clicks::query::LinkName;
use tollgate_clicks::queue::{SharedQueue, TakeOptions, Taker};
use tollgate_clicks::store::{ClickStore, EnrichedBatch};
use tollgate_clicks::{ClickSource, Enricher, Position, SourceId};
use tollgate_clock::Clock;
use tollgate_config::{Config, OnLinkDelete};
use tollgate_links::store::ChangeSeq;
use tollgate_links::{LinkKey, LinkService};
use tollgate_server::metrics::{Counter, Metrics};

use super::background::Pace;
use super::spare_time;

/// How often single clicks past their time are looked for.
const RETAIN_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often deleted links are looked for.
const FORGET_INTERVAL: Duration = Duration::from_secs(2);
/// The name under which a store of clicks keeps how far deletions of links were followed.
const DELETIONS: &str = "deleted-links";

/// What counting needs.
pub(super) struct Parts {
    /// The captured clicks of this server.
    pub(super) source: Arc<dyn ClickSource>,
    /// Those of all servers that share it, instead.
    pub(super) queue: Option<Arc<dyn SharedQueue>>,
    /// Where they are counted.
    pub(super) store: Arc<dyn ClickStore>,
    /// The same, with a writing thread that gives way to all others.
    pub(super) patient: Arc<dyn ClickStore>,
    /// How full the spool is: 1 is full.
    pub(super) filled: Box<dyn Fn() -> f64 + Send>,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
    /// Ends it.
    pub(super) end: CancellationToken,
}

/// Clicks being counted, on threads of their own.
pub(super) struct Counting {
    thread: JoinHandle<()>,
    live: LiveClicks,
}

impl Counting {
    /// Begins to count what the source gives.
    pub(super) fn start(config: &Config, parts: Parts, metrics: &Metrics) -> anyhow::Result<Self> {
        let geo_file = config.clicks.geo_file.clone();
        let enricher = Enricher::new(geo_file, Arc::clone(&parts.clock));
        let (store, counting) = (Arc::clone(&parts.patient), ConsumerOptions::default());
        if let Some(queue) = &parts.queue {
            let options = TakeOptions {
                counting,
                ..TakeOptions::default()
            };
            let taker = Taker::new(Arc::clone(queue), store, enricher, options);
            return Self::by(taker, parts, metrics);
        }
        let source = Arc::new(spare_time::ReadBy {
            runtime: tokio::runtime::Handle::current(),
            source: Arc::clone(&parts.source),
        });
        let consumer = Consumer::new(source, store, enricher, counting);
        Self::by(consumer, parts, metrics)
    }

    fn by(consumer: impl Counts, parts: Parts, metrics: &Metrics) -> anyhow::Result<Self> {
        register(metrics, &consumer.progress(), parts.clock);
        let live = consumer.live();
        let thread = spare_time::start(spare_time::Work {
            consumer,
            patient: parts.patient,
            prompt: parts.store,
            filled: parts.filled,
            end: parts.end,
        });
        let thread = thread.context("the thread that counts clicks cannot be started")?;
        Ok(Self { thread, live })
    }

    /// Where clicks are told of as they are counted.
    pub(super) fn live(&self) -> LiveClicks {
        self.live.clone()
    }

    /// Waits for the thread, which ends soon after it was told to: what is not counted is counted
    /// by the next process.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread that counts clicks panicked");
        }
    }
}

fn register(metrics: &Metrics, progress: &Arc<Progress>, clock: Arc<dyn Clock>) {
    let counters: [Counter<Arc<Progress>>; 5] = [
        (
            "tollgate_clicks_counted",
            "Clicks that became statistics",
            |progress| progress.clicks(),
        ),
        (
            "tollgate_clicks_batches",
            "Commits in which clicks became statistics",
            |progress| progress.batches(),
        ),
        (
            "tollgate_clicks_adjusted",
            "Clicks whose time could not be, and became that of counting",
            |progress| progress.adjusted(),
        ),
        (
            "tollgate_clicks_read_failures",
            "Times that captured clicks could not be read",
            |progress| progress.source_failures(),
        ),
        (
            "tollgate_clicks_store_failures",
            "Times that the store of statistics failed to count clicks",
            |progress| progress.store_failures(),
        ),
    ];
    let counted = Arc::clone(progress);
    metrics.register_counters(counters, move || Arc::clone(&counted));
    let progress = Arc::clone(progress);
    metrics.register_gauge(
        "tollgate_clicks_lag_seconds",
        "The age of the oldest click that has been read and is not counted; it rises while redirects need all of the processor",
        move || progress.lag(clock.now()).as_secs_f64(),
    );
}

/// The name for a store of clicks that one server uses.
pub(super) fn own_deletions() -> SourceId {
    SourceId(DELETIONS.into())
}

/// The name for a store of clicks that servers share: those that have the same links, which have the same
/// secret, follow their deletions together.
pub(super) fn shared_deletions(secret: [u8; 16]) -> SourceId {
    let store = base16ct::lower::encode_string(&secret);
    SourceId(format!("{DELETIONS}-{store}").into())
}

/// The upkeep of the statistics.
pub(super) struct Upkeep {
    /// The links that clicks are of.
    pub(super) links: LinkService,
    /// Where they are counted.
    pub(super) store: Arc<dyn ClickStore>,
    /// The name under which deletions of links are followed.
    pub(super) deletions: SourceId,
}

impl Upkeep {
    /// Starts it.
    pub(super) fn start(self, config: &Config, tracker: &TaskTracker, end: &CancellationToken) {
        tracker.spawn(retain(Arc::clone(&self.store), end.clone()));
        if config.clicks.on_link_delete == OnLinkDelete::Delete {
            tracker.spawn(self.forget(end.clone()));
        }
    }

    /// Forgets what was counted of links that are deleted.
    async fn forget(self, end: CancellationToken) {
        let mut pace = Pace::new("forgetting clicks of deleted links", FORGET_INTERVAL, end);
        while pace.next().await {
            let round = self.forget_deleted().await;
            pace.note(round.map_err(|error| format!("{error:#}")));
        }
    }

    /// Follows the feed of changes from where it was left, also by an earlier process.
    async fn forget_deleted(&self) -> anyhow::Result<()> {
        let (parts, store) = (self.links.parts(), &self.store);
        loop {
            let after = store.position(&self.deletions).await?;
            let begun = (after != Position::default()).then_some(ChangeSeq(after.segment));
            let changes = parts.feed.changes(begun).await?;
            if changes.lost {
                tracing::warn!("links were deleted unseen: what was counted of them stays");
            }
            let changed: HashSet<&LinkKey> = changes.keys.iter().collect();
            for key in changed {
                if parts.store.get(key).await?.is_none() {
                    store.forget(&name(key)).await?;
                }
            }
            let to = Position {
                segment: changes.upto.0,
                // Not the beginning, even where nothing was ever changed.
                offset: 1,
            };
            if to == after {
                return Ok(());
            }
            let position = EnrichedBatch {
                source: self.deletions.clone(),
                after,
                to,
                clicks: Vec::new(),
            };
            store.add(position).await?;
        }
    }
}

/// Drops single clicks past their time.
async fn retain(store: Arc<dyn ClickStore>, end: CancellationToken) {
    let mut pace = Pace::new("dropping clicks past their time", RETAIN_INTERVAL, end);
    while pace.next().await {
        let round = store.retain().await;
        if let Ok(retained) = &round
            && retained.days > 0
        {
            let (days, clicks) = (retained.days, retained.clicks);
            tracing::info!(days, clicks, "single clicks past their time are dropped");
        }
        pace.note(round.map(drop));
    }
}

/// A link as its clicks name it.
fn name(key: &LinkKey) -> LinkName {
    LinkName {
        domain: key.domain.as_str().into(),
        code: key.code.as_str().into(),
    }
}

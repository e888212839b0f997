//! From the source to the store: clicks become numbers.

mod live;
mod progress;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

pub use live::{Live, LiveClicks, LiveReceiver};
pub use progress::Progress;

use crate::enrich::oldest;
use crate::store::{Added, ClickStore, EnrichedBatch};
use crate::{Batch, ClickSource, Enricher, Position};

/// The pace of counting.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// About how many clicks are counted in one commit, if so many wait. Twice as many may be in memory.
    /// More cost less: what is stored of a link is read and written once for all its clicks.
    pub batch: usize,
    /// How long clicks gather after a batch that was less than half full: a commit rewrites the
    /// roll-ups of everything, however few clicks are in it.
    pub gather: Duration,
    /// How long to wait after a first failure; each further one doubles it.
    pub first_retry: Duration,
    /// The longest that becomes.
    pub last_retry: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            batch: 16_384,
            gather: Duration::from_millis(250),
            first_retry: Duration::from_millis(100),
            last_retry: Duration::from_secs(30),
        }
    }
}

/// What reads clicks and has them counted.
pub trait Counts: Send + Sized + 'static {
    /// Where clicks are told of once they are counted.
    fn live(&self) -> LiveClicks;

    /// How far it is.
    fn progress(&self) -> Arc<Progress>;

    /// The same one, from now on with another way to the same store.
    #[must_use]
    fn with_store(self, store: Arc<dyn ClickStore>) -> Self;

    /// Counts for ever. Drop the future to stop it; it may run again. It computes a lot between its
    /// waits: give it a thread of its own.
    fn run(&mut self) -> impl Future<Output = Infallible> + Send;
}

/// Reads clicks, finds out about them, has them counted, and tells the source so.
///
/// It can be stopped anywhere, and begun again: the store knows up to where it has counted.
pub struct Consumer {
    source: Arc<dyn ClickSource>,
    store: Arc<dyn ClickStore>,
    enricher: Enricher,
    options: ConsumerOptions,
    live: LiveClicks,
    progress: Arc<Progress>,
}

impl Consumer {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(
        source: Arc<dyn ClickSource>,
        store: Arc<dyn ClickStore>,
        enricher: Enricher,
        options: ConsumerOptions,
    ) -> Self {
        Self {
            source,
            store,
            enricher,
            options,
            live: LiveClicks::new(),
            progress: Arc::default(),
        }
    }

    async fn position(&self) -> Position {
        let mut retry = Retry::new("the store of clicks", &self.options);
        loop {
            match self.store.position(self.source.id()).await {
                Ok(position) => return position,
                Err(error) => {
                    self.progress.store_failed();
                    retry.after(&error).await;
                }
            }
        }
    }
}

impl Counts for Consumer {
    fn live(&self) -> LiveClicks {
        self.live.clone()
    }

    fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn with_store(self, store: Arc<dyn ClickStore>) -> Self {
        Self { store, ..self }
    }

    async fn run(&mut self) -> Infallible {
        loop {
            let position = self.position().await;
            self.progress.begin(position);
            let (batches, next) = mpsc::channel(1);
            let Self {
                source,
                store,
                enricher,
                options,
                live,
                progress,
            } = &mut *self;
            let reading = Reading {
                source: source.as_ref(),
                enricher,
                options,
                progress,
            };
            let counting = Counting {
                source: source.as_ref(),
                store: store.as_ref(),
                options,
                live,
                progress,
            };
            // The next batch is read while the last one is written. Where the store is elsewhere
            // than was read, both begin again.
            tokio::select! {
                () = reading.run(position, batches) => {}
                () = counting.run(next) => {}
            }
        }
    }
}

struct Reading<'c> {
    source: &'c dyn ClickSource,
    enricher: &'c mut Enricher,
    options: &'c ConsumerOptions,
    progress: &'c Progress,
}

impl Reading<'_> {
    /// Ends when nobody takes batches any more.
    async fn run(self, mut position: Position, batches: mpsc::Sender<EnrichedBatch>) {
        let mut retry = Retry::new("the queue of clicks", self.options);
        loop {
            // Room first: whatever is read before would only wait in memory.
            let Ok(room) = batches.reserve().await else {
                return;
            };
            let read = self.source.next(position, self.options.batch).await;
            let Batch { to, clicks, .. } = match read {
                Ok(batch) => batch,
                Err(error) => {
                    self.progress.source_failed();
                    retry.after(&error).await;
                    continue;
                }
            };
            retry.worked();
            self.progress.read(to, oldest(&clicks));
            let few = clicks.len() < self.options.batch / 2;
            let source = self.source.id().clone();
            let batch = self.enricher.batch(source, position, to, clicks);
            position = to;
            room.send(batch);
            if few {
                sleep(self.options.gather).await;
            }
        }
    }
}

struct Counting<'c> {
    source: &'c dyn ClickSource,
    store: &'c dyn ClickStore,
    options: &'c ConsumerOptions,
    live: &'c LiveClicks,
    progress: &'c Progress,
}

impl Counting<'_> {
    /// Ends where the store has counted up to elsewhere.
    async fn run(self, mut batches: mpsc::Receiver<EnrichedBatch>) {
        while let Some(batch) = batches.recv().await {
            let added = self.add(&batch).await;
            self.progress.done();
            match added {
                Added::Counted => {
                    self.progress.counted(&batch.clicks);
                    self.live.tell(&batch.clicks);
                }
                Added::Elsewhere(position) if position == batch.to => {}
                Added::Elsewhere(position) => {
                    tracing::warn!(?position, after = ?batch.after, "clicks are counted up to elsewhere: going on from there");
                    return;
                }
            }
            if let Err(error) = self.source.counted(batch.to).await {
                // They are only kept longer.
                self.progress.source_failed();
                tracing::debug!(%error, "clicks that are counted are still kept");
            }
        }
    }

    async fn add(&self, batch: &EnrichedBatch) -> Added {
        let mut retry = Retry::new("counting clicks", self.options);
        let mut failed = false;
        loop {
            match self.store.add(batch.clone()).await {
                // Nobody else counts this source: an earlier try was done, and its answer lost.
                Ok(Added::Elsewhere(position)) if failed && position == batch.to => {
                    retry.worked();
                    return Added::Counted;
                }
                Ok(added) => {
                    retry.worked();
                    return added;
                }
                Err(error) => {
                    failed = true;
                    self.progress.store_failed();
                    retry.after(&error).await;
                }
            }
        }
    }
}

/// Waits that grow with each failure. The first failure is told, and that it works again.
pub(crate) struct Retry<'o> {
    what: &'static str,
    options: &'o ConsumerOptions,
    failures: u32,
}

impl<'o> Retry<'o> {
    pub(crate) const fn new(what: &'static str, options: &'o ConsumerOptions) -> Self {
        Self {
            what,
            options,
            failures: 0,
        }
    }

    pub(crate) async fn after(&mut self, error: &(dyn std::error::Error + Sync)) {
        let what = self.what;
        if self.failures == 0 {
            tracing::warn!(%error, "{what} failed, and is tried again");
        } else {
            tracing::debug!(%error, "{what} failed again");
        }
        let grown = 2_u32.saturating_pow(self.failures);
        let wait = self.options.first_retry.saturating_mul(grown);
        self.failures = self.failures.saturating_add(1);
        sleep(wait.min(self.options.last_retry)).await;
    }

    pub(crate) fn worked(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("{} works again", self.what);
        }
    }
}

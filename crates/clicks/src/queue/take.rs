//! From the queue to the store.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::{Instant, sleep};

use super::{SharedQueue, Taken};
use crate::consume::{ConsumerOptions, Counts, LiveClicks, Progress, Retry};
use crate::enrich::oldest;
use crate::store::{Added, ClickStore};
use crate::{Click, Enricher, Position, SourceId};

/// The pace of taking.
#[derive(Debug, Clone)]
pub struct TakeOptions {
    /// How many clicks are counted in one commit, and how failures are followed by waits.
    pub counting: ConsumerOptions,
    /// The most pieces in memory.
    pub held: usize,
    /// How long to wait when there was nothing to do.
    pub pause: Duration,
    /// Pieces that wait for those before them are given up after so long: somebody who can
    /// count those first takes them.
    pub give_up_after: Duration,
}

impl Default for TakeOptions {
    fn default() -> Self {
        Self {
            counting: ConsumerOptions::default(),
            held: 32,
            pause: Duration::from_millis(100),
            give_up_after: Duration::from_secs(30),
        }
    }
}

/// Takes pieces from a queue that instances share, finds out about their clicks, and has them counted.
///
/// It can be stopped anywhere: what it took is taken by others, and the store knows what it has counted.
pub struct Taker {
    queue: Arc<dyn SharedQueue>,
    store: Arc<dyn ClickStore>,
    enricher: Enricher,
    options: TakeOptions,
    live: LiveClicks,
    progress: Arc<Progress>,
    /// By spool and where they begin. Two may begin at the same place.
    held: BTreeMap<(SmolStr, Position, Vec<u8>), Taken>,
    /// Whether what an earlier process took is asked for.
    asked_again: bool,
}

impl Taker {
    /// Nothing is taken yet.
    #[must_use]
    pub fn new(
        queue: Arc<dyn SharedQueue>,
        store: Arc<dyn ClickStore>,
        enricher: Enricher,
        options: TakeOptions,
    ) -> Self {
        Self {
            queue,
            store,
            enricher,
            options,
            live: LiveClicks::new(),
            progress: Arc::default(),
            held: BTreeMap::new(),
            asked_again: false,
        }
    }

    /// Takes what there is room for; answers how many pieces.
    async fn take(&mut self) -> Result<usize, super::QueueError> {
        let room = self.options.held.saturating_sub(self.held.len());
        if room == 0 {
            return Ok(0);
        }
        let taken = self.queue.take(room, !self.asked_again).await?;
        self.asked_again = true;
        let count = taken.len();
        for one in taken {
            let source = one.piece.source.0.clone();
            let key = (source, one.piece.after, one.name.clone());
            self.held.insert(key, one);
        }
        Ok(count)
    }

    /// Counts what can be; answers whether anything was, or had been.
    async fn count(&mut self) -> Result<bool, crate::store::StoreError> {
        let names = self.held.keys();
        let mut sources: Vec<SourceId> =
            names.map(|(source, ..)| SourceId(source.clone())).collect();
        sources.dedup();
        if sources.is_empty() {
            return Ok(false);
        }
        let positions = self.store.positions(&sources).await?;
        let mut any = false;
        for (source, position) in sources.into_iter().zip(positions) {
            any |= self.count_of(source, position).await?;
        }
        Ok(any)
    }

    async fn count_of(
        &mut self,
        source: SourceId,
        position: Position,
    ) -> Result<bool, crate::store::StoreError> {
        let mut run = Run::new(position);
        let first = (source.0.clone(), Position::default(), Vec::new());
        for (key, taken) in self.held.range(first..) {
            if key.0 != source.0 || run.clicks.len() >= self.options.counting.batch {
                break;
            }
            run.extend(taken);
        }
        if run.to > position {
            self.progress.read(run.to, oldest(&run.clicks));
            let clicks = std::mem::take(&mut run.clicks);
            let batch = self.enricher.batch(source, position, run.to, clicks);
            let added = self.store.add(batch.clone()).await;
            self.progress.done();
            match added? {
                Added::Counted => {
                    self.progress.counted(&batch.clicks);
                    self.live.tell(&batch.clicks);
                }
                // Somebody else has counted some of it: look again.
                Added::Elsewhere(_) => return Ok(true),
            }
        }
        if run.done.is_empty() {
            return Ok(false);
        }
        self.held.retain(|(_, _, name), _| !run.done.contains(name));
        if let Err(error) = self.queue.done(&run.done).await {
            // They are taken once more, and found to be counted.
            self.progress.source_failed();
            tracing::debug!(%error, "clicks that are counted are still in the queue");
        }
        Ok(true)
    }
}

impl Counts for Taker {
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
        let counting = self.options.counting.clone();
        let mut taking = Retry::new("the queue of clicks", &counting);
        let mut storing = Retry::new("counting clicks", &counting);
        let mut went_on = Instant::now();
        loop {
            let taken = match self.take().await {
                Ok(taken) => {
                    taking.worked();
                    taken
                }
                Err(error) => {
                    self.progress.source_failed();
                    taking.after(&error).await;
                    0
                }
            };
            let counted = match self.count().await {
                Ok(counted) => {
                    storing.worked();
                    counted
                }
                Err(error) => {
                    self.progress.store_failed();
                    went_on = Instant::now();
                    storing.after(&error).await;
                    continue;
                }
            };
            if counted || self.held.is_empty() {
                went_on = Instant::now();
            } else if went_on.elapsed() >= self.options.give_up_after {
                // There is room for what they wait for.
                self.held.clear();
                went_on = Instant::now();
            }
            if !counted && taken == 0 {
                sleep(self.options.pause).await;
            }
        }
    }
}

/// Clicks that follow each other behind a position.
struct Run {
    to: Position,
    clicks: Vec<Click>,
    /// The pieces that are counted with them, or were before.
    done: Vec<Vec<u8>>,
}

impl Run {
    fn new(position: Position) -> Self {
        Self {
            to: position,
            clicks: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Adds what a piece has beyond this, unless something between is missing.
    fn extend(&mut self, taken: &Taken) {
        let Taken { name, piece } = taken;
        if piece.after > self.to {
            return;
        }
        if piece.to > self.to {
            // It may have been cut elsewhere when it was forwarded before.
            let parts = piece.parts().into_iter();
            for part in parts.filter(|part| part.to > self.to) {
                self.clicks.extend(part.clicks);
            }
            self.to = piece.to;
        }
        self.done.push(name.clone());
    }
}

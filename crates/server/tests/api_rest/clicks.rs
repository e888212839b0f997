//! Clicks that are counted as a test gives them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tollgate_clicks::capture::{Addresses, Privacy};
use tollgate_clicks::consume::{Consumer, ConsumerOptions, Counts as _, LiveClicks, Progress};
use tollgate_clicks::import::ClickImporter;
use tollgate_clicks::store::{ClickStore, SqliteClickStore, SqliteOptions};
use tollgate_clicks::{
    Batch, Click, ClickId, ClickKind, ClickSource, Enricher, Position, Snippet, SourceError,
    SourceId,
};
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_server::clicks::Clicks;

/// Counts clicks as the server does.
pub struct Counter {
    store: Arc<dyn ClickStore>,
    importer: Arc<ClickImporter>,
    live: LiveClicks,
    progress: Arc<Progress>,
    give: mpsc::UnboundedSender<Vec<Click>>,
    given: AtomicU64,
}

/// A queue that is filled by hand.
struct Hand {
    id: SourceId,
    taken: Mutex<mpsc::UnboundedReceiver<Vec<Click>>>,
}

#[async_trait]
impl ClickSource for Hand {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn next(&self, after: Position, _most: usize) -> Result<Batch, SourceError> {
        let Some(clicks) = self.taken.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let to = Position {
            offset: after.offset + clicks.len() as u64,
            ..after
        };
        Ok(Batch {
            from: after,
            to,
            clicks,
        })
    }

    async fn counted(&self, _position: Position) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Counter {
    pub fn start(file: &Path, clock: Arc<ManualClock>) -> Self {
        let store = SqliteClickStore::open(file, clock.clone(), SqliteOptions::default()).unwrap();
        let store: Arc<dyn ClickStore> = Arc::new(store);
        let (give, taken) = mpsc::unbounded_channel();
        let source = Hand {
            id: SourceId("hand".into()),
            taken: Mutex::new(taken),
        };
        let mut consumer = Consumer::new(
            Arc::new(source),
            store.clone(),
            Enricher::new(None, clock.clone()),
            ConsumerOptions::default(),
        );
        let (live, progress) = (consumer.live(), consumer.progress());
        tokio::spawn(async move { consumer.run().await });
        let privacy = Privacy {
            addresses: Addresses::Truncated,
            respect_dnt: true,
            key: [7; 16],
        };
        let importer = ClickImporter::new(store.clone(), privacy, None, clock);
        Self {
            store,
            importer: Arc::new(importer),
            live,
            progress,
            give,
            given: AtomicU64::new(0),
        }
    }

    pub fn shown(&self, shutdown: &CancellationToken) -> Clicks {
        Clicks {
            store: self.store.clone(),
            importer: self.importer.clone(),
            live: self.live.clone(),
            shutdown: shutdown.clone(),
        }
    }

    /// Has clicks counted.
    pub async fn count(&self, clicks: Vec<Click>) {
        let given = self.given.fetch_add(clicks.len() as u64, Relaxed) + clicks.len() as u64;
        self.give.send(clicks).unwrap();
        while self.progress.clicks() < given {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many listen to the stream of clicks.
    pub async fn until_somebody_listens(&self) {
        while self.live.onlookers() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A click on a link of the default domain.
pub fn click(number: u64, at: UnixMillis, code: &str) -> Click {
    Click {
        id: ClickId { process: 7, number },
        at,
        domain: "".into(),
        code: code.into(),
        kind: ClickKind::Visit,
        referrer: Snippet::of(b"https://www.news.example/today", 1_024),
        user_agent: Snippet::of(
            b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            512,
        ),
        language: Snippet::of(b"de-DE,de;q=0.9", 64),
        campaign: None,
        visitor: Some(number % 3),
        network: None,
    }
}

//! A server, as far as its clicks go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate_clicks::capture::{Addresses, Capture, ClickQueue, Privacy, Seen};
use tollgate_clicks::consume::{ConsumerOptions, Counts as _};
use tollgate_clicks::queue::{
    ForwardOptions, ForwardStats, Forwarder, SharedQueue, TakeOptions, Taker,
};
use tollgate_clicks::spool::{Spool, SpoolOptions, SpoolSource};
use tollgate_clicks::store::{SqliteClickStore, SqliteOptions};
use tollgate_clicks::{ClickKind, Enricher};
use tollgate_clock::{ManualClock, UnixMillis};

/// 2026-11-25T12:00:00Z.
const NOW: UnixMillis = UnixMillis::from_millis(1_795_608_000_000);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

/// The store that all of them share.
pub(crate) fn store(home: &Path) -> Arc<SqliteClickStore> {
    let options = SqliteOptions::default();
    Arc::new(SqliteClickStore::open(&home.join("c.db"), clock(), options).unwrap())
}

/// A spool, and what forwards it and takes from the queue.
pub(crate) struct Instance {
    spool: Spool,
    edge: ClickQueue,
    written: u64,
    forwarded: Option<Arc<ForwardStats>>,
    tasks: JoinSet<()>,
}

impl Instance {
    /// With an empty spool, doing nothing yet.
    pub(crate) fn new(home: &Path, number: u64) -> Self {
        let privacy = Privacy {
            addresses: Addresses::None,
            respect_dnt: false,
            key: [3; 16],
        };
        let capture = Arc::new(Capture::new(privacy, 8 << 20));
        let options = SpoolOptions {
            directory: home.join(format!("spool-{number}")),
            max_bytes: 1 << 30,
            sync: None,
            identity: 100 + number,
            process: 200 + number,
        };
        let edge = capture.queue();
        let spool = Spool::start(&options, capture, clock()).unwrap();
        Self {
            spool,
            edge,
            written: 0,
            forwarded: None,
            tasks: JoinSet::new(),
        }
    }

    pub(crate) fn source(&self) -> SpoolSource {
        self.spool.source()
    }

    /// How many clicks it had.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// How often it found the queue full.
    pub(crate) fn full(&self) -> u64 {
        self.forwarded.as_ref().map_or(0, |stats| stats.full())
    }

    /// How often it forwarded what the queue had lost.
    #[cfg(feature = "redis")]
    pub(crate) fn again(&self) -> u64 {
        self.forwarded.as_ref().map_or(0, |stats| stats.again())
    }

    /// Has so many clicks, which are in the spool afterwards.
    pub(crate) fn click(&mut self, count: usize) {
        for _ in 0..count {
            self.edge.push(&Seen {
                at: NOW,
                kind: ClickKind::Visit,
                domain: "",
                code: "x",
                address: [192, 0, 2, 1].into(),
                referrer: Some(b"https://r.example/"),
                user_agent: Some(b"a browser"),
                language: None,
                query: None,
                target: None,
                objects: false,
            });
        }
        self.written += count as u64;
        let (stats, end) = (
            self.spool.stats(),
            std::time::Instant::now() + super::PATIENCE,
        );
        while stats().written < self.written {
            assert!(std::time::Instant::now() < end, "nobody writes");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Forwards, and nothing else.
    pub(crate) fn forward(&mut self, queue: Arc<dyn SharedQueue>, store: &Arc<SqliteClickStore>) {
        let options = ForwardOptions {
            gather: Duration::ZERO,
            first_retry: Duration::from_millis(1),
            last_retry: Duration::from_millis(10),
            look: Duration::from_millis(10),
            lost_after: Duration::from_millis(500),
        };
        let forwarder = Forwarder::new(self.source(), queue, store.clone(), options);
        self.forwarded = Some(forwarder.stats());
        self.tasks
            .spawn(async move { match forwarder.run().await {} });
    }

    /// Takes, and nothing else.
    pub(crate) fn take(&mut self, queue: Arc<dyn SharedQueue>, store: &Arc<SqliteClickStore>) {
        let options = TakeOptions {
            counting: ConsumerOptions {
                batch: 700,
                gather: Duration::ZERO,
                first_retry: Duration::from_millis(1),
                last_retry: Duration::from_millis(10),
            },
            held: 4,
            pause: Duration::from_millis(2),
            give_up_after: Duration::from_millis(100),
        };
        let enricher = Enricher::new(None, clock());
        let mut taker = Taker::new(queue, store.clone(), enricher, options);
        self.tasks.spawn(async move { match taker.run().await {} });
    }

    /// Starts both, unless they run.
    pub(crate) fn start(&mut self, queue: Arc<dyn SharedQueue>, store: &Arc<SqliteClickStore>) {
        if self.tasks.is_empty() {
            self.forward(Arc::clone(&queue), store);
            self.take(queue, store);
        }
    }

    /// Ends both wherever they are.
    pub(crate) fn kill(&mut self) {
        self.tasks = JoinSet::new();
    }
}

//! The consumer against sources and stores that fail and crash at every step.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::timeout;
use tollgate_clicks::consume::{Consumer, ConsumerOptions, Counts as _, Live};
use tollgate_clicks::query::{
    ClickPage, LinkName, List, Period, Query, QueryError, Scope, Statistics, Totals,
};
use tollgate_clicks::store::{
    AddedTogether, ClickStore, EnrichedBatch, Retained, SqliteClickStore, SqliteOptions, StoreError,
};
use tollgate_clicks::{
    Batch, Click, ClickId, ClickKind, ClickSource, Enricher, Position, SourceError, SourceId,
};
use tollgate_clock::{Clock as _, ManualClock, UnixMillis};

const NOW: i64 = 1_795_608_000_000;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    /// Nothing is done, and an error is answered.
    Fails,
    /// It is done, and an error is answered.
    LosesTheAnswer,
    /// Nothing is done, and the process ends.
    CrashesBefore,
    /// It is done, and the process ends.
    CrashesAfter,
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what happens at each step, and that the process has ended.
struct Story {
    fates: Mutex<VecDeque<Fate>>,
    crashed: Notify,
}

impl Story {
    async fn step<T, E>(&self, error: E, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let fate = self
            .fates
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Fate::Works);
        match fate {
            Fate::Works => work.await,
            Fate::Fails => Err(error),
            Fate::LosesTheAnswer => {
                work.await?;
                Err(error)
            }
            Fate::CrashesBefore => self.crash().await,
            Fate::CrashesAfter => {
                let _ = work.await;
                self.crash().await
            }
        }
    }

    async fn crash<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }
}

/// A source of clicks that are numbered; a position is a number.
struct Numbered {
    id: SourceId,
    clicks: Vec<Click>,
    counted: AtomicU64,
    drained: Notify,
    story: Arc<Story>,
}

#[async_trait]
impl ClickSource for Numbered {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn next(&self, after: Position, most: usize) -> Result<Batch, SourceError> {
        // Who was told that something is counted gives nothing of it again.
        assert!(
            after.offset >= self.counted.load(SeqCst),
            "{after:?} was counted"
        );
        let from = after.offset as usize;
        let rest = &self.clicks[from..];
        if rest.is_empty() {
            self.drained.notify_one();
            std::future::pending::<()>().await;
        }
        let clicks = rest[..rest.len().min(most)].to_vec();
        let to = Position {
            segment: 0,
            offset: (from + clicks.len()) as u64,
        };
        let batch = Batch {
            from: after,
            to,
            clicks,
        };
        let error = SourceError::Unavailable("on purpose".into());
        self.story.step(error, async { Ok(batch) }).await
    }

    async fn counted(&self, position: Position) -> Result<(), SourceError> {
        let error = SourceError::Unavailable("on purpose".into());
        let work = async {
            self.counted.fetch_max(position.offset, SeqCst);
            Ok(())
        };
        self.story.step(error, work).await
    }
}

/// The store, with a story.
struct Unreliable {
    store: Arc<SqliteClickStore>,
    story: Arc<Story>,
}

fn away() -> StoreError {
    StoreError::Unavailable("on purpose".into())
}

#[async_trait]
impl ClickStore for Unreliable {
    async fn positions(&self, sources: &[SourceId]) -> Result<Vec<Position>, StoreError> {
        let positions = self.store.positions(sources);
        self.story.step(away(), positions).await
    }

    async fn add_together(&self, batches: Vec<EnrichedBatch>) -> Result<AddedTogether, StoreError> {
        let added = self.store.add_together(batches);
        self.story.step(away(), added).await
    }

    async fn statistics(&self, query: Query) -> Result<Statistics, QueryError> {
        self.store.statistics(query).await
    }

    async fn totals(&self, scopes: Vec<Scope>) -> Result<Vec<Totals>, QueryError> {
        self.store.totals(scopes).await
    }

    async fn clicks(&self, list: List) -> Result<ClickPage, QueryError> {
        self.store.clicks(list).await
    }

    async fn forget(&self, link: &LinkName) -> Result<bool, StoreError> {
        self.store.forget(link).await
    }

    async fn retain(&self) -> Result<Retained, StoreError> {
        self.store.retain().await
    }
}

fn clicks(count: u64) -> Vec<Click> {
    (0..count)
        .map(|number| Click {
            id: ClickId { process: 1, number },
            at: UnixMillis::from_millis(NOW - (number as i64 % 50) * 1_000_000),
            domain: "".into(),
            code: ["x", "y", "z"][number as usize % 3].into(),
            kind: ClickKind::Visit,
            referrer: None,
            user_agent: None,
            language: None,
            campaign: None,
            visitor: Some(number % 7),
            network: None,
        })
        .collect()
}

fn options(batch: usize) -> ConsumerOptions {
    ConsumerOptions {
        batch,
        gather: Duration::ZERO,
        first_retry: Duration::ZERO,
        last_retry: Duration::ZERO,
    }
}

fn enricher() -> Enricher {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
    Enricher::new(None, clock)
}

fn open(path: &std::path::Path) -> Arc<SqliteClickStore> {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)));
    Arc::new(SqliteClickStore::open(path, clock, SqliteOptions::default()).unwrap())
}

async fn total(store: &SqliteClickStore) -> (u64, usize) {
    let at = UnixMillis::from_millis;
    let period = Period::new(at(NOW - 86_400_000), at(NOW + 1)).unwrap();
    let statistics = store
        .statistics(Query::new(Scope::Everything, period))
        .await
        .unwrap();
    let list = List {
        scope: Scope::Everything,
        period: None,
        bots: Default::default(),
        after: None,
        limit: 1_000,
    };
    (
        statistics.total,
        store.clicks(list).await.unwrap().clicks.len(),
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Works),
        1 => Just(Fate::Fails),
        1 => Just(Fate::LosesTheAnswer),
        1 => Just(Fate::CrashesBefore),
        1 => Just(Fate::CrashesAfter),
    ]
}

/// Runs consumers, one after each crash, until the source has nothing more and all is counted.
async fn tell(fates: Vec<Fate>, count: u64, batch: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.db");
    let story = Arc::new(Story {
        fates: Mutex::new(fates.into()),
        crashed: Notify::new(),
    });
    let source = Arc::new(Numbered {
        id: SourceId("numbered".into()),
        clicks: clicks(count),
        counted: AtomicU64::new(0),
        drained: Notify::new(),
        story: Arc::clone(&story),
    });
    let mut store = open(&path);
    let mut crashes = 0;
    loop {
        let unreliable = Unreliable {
            store: Arc::clone(&store),
            story: Arc::clone(&story),
        };
        let mut consumer = Consumer::new(
            source.clone(),
            Arc::new(unreliable),
            enricher(),
            options(batch),
        );
        let progress = consumer.progress();
        let finished = async {
            // The source is read ahead of the store.
            source.drained.notified().await;
            while store.position(&source.id).await.unwrap().offset < count {
                tokio::task::yield_now().await;
            }
            // It says so itself, too, unless it did not live to hear of it.
            let says = async {
                while crashes == 0 && progress.clicks() < count {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, says).await.unwrap();
        };
        let crashed = tokio::select! {
            _ = consumer.run() => unreachable!(),
            () = story.crashed.notified() => true,
            () = finished => false,
        };
        drop(store);
        store = open(&path);
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert_eq!(total(&store).await, (count, count as usize));
    assert!(source.counted.load(SeqCst) <= count);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_click_counts_once_whatever_fails_or_crashes(
        fates in prop::collection::vec(fate(), 0..30),
        count in 0_u64..200,
        batch in 1_usize..60,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(tell(fates, count, batch));
    }
}

/// A crash, or another fate, at each step of a run in which everything else works.
#[tokio::test]
async fn one_misfortune_at_each_step() {
    for fate in [
        Fate::Fails,
        Fate::LosesTheAnswer,
        Fate::CrashesBefore,
        Fate::CrashesAfter,
    ] {
        for step in 0..12 {
            let mut fates = vec![Fate::Works; step];
            fates.push(fate);
            tell(fates, 50, 16).await;
        }
    }
}

#[tokio::test]
async fn onlookers_see_what_is_counted_and_progress_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("c.db"));
    let story = Arc::new(Story {
        fates: Mutex::default(),
        crashed: Notify::new(),
    });
    let mut all = clicks(2_000);
    all[5].at = UnixMillis::from_millis(i64::MAX);
    let source = Arc::new(Numbered {
        id: SourceId("numbered".into()),
        clicks: all,
        counted: AtomicU64::new(0),
        drained: Notify::new(),
        story,
    });
    let mut consumer = Consumer::new(source.clone(), store.clone(), enricher(), options(700));
    let (live, progress) = (consumer.live(), consumer.progress());
    let mut onlooker = live.subscribe();
    assert_eq!(live.onlookers(), 1);
    let seen = async {
        let mut seen = 0;
        let mut missed = 0;
        while seen + missed < 2_000 {
            match onlooker.next().await.unwrap() {
                Live::Click(click) => {
                    assert_eq!(click.adjusted, click.click.id.number == 5);
                    seen += 1;
                }
                Live::Missed(number) => missed += number,
            }
        }
        seen
    };
    let seen = tokio::select! {
        _ = consumer.run() => unreachable!(),
        seen = seen => seen,
    };
    assert!(seen >= 1_024);
    assert_eq!((progress.clicks(), progress.adjusted()), (2_000, 1));
    assert_eq!(progress.batches(), 3);
    assert_eq!(
        (progress.store_failures(), progress.source_failures()),
        (0, 0)
    );
    drop((live, consumer));
    assert_eq!(onlooker.next().await, None);
}

#[tokio::test]
async fn lag_is_the_age_of_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    // The store never answers.
    let story = Arc::new(Story {
        fates: Mutex::new(vec![Fate::Works, Fate::Works, Fate::CrashesBefore].into()),
        crashed: Notify::new(),
    });
    let source = Arc::new(Numbered {
        id: SourceId("numbered".into()),
        clicks: clicks(1),
        counted: AtomicU64::new(0),
        drained: Notify::new(),
        story: story.clone(),
    });
    let store = Unreliable {
        store: open(&dir.path().join("c.db")),
        story: story.clone(),
    };
    let mut consumer = Consumer::new(source, Arc::new(store), enricher(), options(10));
    let progress = consumer.progress();
    let clock = ManualClock::at(UnixMillis::from_millis(NOW));
    assert_eq!(progress.lag(clock.now()), Duration::ZERO);
    tokio::select! {
        _ = consumer.run() => unreachable!(),
        () = story.crashed.notified() => {}
    }
    clock.advance(Duration::from_secs(90));
    assert_eq!(progress.lag(clock.now()), Duration::from_secs(90));
}

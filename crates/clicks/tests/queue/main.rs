//! A queue that instances share: each click counts once, whatever becomes of the queue and of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[cfg(feature = "redis")]
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
mod instance;
#[cfg(feature = "kafka")]
mod kafka;
#[path = "../store/listed.rs"]
mod listed;
mod memory;
#[cfg(feature = "redis")]
#[allow(dead_code, reason = "shared with the tests of other crates")]
#[path = "../../../redis/tests/private/private_redis.rs"]
mod private_redis;
#[cfg(feature = "redis")]
mod redis;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate_clicks::query::Scope;
use tollgate_clicks::queue::SharedQueue;
use tollgate_clicks::store::{ClickStore as _, SqliteClickStore};
use tollgate_clicks::{ClickSource as _, Position};

use self::instance::{Instance, store};
use self::listed::raw;
use self::memory::{Fate, Memory};

/// The longest wait for something that usually takes milliseconds. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Waits until all clicks of these instances are counted, and compares what there is.
async fn all_counted(store: &SqliteClickStore, instances: &[&Instance]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut behind = Vec::new();
        for instance in instances {
            let source = instance.source();
            let (mut at, mut clicks) = (store.position(source.id()).await.unwrap(), 0);
            while let Some(batch) = source.ready(at, 10_000).unwrap() {
                (at, clicks) = (batch.to, clicks + batch.clicks.len());
            }
            if clicks > 0 {
                behind.push((source.id().0.clone(), clicks));
            }
        }
        let written: u64 = instances.iter().map(|instance| instance.written()).sum();
        let listed = raw(store, Scope::Everything).await;
        if behind.is_empty() && listed.len() as u64 == written {
            let names: HashSet<_> = listed.iter().map(|one| one.click.id).collect();
            assert_eq!(names.len() as u64, written, "one was counted twice");
            println!("{written} clicks, each counted once");
            return;
        }
        assert!(
            Instant::now() < end,
            "{written} written, {} counted, not yet: {behind:?}",
            listed.len()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn pieces_hold_what_the_spool_gives() {
    let runtime = runtime();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let mut instance = Instance::new(home.path(), 1);
        for _ in 0..30 {
            instance.click(500);
        }
        let source = instance.source();
        let (mut after, mut from_pieces, mut pieces) = (Position::default(), Vec::new(), 0);
        while (from_pieces.len() as u64) < instance.written() {
            let piece = source.piece(after).await.unwrap();
            assert_eq!(piece.after, after);
            let parts = piece.parts();
            assert_eq!(parts.last().unwrap().to, piece.to);
            for part in parts {
                assert!(part.to > after);
                after = part.to;
                from_pieces.extend(part.clicks);
            }
            pieces += 1;
        }
        assert!(pieces > 1, "too few to tell");
        let mut as_usual = Vec::new();
        let mut at = Position::default();
        while let Some(batch) = source.ready(at, 1_000).unwrap() {
            at = batch.to;
            as_usual.extend(batch.clicks);
        }
        assert_eq!(after, at);
        assert_eq!(from_pieces, as_usual);
    });
}

/// What happens between clicks.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An instance has some clicks.
    Clicks(usize, usize),
    /// An instance is killed, and started again some time later.
    Killed(usize),
    Started(usize),
    /// The queue loses all of it.
    Emptied,
    /// What is written so far is counted.
    Waits,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_usize..3, 1_usize..400).prop_map(|(who, clicks)| Event::Clicks(who, clicks)),
        2 => (0_usize..3).prop_map(Event::Killed),
        2 => (0_usize..3).prop_map(Event::Started),
        1 => Just(Event::Emptied),
        1 => Just(Event::Waits),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Works),
        1 => Just(Fate::Fails),
        1 => Just(Fate::LosesTheAnswer),
    ]
}

#[test]
fn each_click_counts_once_whatever_happens() {
    let input = (
        prop::collection::vec(event(), 1..20),
        prop::collection::vec(fate(), 1..60),
        2_usize..40,
    );
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = runtime();
    let checked = TestRunner::new(config).run(&input, |(events, fates, most)| {
        runtime.block_on(async {
            let home = tempfile::tempdir().unwrap();
            let store = store(home.path());
            let memory = Arc::new(Memory::new(most, fates));
            let mut instances: Vec<Instance> = (0..3)
                .map(|number| Instance::new(home.path(), number))
                .collect();
            let queue = |number: usize| -> Arc<dyn SharedQueue> { memory.of(number) };
            for (number, instance) in instances.iter_mut().enumerate() {
                instance.start(queue(number), &store);
            }
            for event in events {
                match event {
                    Event::Clicks(who, clicks) => instances[who].click(clicks),
                    Event::Killed(who) => instances[who].kill(),
                    Event::Started(who) => instances[who].start(queue(who), &store),
                    Event::Emptied => memory.empty(),
                    Event::Waits => {
                        for (number, instance) in instances.iter_mut().enumerate() {
                            instance.start(queue(number), &store);
                        }
                        all_counted(&store, &instances.iter().collect::<Vec<_>>()).await;
                    }
                }
                tokio::task::yield_now().await;
            }
            for (number, instance) in instances.iter_mut().enumerate() {
                instance.start(queue(number), &store);
            }
            all_counted(&store, &instances.iter().collect::<Vec<_>>()).await;
        });
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn while_the_queue_is_full_clicks_stay_in_the_spool() {
    let runtime = runtime();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let memory = Arc::new(Memory::new(2, Vec::new()));
        let mut busy = Instance::new(home.path(), 0);
        busy.forward(memory.of(0), &store);
        for _ in 0..6 {
            busy.click(1_000);
        }
        let end = Instant::now() + PATIENCE;
        while busy.full() == 0 {
            assert!(Instant::now() < end, "it takes more than it may");
            busy.click(100);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(memory.len(), 2);
        // Somebody else counts.
        let mut other = Instance::new(home.path(), 1);
        other.start(memory.of(1), &store);
        all_counted(&store, &[&busy, &other]).await;
    });
}

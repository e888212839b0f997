//! A primary and standbys that stream from it, of which links are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_clock::ManualClock;
use tollgate_links::store::{
    ChangeFeed as _, Delete, LinkStore as _, ListQuery, PostgresLinkStore, PostgresOptions,
    ReplicaReadStats, ReplicaReads, ReplicaStats, ShardAddress, ShardedLinkStore, StoreError,
    Update, Updated,
};
use tollgate_links::{LinkSpec, TargetUrl};

use crate::private_postgres::PrivatePostgres;
use crate::sharing::{NOW, insert, key};
use crate::{PATIENCE, open, options};

const OLD: &str = "https://old.example/";
const NEW: &str = "https://new.example/";

fn reading(absent_per_second: u32) -> PostgresOptions {
    PostgresOptions {
        deadline: Duration::from_secs(8),
        replicas: Some(ReplicaReads {
            max_lag: Duration::from_secs(3_600),
            absent_per_second,
        }),
        ..options()
    }
}

async fn start(servers: &[&PrivatePostgres], options: &PostgresOptions) -> Arc<PostgresLinkStore> {
    let url = servers[0].url_with(&servers[1..], "postgres");
    Arc::new(open(&url, Arc::new(ManualClock::at(NOW)), options).await)
}

fn stats(store: &PostgresLinkStore) -> ReplicaReadStats {
    store.replica_stats().unwrap()
}

/// Of one server, by its address.
fn of(store: &PostgresLinkStore, server: &PrivatePostgres) -> ReplicaStats {
    let mut servers = stats(store).servers.into_iter();
    servers
        .find(|one| one.server == server.address())
        .expect("a server of the store")
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until all that is written by now is read from this standby.
async fn until_current(store: &PostgresLinkStore, standby: &PrivatePostgres) {
    let before = of(store, standby).reads;
    until("the standby is read", async || {
        // Of a link that all have, and nobody changes.
        store.find(&key("still")).await.unwrap();
        of(store, standby).reads > before
    })
    .await;
}

async fn make(store: &PostgresLinkStore, code: &str, target: &str) {
    store.insert(vec![insert(code, target)]).await.unwrap();
}

async fn edit(store: &PostgresLinkStore, code: &str, version: u64, target: &str) {
    let update = Update {
        key: key(code),
        expected_version: version,
        spec: LinkSpec::to(TargetUrl::from_stored(target)),
        actor: "editor".into(),
        at: NOW,
        idempotency: None,
    };
    let updated = store.update(update).await.unwrap();
    assert!(matches!(updated, Updated::Updated(_)), "{updated:?}");
}

async fn target(store: &PostgresLinkStore, code: &str) -> Option<String> {
    let found = store.find(&key(code)).await.unwrap();
    found.link.map(|link| link.spec.target.as_str().to_owned())
}

fn pause(standby: &PrivatePostgres) {
    standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    let begin = Instant::now();
    while standby.sql("postgres", "SELECT pg_get_wal_replay_pause_state()") != "paused" {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn resume(standby: &PrivatePostgres) {
    standby.sql("postgres", "SELECT pg_wal_replay_resume()");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_spread_over_standbys() {
    let primary = PrivatePostgres::start();
    let (one, two) = (primary.standby(), primary.standby());
    let store = start(&[&one, &primary, &two], &reading(100)).await;
    make(&store, "still", OLD).await;
    until_current(&store, &one).await;
    until_current(&store, &two).await;
    let before = stats(&store);
    for _ in 0..200 {
        assert_eq!(target(&store, "still").await.unwrap(), OLD);
    }
    let after = stats(&store);
    assert_eq!(after.primary, before.primary);
    for (before, after) in before.servers.iter().zip(&after.servers) {
        let is_primary = after.server == primary.address();
        assert_eq!(after.readable, !is_primary);
        let reads = after.reads - before.reads;
        assert!(
            if is_primary {
                reads == 0
            } else {
                (50..=150).contains(&reads)
            },
            "{reads}"
        );
        assert_eq!(after.failed, 0);
    }
    // Listings show what was just made, and come from standbys when these have it.
    for number in 0..20 {
        make(&store, &format!("l{number}"), OLD).await;
        let page = store.list(&ListQuery::default()).await.unwrap();
        assert_eq!(page.links.len(), number + 2);
    }
    let listed = stats(&store);
    let reads = |stats: &ReplicaReadStats| stats.servers.iter().map(|one| one.reads).sum::<u64>();
    assert!(
        reads(&listed) > reads(&after),
        "no listing came from a standby"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lags_hides_no_write() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let servers = [&primary, &standby];
    // Two instances.
    let (own, other) = (
        start(&servers, &reading(100)).await,
        start(&servers, &reading(100)).await,
    );
    for code in ["still", "edited", "deleted"] {
        make(&own, code, OLD).await;
    }
    let position = other.changes(None).await.unwrap().upto;
    for store in [&own, &other] {
        until_current(store, &standby).await;
    }
    assert_eq!(target(&other, "edited").await.unwrap(), OLD);
    pause(&standby);

    make(&own, "made", NEW).await;
    edit(&own, "edited", 1, NEW).await;
    let deletion = Delete {
        key: key("deleted"),
        expected_version: None,
        actor: "deleter".into(),
        at: NOW,
        idempotency: None,
    };
    own.delete(deletion).await.unwrap();
    // Who wrote sees it, and others find what is new.
    assert_eq!(target(&other, "made").await.unwrap(), NEW);
    assert!(stats(&other).absent >= 1);
    // An edit is not known to the other yet, so it is seen as the standby has it: it does lag.
    assert_eq!(target(&other, "edited").await.unwrap(), OLD);
    assert!(other.changes(Some(position)).await.unwrap().keys.len() >= 2);
    let begin = Instant::now();
    let reads = of(&other, &standby).reads;
    while begin.elapsed() < Duration::from_secs(2) {
        for store in [&own, &other] {
            assert_eq!(target(store, "edited").await.unwrap(), NEW);
            assert_eq!(target(store, "deleted").await, None);
            assert_eq!(target(store, "made").await.unwrap(), NEW);
            assert_eq!(target(store, "still").await.unwrap(), OLD);
            let page = store.list(&ListQuery::default()).await.unwrap();
            assert_eq!(page.links.len(), 3);
        }
    }
    // Links that nobody changed came from it all the time.
    let lags = of(&other, &standby);
    assert!(lags.reads > reads);
    assert!(
        lags.lag.unwrap() > Duration::from_secs(1) && lags.lag_bytes.unwrap() > 0,
        "{lags:?}"
    );

    resume(&standby);
    until_current(&other, &standby).await;
    until("the edited link is read from the standby", async || {
        let before = of(&other, &standby).reads;
        assert_eq!(target(&other, "edited").await.unwrap(), NEW);
        of(&other, &standby).reads > before
    })
    .await;
    until("it has caught up", async || {
        of(&other, &standby).lag == Some(Duration::ZERO)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_too_far_behind_is_not_read() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let mut reads = reading(100);
    reads.replicas = Some(ReplicaReads {
        max_lag: Duration::from_secs(1),
        absent_per_second: 100,
    });
    let store = start(&[&primary, &standby], &reads).await;
    make(&store, "still", OLD).await;
    until_current(&store, &standby).await;
    pause(&standby);
    // It is not behind before something is written.
    assert!(of(&store, &standby).readable);
    make(&store, "more", OLD).await;
    until("it is left out", async || !of(&store, &standby).readable).await;
    let (before, asked) = (of(&store, &standby).reads, stats(&store).primary);
    assert_eq!(target(&store, "still").await.unwrap(), OLD);
    assert_eq!(
        (of(&store, &standby).reads, stats(&store).primary),
        (before, asked + 1)
    );
    resume(&standby);
    until_current(&store, &standby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trying_out_codes_does_not_reach_the_primary_more_often_than_said() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let store = start(&[&primary, &standby], &reading(5)).await;
    make(&store, "still", OLD).await;
    until_current(&store, &standby).await;
    let before = stats(&store);
    let (begin, mut absent, mut refused) = (Instant::now(), 0, 0);
    for number in 0..300 {
        match store.find(&key(&format!("x{number}"))).await {
            Ok(found) => {
                assert!(found.link.is_none() && found.newest);
                absent += 1;
            }
            // Nobody says that there is none.
            Err(StoreError::Overloaded) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let after = stats(&store);
    let most = 5 + 5 * (begin.elapsed().as_secs() + 1);
    assert!(absent <= most, "{absent} of at most {most}");
    assert_eq!(
        (after.absent - before.absent, after.refused - before.refused),
        (absent, refused)
    );
    assert_eq!(absent + refused, 300);
    // Links that are there, and new ones of this instance, are found all the while.
    assert_eq!(target(&store, "still").await.unwrap(), OLD);
    make(&store, "made", NEW).await;
    assert_eq!(target(&store, "made").await.unwrap(), NEW);
}

/// What those who read all the time saw.
#[derive(Default)]
struct Seen {
    reads: AtomicU64,
    errors: AtomicU64,
    slowest_us: AtomicU64,
}

/// Reads without pause until it is told to stop, and tells what was seen.
struct Readers {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Readers {
    fn start(store: &Arc<PostgresLinkStore>) -> Self {
        let (seen, stop) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
        let tasks = (0..4).map(|_| {
            let (store, seen, stop) = (Arc::clone(store), Arc::clone(&seen), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let begin = Instant::now();
                    let found = store.find(&key("still")).await;
                    let took = u64::try_from(begin.elapsed().as_micros()).unwrap();
                    seen.slowest_us.fetch_max(took, Ordering::SeqCst);
                    seen.reads.fetch_add(1, Ordering::SeqCst);
                    if !found.is_ok_and(|found| found.link.is_some()) {
                        seen.errors.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            seen,
            stop,
        }
    }

    async fn some(&self, more: u64) {
        let reached = self.seen.reads.load(Ordering::SeqCst) + more;
        until("reads are answered", async || {
            self.seen.reads.load(Ordering::SeqCst) >= reached
        })
        .await;
    }

    async fn stop(self, what: &str) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        let (reads, errors) = (&self.seen.reads, self.seen.errors.load(Ordering::SeqCst));
        let slowest = Duration::from_micros(self.seen.slowest_us.load(Ordering::SeqCst));
        println!("{what}: {reads:?} reads, {errors} errors, the slowest {slowest:?}");
        assert_eq!(errors, 0, "{what}");
    }
}

async fn on_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_when_a_standby_crashes_or_hangs() {
    let primary = PrivatePostgres::start();
    let (mut one, two) = (primary.standby(), primary.standby());
    let store = start(&[&primary, &one, &two], &reading(100)).await;
    make(&store, "still", OLD).await;
    until_current(&store, &one).await;
    until_current(&store, &two).await;

    let readers = Readers::start(&store);
    readers.some(200).await;
    let one = on_another_thread(move || {
        one.kill();
        one
    })
    .await;
    readers.some(200).await;
    until("the crash is noticed", async || !of(&store, &one).readable).await;
    readers.stop("a standby is killed").await;
    let one = on_another_thread(move || {
        let mut one = one;
        one.restart();
        one
    })
    .await;
    until_current(&store, &one).await;

    let readers = Readers::start(&store);
    readers.some(200).await;
    one.freeze();
    until("the hanging is noticed", async || {
        !of(&store, &one).readable
    })
    .await;
    readers.some(200).await;
    one.thaw();
    until_current(&store, &one).await;
    readers.stop("a standby hangs").await;

    // Of all standbys: the primary is read.
    one.freeze();
    two.freeze();
    let readers = Readers::start(&store);
    until("both are noticed", async || {
        !of(&store, &one).readable && !of(&store, &two).readable
    })
    .await;
    let before = stats(&store).primary;
    readers.some(100).await;
    assert!(stats(&store).primary > before);
    readers.stop("all standbys hang").await;
    one.thaw();
    two.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_without_the_primary_and_after_a_promotion() {
    let mut primary = PrivatePostgres::start();
    let (one, two) = (primary.standby(), primary.standby());
    for standby in [&one, &two] {
        standby.follow(&[&primary, &one, &two]);
    }
    let store = start(&[&primary, &one, &two], &reading(100)).await;
    make(&store, "still", OLD).await;
    until_current(&store, &one).await;
    until_current(&store, &two).await;
    make(&store, "edited", OLD).await;
    until("it is on both", async || {
        [&one, &two].iter().all(|standby| {
            standby.sql(
                "postgres",
                "SELECT count(*) FROM links WHERE code = 'edited'",
            ) == "1"
        })
    })
    .await;

    let readers = Readers::start(&store);
    readers.some(100).await;
    on_another_thread(move || primary.kill()).await;
    readers.some(300).await;
    assert!(store.answers().await.is_ok());
    let refused = store.insert(vec![insert("late", NEW)]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    // "Not found" could be wrong.
    let unknown = store.find(&key("unknown")).await;
    assert!(
        matches!(unknown, Err(StoreError::Unavailable(_))),
        "{unknown:?}"
    );

    one.promote();
    until("the new primary is found", async || {
        store.insert(vec![insert("after", NEW)]).await.is_ok()
    })
    .await;
    edit(&store, "edited", 1, NEW).await;
    for _ in 0..100 {
        assert_eq!(target(&store, "edited").await.unwrap(), NEW);
        assert_eq!(target(&store, "after").await.unwrap(), NEW);
    }
    // The other standby follows, and is read again.
    until("the other one shows the edit", async || {
        let before = of(&store, &two).reads;
        assert_eq!(target(&store, "edited").await.unwrap(), NEW);
        of(&store, &two).reads > before
    })
    .await;
    until("it is seen to be the primary", async || {
        !of(&store, &one).readable
    })
    .await;
    readers
        .stop("the primary is killed, and a standby promoted")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_privileges_may_read_standbys() {
    let primary = PrivatePostgres::start();
    primary.sql("postgres", "CREATE ROLE plain LOGIN PASSWORD 'plain'");
    primary.sql("postgres", "CREATE DATABASE plain OWNER plain");
    let standby = primary.standby();
    let url = format!(
        "postgres://plain:plain@{},{}/plain",
        primary.address(),
        standby.address()
    );
    let clock = Arc::new(ManualClock::at(NOW));
    let store = open(&url, clock, &reading(100)).await;
    make(&store, "still", OLD).await;
    until_current(&store, &standby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_shards_a_standby_that_lags_hides_no_write() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let databases = ["postgres".to_owned(), primary.database()];
    let shards =
        databases.map(|name| ShardAddress::parse(&primary.url_with(&[&standby], &name)).unwrap());
    let open = async || {
        let clock = Arc::new(ManualClock::at(NOW));
        let opened = ShardedLinkStore::open(shards.to_vec(), clock, &reading(1_000)).await;
        opened.unwrap()
    };
    let (own, other) = (open().await, open().await);
    let codes: Vec<String> = (0..12).map(|number| format!("c{number}")).collect();
    for code in &codes {
        own.insert(vec![insert(code, OLD)]).await.unwrap();
    }
    let position = other.changes(None).await.unwrap().upto;
    let reads = |store: &ShardedLinkStore| {
        let stats = store.replica_stats().unwrap();
        stats.servers.iter().map(|one| one.reads).sum::<u64>()
    };
    let seen = async |store: &ShardedLinkStore, code: &str| {
        let found = store.find(&key(code)).await.unwrap();
        found.link.map(|link| link.spec.target.as_str().to_owned())
    };
    for store in [&own, &other] {
        until("all links are read from the standby", async || {
            let before = reads(store);
            for code in &codes {
                assert_eq!(seen(store, code).await.unwrap(), OLD);
            }
            reads(store) - before == codes.len() as u64
        })
        .await;
        store.answers().await.unwrap();
    }
    pause(&standby);
    let (edited, deleted) = codes.split_at(6);
    for code in edited {
        let update = Update {
            key: key(code),
            expected_version: 1,
            spec: LinkSpec::to(TargetUrl::from_stored(NEW)),
            actor: "editor".into(),
            at: NOW,
            idempotency: None,
        };
        own.update(update).await.unwrap();
    }
    for code in deleted {
        let deletion = Delete {
            key: key(code),
            expected_version: None,
            actor: "deleter".into(),
            at: NOW,
            idempotency: None,
        };
        own.delete(deletion).await.unwrap();
    }
    let told = other.changes(Some(position)).await.unwrap().keys;
    assert_eq!(told.len(), codes.len());
    for _ in 0..20 {
        for store in [&own, &other] {
            for code in edited {
                assert_eq!(seen(store, code).await.unwrap(), NEW);
            }
            for code in deleted {
                assert_eq!(seen(store, code).await, None);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    resume(&standby);
    until("edited links are read from the standby", async || {
        let before = reads(&other);
        for code in edited {
            assert_eq!(seen(&other, code).await.unwrap(), NEW);
        }
        reads(&other) - before == edited.len() as u64
    })
    .await;
}

/// What a server says of another database is not believed, though it may be further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_follows_another_primary_is_not_read() {
    let (primary, other) = (PrivatePostgres::start(), PrivatePostgres::start());
    let stray = other.standby();
    other.sql(
        "postgres",
        "CREATE TABLE more AS SELECT generate_series(1, 100000)",
    );
    let store = start(&[&primary, &stray], &reading(100)).await;
    make(&store, "still", OLD).await;
    let stray = &stray;
    until("it is known", async || {
        stray.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate'",
        ) != "0"
    })
    .await;
    for _ in 0..20 {
        assert_eq!(target(&store, "still").await.unwrap(), OLD);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = of(&store, stray);
    assert!(
        !told.readable && told.reads == 0 && told.failed == 0,
        "{told:?}"
    );
}

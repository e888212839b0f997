//! Several instances on one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_links::store::{
    ChangeFeed as _, Delete, Expiry, Insert, Inserted, LeaseStore as _, Lifecycle as _,
    LinkStore as _, PostgresAddress, PostgresLinkStore, StoreError, Update,
};
use tollgate_links::{Code, Domain, Link, LinkKey, LinkSpec, Origin, TargetUrl};

use crate::private_postgres::{PASSWORD, PrivatePostgres};
use crate::{PATIENCE, open, options};

pub(crate) const NOW: UnixMillis = UnixMillis::from_millis(1_900_000_000_000);

pub(crate) fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

pub(crate) fn insert(code: &str, target: &str) -> Insert {
    let link = Link {
        key: key(code),
        spec: LinkSpec::to(TargetUrl::from_stored(target)),
        origin: Origin::Alias,
        created_at: NOW,
        updated_at: NOW,
        created_by: "maker".into(),
        version: 1,
        clicks_used: 0,
    };
    Insert {
        link,
        reuse: false,
        idempotency: None,
    }
}

pub(crate) async fn start(url: &str) -> Arc<PostgresLinkStore> {
    Arc::new(open(url, Arc::new(ManualClock::at(NOW)), &options()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_make_the_tables_once() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let started: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { start(&url).await })
        })
        .collect();
    for store in started {
        assert_eq!(store.await.unwrap().count().await.unwrap(), 0);
    }
    let versions = server.sql("postgres", "SELECT component, version FROM tollgate_schema");
    assert_eq!(versions, "links|1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused() {
    let server = PrivatePostgres::start();
    drop(start(&server.url("postgres")).await);
    server.sql("postgres", "UPDATE tollgate_schema SET version = 9");
    let address = PostgresAddress::parse(&server.url("postgres")).unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let refused = PostgresLinkStore::open(address, clock, &options())
        .await
        .err();
    let error = refused.unwrap();
    assert!(
        matches!(
            &error,
            StoreError::NewerSchema {
                found: 9,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains(&server.address()), "{error}");
    assert!(!error.to_string().contains(PASSWORD), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_take_different_numbers_and_one_of_them_each_code() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let stores = [start(&url).await, start(&url).await, start(&url).await];
    let tasks: Vec<_> = (0..24)
        .map(|task| {
            let store = Arc::clone(&stores[task % 3]);
            tokio::spawn(async move {
                let mut blocks = Vec::new();
                for _ in 0..10 {
                    blocks.push(store.lease_block("counter", 7).await.unwrap());
                }
                let worker = store.acquire_worker(1024, NOW, PATIENCE).await.unwrap();
                let mut made = Vec::new();
                // Everyone in another order: whoever waits for whom must not wait in a circle.
                let mut codes: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
                codes.rotate_left(task);
                let target = format!("https://t.example/{task}");
                let inserts = codes.iter().map(|code| insert(code, &target)).collect();
                for (code, answer) in codes.iter().zip(store.insert(inserts).await.unwrap()) {
                    match answer {
                        Inserted::Created(_) => made.push(code.clone()),
                        other => assert_eq!(other, Inserted::CodeTaken),
                    }
                }
                (blocks, worker.unwrap().worker, made)
            })
        })
        .collect();
    let (mut numbers, mut workers, mut codes) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for task in tasks {
        let (blocks, worker, made) = task.await.unwrap();
        numbers.extend(blocks.into_iter().flatten());
        workers.insert(worker);
        codes.extend(made);
    }
    assert_eq!(numbers, (0..24 * 10 * 7).collect());
    assert_eq!(workers.len(), 24);
    codes.sort();
    assert_eq!(codes.len(), 30, "{codes:?}");
    codes.dedup();
    assert_eq!(codes.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_wake_the_followers_of_others() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let (one, other) = (start(&url).await, start(&url).await);
    one.insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    let begin = other.changes(None).await.unwrap().upto;
    // It says once that it listens.
    let heard = async || {
        tokio::time::timeout(PATIENCE, other.changed())
            .await
            .unwrap()
    };
    heard().await;
    let edit = Update {
        key: key("a"),
        expected_version: 1,
        spec: LinkSpec::to(TargetUrl::from_stored("https://b.example/")),
        actor: "editor".into(),
        at: NOW,
        idempotency: None,
    };
    one.update(edit).await.unwrap();
    heard().await;
    let changes = other.changes(Some(begin)).await.unwrap();
    assert_eq!(changes.keys, [key("a")]);
    assert!(other.stats().listening);

    // Whoever cannot listen for a while is woken when it does again: something may have been missed.
    server.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
    );
    heard().await;
    let deletion = Delete {
        key: key("a"),
        expected_version: None,
        actor: "deleter".into(),
        at: NOW,
        idempotency: None,
    };
    one.delete(deletion).await.unwrap();
    heard().await;
    let changes = other.changes(Some(changes.upto)).await.unwrap();
    assert_eq!(changes.keys, [key("a")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_edits_reach_followers_without_gaps() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let stores = [start(&url).await, start(&url).await];
    const LINKS: usize = 40;
    let links = (0..LINKS).map(|n| insert(&format!("c{n}"), "https://a.example/"));
    stores[0].insert(links.collect()).await.unwrap();
    let mut position = stores[1].changes(None).await.unwrap().upto;
    let editors: Vec<_> = (0..LINKS)
        .map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move {
                let deletion = Delete {
                    key: key(&format!("c{n}")),
                    expected_version: None,
                    actor: "deleter".into(),
                    at: NOW,
                    idempotency: None,
                };
                store.delete(deletion).await.unwrap();
            })
        })
        .collect();
    // Whoever follows while they commit in any order misses none.
    let mut seen = BTreeSet::new();
    let follow = async {
        while seen.len() < LINKS {
            let changes = stores[1].changes(Some(position)).await.unwrap();
            assert!(!changes.lost);
            position = changes.upto;
            seen.extend(changes.keys.iter().map(|key| key.code.as_str().to_owned()));
        }
    };
    tokio::time::timeout(PATIENCE, follow).await.unwrap();
    for editor in editors {
        editor.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_told_in_the_order_of_their_end() {
    let server = PrivatePostgres::start();
    let store = start(&server.url("postgres")).await;
    let at = |seconds: i64| UnixMillis::from_millis(1_000_000 + 1_000 * seconds);
    for (code, ends) in [("a", Some(2)), ("b", None), ("c", Some(1)), ("d", Some(2))] {
        let mut insert = insert(code, "https://a.example/");
        insert.link.spec.expires_at = ends.map(at);
        store.insert(vec![insert]).await.unwrap();
    }
    let mut position = Expiry::behind(at(0));
    for (until, limit, expected, upto) in [
        (1, 10, vec!["c"], Some(1)),
        (9, 1, vec!["a"], None),
        (9, 1, vec!["d"], None),
        (9, 1, vec![], Some(9)),
        (5, 1, vec![], Some(9)),
    ] {
        let (links, next) = store.expired(position, at(until), limit).await.unwrap();
        let codes: Vec<_> = links.iter().map(|link| link.key.code.as_str()).collect();
        assert_eq!(codes, expected);
        if let Some(upto) = upto {
            assert_eq!(next, Expiry::behind(at(upto)));
        }
        position = next;
    }
}

/// Some commit late, with lower numbers than what is already told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_new_link_is_told_of_once_however_late_it_commits() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let stores = [start(&url).await, start(&url).await];
    let (none, mut position) = stores[0].made(None, 10).await.unwrap();
    assert!(none.is_empty());
    // Each third link waits before its commit.
    server.sql(
        "postgres",
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id % 3 = 0 THEN PERFORM pg_sleep(0.05); END IF; RETURN NULL; END $$",
    );
    server.sql(
        "postgres",
        "CREATE TRIGGER dawdle AFTER INSERT ON links FOR EACH ROW EXECUTE FUNCTION dawdle()",
    );
    const TASKS: usize = 8;
    const EACH: usize = 30;
    let makers: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&stores[task % 2]);
            tokio::spawn(async move {
                for n in 0..EACH {
                    let link = insert(&format!("t{task}n{n}"), "https://a.example/");
                    store.insert(vec![link]).await.unwrap();
                }
            })
        })
        .collect();
    let (mut told, begin) = (Vec::new(), Instant::now());
    while told.len() < TASKS * EACH {
        assert!(begin.elapsed() < PATIENCE, "{} are told of", told.len());
        let (links, upto) = stores[0].made(Some(position), 7).await.unwrap();
        assert!(upto >= position);
        position = upto;
        told.extend(
            links
                .into_iter()
                .map(|link| link.key.code.as_str().to_owned()),
        );
    }
    for maker in makers {
        maker.await.unwrap();
    }
    let distinct: BTreeSet<_> = told.iter().collect();
    assert_eq!((told.len(), distinct.len()), (TASKS * EACH, TASKS * EACH));
    let ahead = stores[0].made(Some(position + 100), 7).await.unwrap();
    assert_eq!(
        ahead,
        (vec![], position),
        "an older database came in its place"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_is_one_statement_prepared_before() {
    let settings = [
        "shared_preload_libraries=pg_stat_statements",
        "pg_stat_statements.track=all",
    ];
    let server = PrivatePostgres::start_with(&settings);
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements");
    let store = start(&server.url("postgres")).await;
    store
        .insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    store.get(&key("a")).await.unwrap();
    server.sql(
        "postgres",
        "ALTER SYSTEM SET log_min_duration_statement = 0",
    );
    server.sql("postgres", "SELECT pg_reload_conf()");
    let begin = Instant::now();
    while !server.log().contains("execute s") {
        assert!(begin.elapsed() < PATIENCE, "nothing is logged");
        store.get(&key("a")).await.unwrap();
    }
    server.sql("postgres", "SELECT pg_stat_statements_reset()");
    let before = server.log().len();
    for _ in 0..100 {
        assert!(store.get(&key("a")).await.unwrap().is_some());
        assert!(store.get(&key("missing")).await.unwrap().is_none());
    }
    // What is prepared again, or described, leaves a line for that.
    let log = server.log().split_off(before);
    assert_eq!(log.matches(" execute s").count(), 200, "{log}");
    assert!(!log.contains(" parse s"), "{log}");
    let calls = server.sql(
        "postgres",
        "SELECT calls, query FROM pg_stat_statements
         WHERE query NOT LIKE '%pg_stat_statements%' ORDER BY calls DESC",
    );
    let mut lines = calls.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("200|SELECT id, domain, code"), "{calls}");
    assert_eq!(lines.next(), None, "{calls}");
}

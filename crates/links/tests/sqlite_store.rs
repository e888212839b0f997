//! What only the embedded store has: a file, and what can be wrong with it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_links::store::{
    ChangeFeed, ClickGrant, Delete, Expiry, Insert, Inserted, LeaseStore, Lifecycle, LinkStore,
    ListQuery, SqliteLinkStore, SqliteOptions, StoreError, Update, Updated,
};
use tollgate_links::{Code, Domain, Link, LinkKey, LinkSpec, Origin, TargetUrl};

fn options() -> SqliteOptions {
    let mut options = SqliteOptions::default();
    options.open.busy_timeout = Duration::from_millis(50);
    options
}

fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteLinkStore, StoreError> {
    SqliteLinkStore::open(path, Arc::new(ManualClock::default()), options)
}

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

fn insert(code: &str) -> Insert {
    let at = UnixMillis::from_millis(1_000);
    Insert {
        link: Link {
            key: key(code),
            spec: LinkSpec::to(TargetUrl::from_stored(format!("https://a.example/{code}"))),
            origin: Origin::Alias,
            created_at: at,
            updated_at: at,
            created_by: "tester".into(),
            version: 1,
            clicks_used: 0,
        },
        reuse: false,
        idempotency: None,
    }
}

async fn fill(store: &SqliteLinkStore, links: usize) {
    let inserts = (0..links).map(|n| insert(&format!("code{n}"))).collect();
    store.insert(inserts).await.unwrap();
}

/// Everything a user may meet, with the file's name in the message.
fn names(error: &StoreError, path: &Path) {
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/links.db");
    let store = open(&path, &options()).unwrap();
    fill(&store, 3).await;
    let block = store.lease_block("codes", 10).await.unwrap();
    let before = store.changes(None).await.unwrap().upto;
    store
        .delete(Delete {
            key: key("code1"),
            expected_version: None,
            actor: "tester".into(),
            at: UnixMillis::from_millis(2_000),
            idempotency: None,
        })
        .await
        .unwrap();
    drop(store);

    let store = open(&path, &options()).unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
    assert_eq!(
        store.get(&key("code0")).await.unwrap(),
        Some(insert("code0").link)
    );
    assert_eq!(store.get(&key("code1")).await.unwrap(), None);
    assert_eq!(store.history(&key("code1"), 9).await.unwrap().len(), 2);
    assert_eq!(
        store.changes(Some(before)).await.unwrap().keys,
        [key("code1")]
    );
    assert_eq!(
        store.lease_block("codes", 1).await.unwrap().start,
        block.end
    );
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    let mut patient = options();
    patient.open.busy_timeout = Duration::from_secs(60);
    let (one, other) = (
        open(&path, &patient).unwrap(),
        open(&path, &patient).unwrap(),
    );
    let position = other.changes(None).await.unwrap().upto;
    let mut limited = insert("limited");
    limited.link.spec.max_clicks = std::num::NonZeroU64::new(40);
    one.insert(vec![limited]).await.unwrap();

    let race = async |store: &SqliteLinkStore| {
        let (mut created, mut granted, mut blocks) = (0, 0, Vec::new());
        for n in 0..30 {
            let answers = store.insert(vec![insert(&format!("c{n}"))]).await.unwrap();
            created += usize::from(matches!(answers[..], [Inserted::Created(_)]));
            let click = store.take_click(&key("limited")).await.unwrap();
            granted += usize::from(matches!(click, ClickGrant::Granted { .. }));
            blocks.push(store.lease_block("codes", 7).await.unwrap().start);
        }
        (created, granted, blocks)
    };
    let (a, b) = tokio::join!(race(&one), race(&other));
    assert_eq!((a.0 + b.0, a.1 + b.1), (30, 40));
    let mut blocks = [a.2, b.2].concat();
    blocks.sort_unstable();
    assert_eq!(blocks, (0..60).map(|n| n * 7).collect::<Vec<_>>());
    assert_eq!(other.count().await.unwrap(), 31);

    let edited = one
        .update(Update {
            key: key("limited"),
            expected_version: 1,
            spec: LinkSpec::to(TargetUrl::from_stored("https://b.example/")),
            actor: "tester".into(),
            at: UnixMillis::from_millis(2_000),
            idempotency: None,
        })
        .await
        .unwrap();
    let Updated::Updated(edited) = edited else {
        panic!("{edited:?}");
    };
    assert_eq!(other.get(&key("limited")).await.unwrap(), Some(edited));
    let changes = other.changes(Some(position)).await.unwrap();
    assert_eq!(changes.keys, [key("limited")]);
}

#[tokio::test]
async fn a_locked_file_is_unavailable_for_writes_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    let store = open(&path, &options()).unwrap();
    fill(&store, 1).await;
    let elsewhere = rusqlite::Connection::open(&path).unwrap();
    elsewhere.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = store.insert(vec![insert("x")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    names(&error, &path);
    assert!(store.get(&key("code0")).await.unwrap().is_some());
    // A second process can start meanwhile.
    drop(open(&path, &options()).unwrap());
    elsewhere.execute_batch("COMMIT").unwrap();
    store.insert(vec![insert("x")]).await.unwrap();
}

#[test]
fn a_file_that_another_process_keeps_to_itself_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    let elsewhere = rusqlite::Connection::open(&path).unwrap();
    elsewhere
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t(x)")
        .unwrap();
    let error = open(&path, &options()).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    names(&error, &path);
}

#[tokio::test]
async fn a_read_only_file_answers_and_refuses_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    let mut read_only = options();
    read_only.open.read_only = true;
    let error = open(&path, &read_only).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    names(&error, &path);

    fill(&open(&path, &options()).unwrap(), 2).await;
    let store = open(&path, &read_only).unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
    let error = store.insert(vec![insert("x")]).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    names(&error, &path);
}

#[tokio::test]
async fn a_damaged_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    fill(&open(&path, &options()).unwrap(), 2_000).await;
    let whole = std::fs::read(&path).unwrap();

    // Everything behind the first pages, which hold the schema.
    let mut torn = whole.clone();
    torn[32 * 4096..].fill(0xa5);
    std::fs::write(&path, &torn).unwrap();
    let store = open(&path, &options()).unwrap();
    let error = store.list(&ListQuery::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    names(&error, &path);
    drop(store);

    let mut headless = whole;
    headless[..100].fill(0);
    std::fs::write(&path, &headless).unwrap();
    let error = open(&path, &options()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    names(&error, &path);
}

#[tokio::test]
async fn a_value_that_nothing_of_ours_writes_counts_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    let store = open(&path, &options()).unwrap();
    fill(&store, 1).await;
    let elsewhere = rusqlite::Connection::open(&path).unwrap();
    for damage in ["origin = 99", "redirect = 200", "rules = '{'", "tags = '3'"] {
        elsewhere
            .execute_batch(&format!("BEGIN; UPDATE links SET {damage}; COMMIT"))
            .unwrap();
        let error = store.get(&key("code0")).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{damage}: {error}");
    }
}

#[test]
fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.db");
    drop(open(&path, &options()).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE schema_versions SET version = version + 5 WHERE component = 'links'")
        .unwrap();
    let error = open(&path, &options()).err().unwrap();
    match &error {
        StoreError::NewerSchema { found, known, .. } => assert_eq!(*found, known + 5),
        other => panic!("{other}"),
    }
    names(&error, &path);
}

#[tokio::test]
async fn the_writer_tells_what_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("links.db"), &options()).unwrap();
    fill(&store, 10).await;
    let stats = store.writer_stats();
    assert_eq!((stats.commits, stats.jobs, stats.queued), (1, 1, 0));
    assert!(stats.rows >= 10, "{stats:?}");
}

#[tokio::test]
async fn links_are_told_in_the_order_of_their_making_and_of_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("l.db"), &options()).unwrap();
    let codes = |links: &[Link]| -> Vec<String> {
        links.iter().map(|link| link.key.code.to_string()).collect()
    };
    fill(&store, 1).await;
    let (none, before) = store.made(None, 10).await.unwrap();
    assert!(none.is_empty(), "only what is made from now on");
    let at = |seconds: i64| UnixMillis::from_millis(1_000_000 + 1_000 * seconds);
    for (code, ends) in [("a", Some(2)), ("b", None), ("c", Some(1)), ("d", Some(2))] {
        let mut insert = insert(code);
        insert.link.spec.expires_at = ends.map(at);
        store.insert(vec![insert]).await.unwrap();
    }
    let (two, upto) = store.made(Some(before), 2).await.unwrap();
    assert_eq!(codes(&two), ["a", "b"]);
    let (rest, upto) = store.made(Some(upto), 2).await.unwrap();
    assert_eq!(codes(&rest), ["c", "d"]);
    assert_eq!(store.made(Some(upto), 2).await.unwrap(), (vec![], upto));
    let ahead = store.made(Some(upto + 100), 2).await.unwrap();
    assert_eq!(ahead, (vec![], upto), "an older file came in its place");

    let start = Expiry::behind(at(0));
    let (early, upto) = store.expired(start, at(1), 10).await.unwrap();
    assert_eq!(codes(&early), ["c"], "the last moment belongs to it");
    assert_eq!(upto, Expiry::behind(at(1)));
    let (one, upto) = store.expired(upto, at(9), 1).await.unwrap();
    assert_eq!(codes(&one), ["a"]);
    let (other, upto) = store.expired(upto, at(9), 1).await.unwrap();
    assert_eq!(codes(&other), ["d"], "at the same moment");
    let (none, upto) = store.expired(upto, at(9), 1).await.unwrap();
    assert_eq!((none, upto), (vec![], Expiry::behind(at(9))));
    let back = store.expired(upto, at(5), 1).await.unwrap();
    assert_eq!(back, (vec![], upto), "the clock was set back");
}

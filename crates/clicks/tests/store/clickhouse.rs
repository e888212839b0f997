//! The store in ClickHouse, on its engine as `chdb` embeds it, behind a small HTTP server of the tests' own. It comes
//! from PyPI: `scripts/test` runs these tests in a stage of their own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tollgate_clicks::query::Scope;
use tollgate_clicks::store::{
    Added, ClickHouseAddress, ClickHouseClickStore, ClickHouseOptions, ClickStore, StoreError,
};

use super::engine::{Engine, Keep, suite};
use super::free_port::free_port;
use super::listed::raw;
use super::private_chdb::PrivateChdb;
use super::*;

/// One server for all cases.
fn server() -> &'static PrivateChdb {
    static SERVER: LazyLock<PrivateChdb> = LazyLock::new(PrivateChdb::start);
    &SERVER
}

struct ClickHouse {
    database: String,
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[async_trait]
impl Engine for ClickHouse {
    const CASES: u32 = 6;

    fn fresh() -> Self {
        Self {
            database: format!("d{}", next()),
        }
    }

    async fn open(&self, keep: Keep) -> Arc<dyn ClickStore> {
        Arc::new(open(&server().url(&self.database), keep).await.unwrap())
    }
}

async fn open(url: &str, keep: Keep) -> Result<ClickHouseClickStore, StoreError> {
    let options = ClickHouseOptions {
        // The machine may be busy with other tests.
        deadline: Duration::from_secs(60),
        retain_raw: keep.raw,
        archive: keep.archive,
        identity: next(),
    };
    let address = ClickHouseAddress::parse(url).unwrap();
    ClickHouseClickStore::open(address, clock(), &options).await
}

suite!(ClickHouse, ignored: "needs chdb: scripts/test e2e");

#[test]
#[ignore = "needs chdb: scripts/test e2e"]
fn what_is_not_there_is_told_without_the_password() {
    threads().block_on(async {
        let nobody = format!("clickhouse://me:sesame@127.0.0.1:{}/d", free_port(229));
        let error = open(&nobody, Keep::days(1)).await.err().unwrap();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    });
}

/// A process may end anywhere, and what it has sent may still be done, while another counts the same.
#[test]
#[ignore = "needs chdb: scripts/test e2e"]
fn a_batch_that_was_broken_off_counts_once() {
    threads().block_on(async {
        let engine = ClickHouse::fresh();
        let (dies, lives) = join(&engine).await;
        let clicks: Vec<_> = (0..3).map(|n| one_click(["x", "y"][n % 2], NOW)).collect();
        for waits in 0..40 {
            let (after, to) = (at(waits), at(waits + 1));
            let first = batch(after, to, &clicks);
            let counting = dies.add(first.clone());
            let done = tokio::time::timeout(Duration::from_millis(waits * 3), counting).await;
            let added = lives.add(first).await.unwrap();
            if matches!(done, Ok(Ok(Added::Counted))) {
                assert_eq!(added, Added::Elsewhere(to));
            }
        }
        let expected = 40 * clicks.len() as u64;
        let answer = lives.statistics(counting::everything()).await.unwrap();
        assert_eq!(answer.total, expected);
        let listed = raw(&*lives, Scope::Everything).await;
        assert_eq!(listed.len() as u64, expected);
    });
}

async fn join(engine: &ClickHouse) -> (Arc<dyn ClickStore>, Arc<dyn ClickStore>) {
    let mut both = join_all([(); 2].map(|()| engine.open(Keep::days(30)))).await;
    (both.remove(0), both.remove(0))
}

/// What all of it rests on: of two inserts with a token one is done, whatever became of its rows meanwhile.
#[test]
#[ignore = "needs chdb: scripts/test e2e"]
fn the_engine_knows_a_token_again_after_merges_and_deletions() {
    let engine = ClickHouse::fresh();
    threads().block_on(async {
        engine.open(Keep::days(30)).await;
    });
    let ask = |settings: &str, sql: &str| server().ask(&engine.database, settings, sql);
    let insert = |token: &str, name: &str| {
        let rows = format!(r#"{{"kind":99,"name":"{name}","version":1}}"#);
        let sql = format!("INSERT INTO tollgate_clicks FORMAT JSONEachRow {rows}");
        let settings = format!("insert_deduplicate=1&insert_deduplication_token={token}");
        ask(&settings, &sql);
    };
    let names = || {
        let sql = "SELECT name FROM tollgate_clicks WHERE kind = 99 ORDER BY name FORMAT CSV";
        ask("", sql)
    };
    insert("t1", "a");
    insert("t2", "b");
    insert("t1", "not");
    ask("", "OPTIMIZE TABLE tollgate_clicks FINAL");
    insert("t1", "not");
    ask(
        "",
        "DELETE FROM tollgate_clicks WHERE kind = 99 AND name = 'a'",
    );
    insert("t1", "not");
    insert("t2", "not");
    insert("t3", "c");
    assert_eq!(names(), "\"b\"\n\"c\"\n");
}

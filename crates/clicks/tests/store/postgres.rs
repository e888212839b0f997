//! The store in PostgreSQL, on servers of the tests' own.
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tollgate_clicks::Dimension;
use tollgate_clicks::query::{Query, Scope};
use tollgate_clicks::store::{
    Added, ClickStore, PostgresAddress, PostgresClickStore, PostgresOptions, StoreError,
};

use super::counting::everything;
use super::engine::{Engine, Keep, suite};
use super::listed::raw;
use super::private_postgres::PrivatePostgres;
use super::*;

/// One server for all cases. It ends with the process.
fn server() -> &'static PrivatePostgres {
    static SERVER: LazyLock<PrivatePostgres> = LazyLock::new(PrivatePostgres::start);
    &SERVER
}

struct Postgres {
    database: String,
}

#[async_trait]
impl Engine for Postgres {
    const CASES: u32 = 24;

    fn fresh() -> Self {
        Self {
            database: server().database(),
        }
    }

    async fn open(&self, keep: Keep) -> Arc<dyn ClickStore> {
        Arc::new(open(&server().url(&self.database), keep).await.unwrap())
    }
}

async fn open(url: &str, keep: Keep) -> Result<PostgresClickStore, StoreError> {
    open_at(url, keep, clock()).await
}

async fn open_at(
    url: &str,
    keep: Keep,
    clock: Arc<ManualClock>,
) -> Result<PostgresClickStore, StoreError> {
    let options = PostgresOptions {
        connections: 4,
        // The machine may be busy with other tests.
        deadline: Duration::from_secs(60),
        retain_raw: keep.raw,
        archive: keep.archive,
    };
    let address = PostgresAddress::parse(url).unwrap();
    PostgresClickStore::open(address, clock, &options).await
}

suite!(Postgres);

fn sql(engine: &Postgres, statement: &str) -> String {
    server().sql(&engine.database, statement)
}

fn partitions(engine: &Postgres) -> Vec<String> {
    let names = sql(
        engine,
        "SELECT inhrelid::regclass FROM pg_inherits
         WHERE inhparent = 'click_raw'::regclass",
    );
    let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn partitions_are_made_ahead_and_dropped_behind() {
    runtime().block_on(async {
        let engine = Postgres::fresh();
        let url = server().url(&engine.database);
        let clock = clock();
        let store = open_at(&url, Keep::days(2), Arc::clone(&clock))
            .await
            .unwrap();
        let ahead: Vec<String> = (25..=30)
            .map(|day| format!("click_raw_2026_11_{day}"))
            .chain((1..=2).map(|day| format!("click_raw_2026_12_0{day}")))
            .collect();
        assert_eq!(partitions(&engine), ahead);
        // What comes late makes its own.
        let late = [one_click("x", NOW - DAY)];
        store.add(batch(at(0), at(1), &late)).await.unwrap();
        assert_eq!(partitions(&engine)[0], "click_raw_2026_11_24");
        assert_eq!(
            sql(&engine, "SELECT count(*) FROM click_raw_2026_11_24"),
            "1"
        );

        clock.advance(Duration::from_hours(4 * 24));
        let retained = store.retain().await.unwrap();
        assert_eq!(
            (retained.days, retained.clicks),
            (1, 1),
            "empty ones are not told"
        );
        let left = partitions(&engine);
        assert_eq!(left.first().unwrap(), "click_raw_2026_11_27");
        assert_eq!(left.last().unwrap(), "click_raw_2026_12_06");
        assert_eq!(store.statistics(everything()).await.unwrap().total, 1);
    });
}

#[test]
fn clicks_of_ten_years_make_no_partitions_but_of_the_last_one() {
    runtime().block_on(async {
        let engine = Postgres::fresh();
        let clicks: Vec<_> = (0..800)
            .map(|number| one_click("x", NOW - 5 * number * DAY))
            .collect();
        for (days, step, late) in [(20, 0, 4), (30_000, 1, 73)] {
            let store = engine.open(Keep::days(days)).await;
            let batch = batch(at(step), at(step + 1), &clicks);
            store.add(batch).await.unwrap();
            // Those that are ahead and today come besides.
            assert_eq!(partitions(&engine).len(), 8 + late);
        }
    });
}

#[test]
fn who_counts_at_the_same_time_takes_another_lane_and_waits_for_nobody() {
    runtime().block_on(async {
        let engine = Postgres::fresh();
        let url = server().url(&engine.database);
        let store = open(&url, Keep::days(2)).await.unwrap();
        let clicks: Vec<_> = (0..10).map(|_| one_click("x", NOW)).collect();
        let lanes = || {
            sql(
                &engine,
                "SELECT DISTINCT lane FROM click_hours ORDER BY lane",
            )
        };
        store.add(batch(at(0), at(1), &clicks)).await.unwrap();
        store.add(batch(at(1), at(2), &clicks)).await.unwrap();
        assert_eq!(lanes(), "0", "one alone needs no other");
        // Another instance is in the middle of it.
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        client
            .batch_execute(
                "BEGIN; SELECT pg_advisory_xact_lock(1952932716, 0);
            SELECT * FROM click_hours FOR UPDATE",
            )
            .await
            .unwrap();
        store.add(batch(at(2), at(3), &clicks)).await.unwrap();
        assert_eq!(lanes(), "0\n1");
        client.batch_execute("COMMIT").await.unwrap();
        connection.abort();
        let answer = store
            .statistics(Query {
                by: vec![Dimension::Link],
                ..everything()
            })
            .await
            .unwrap();
        assert_eq!((answer.total, answer.by[0].values[0].clicks), (30, 30));
        let visitors = if clicks[0].click.visitor.is_some() {
            1
        } else {
            0
        };
        assert_eq!(answer.unique, Some(visitors), "the same one in both lanes");
    });
}

#[test]
fn what_was_written_of_a_link_while_it_was_forgotten_goes_later() {
    runtime().block_on(async {
        let engine = Postgres::fresh();
        let url = server().url(&engine.database);
        let clock = clock();
        let store = open_at(&url, Keep::days(30), Arc::clone(&clock))
            .await
            .unwrap();
        let clicks = [one_click("x", NOW)];
        store.add(batch(at(0), at(1), &clicks)).await.unwrap();
        let scope = sql(&engine, "SELECT id FROM click_scopes WHERE kind = 2");
        let before = sql(&engine, "SELECT count(*) FROM click_days");
        assert!(store.forget(&link("go.example", "x")).await.unwrap());
        // Whoever had looked the number up before, writes by it.
        for statement in [
            "INSERT INTO click_hours VALUES (SCOPE, false, 1, 0, 1, 0, 0, 0, '', '')",
            "INSERT INTO click_days VALUES (SCOPE, false, 1, 0, 1, '', '')",
            "INSERT INTO click_raw(link, domain, at, process, event, bot, adjusted)
             VALUES (SCOPE, 1, 1795608000000, 1, 1, false, false)",
        ] {
            sql(&engine, &statement.replace("SCOPE", &scope));
        }
        let left = || {
            [
                "click_hours WHERE scope",
                "click_days WHERE scope",
                "click_raw WHERE link",
            ]
            .map(|of| sql(&engine, &format!("SELECT count(*) FROM {of} = {scope}")))
            .join(" ")
        };
        store.retain().await.unwrap();
        assert_eq!(left(), "1 1 1", "somebody may still be at it");
        clock.advance(Duration::from_hours(12));
        store.retain().await.unwrap();
        assert_eq!(left(), "0 0 0");
        let after: u64 = sql(&engine, "SELECT count(*) FROM click_days")
            .parse()
            .unwrap();
        assert_eq!(after + 1, before.parse::<u64>().unwrap(), "totals stay");
        assert_eq!(sql(&engine, "SELECT count(*) FROM click_forgotten"), "0");
    });
}

#[test]
fn instances_that_start_at_once_make_the_tables_once_and_newer_ones_are_refused() {
    runtime().block_on(async {
        let engine = Postgres::fresh();
        let url = server().url(&engine.database);
        let opened = join_all((0..4).map(|_| open(&url, Keep::days(2)))).await;
        assert!(opened.iter().all(Result::is_ok));
        drop(opened);
        sql(
            &engine,
            "UPDATE tollgate_schema SET version = 9 WHERE component = 'clicks'",
        );
        let refused = open(&url, Keep::days(2)).await.err();
        assert!(
            matches!(
                refused,
                Some(StoreError::NewerSchema {
                    found: 9,
                    known: 1,
                    ..
                })
            ),
            "{refused:?}"
        );
    });
}

#[test]
fn a_server_that_is_killed_loses_and_doubles_nothing() {
    const BATCHES: u64 = 60;
    let mut server = PrivatePostgres::start();
    let url = server.url("postgres");
    let runtime = threads();
    let store = Arc::new(runtime.block_on(open(&url, Keep::days(30))).unwrap());
    let adding = {
        let store = Arc::clone(&store);
        let clicks: Vec<_> = (0..50)
            .map(|number| one_click(["x", "y", "z"][number % 3], NOW - number as i64 * HOUR))
            .collect();
        runtime.spawn(async move {
            let mut failures = 0;
            for step in 0..BATCHES {
                let batch = batch(at(step), at(step + 1), &clicks);
                loop {
                    match store.add(batch.clone()).await {
                        Ok(Added::Counted) => break,
                        // It had been counted, but the answer was lost.
                        Ok(Added::Elsewhere(position)) => {
                            assert_eq!(position, at(step + 1));
                            break;
                        }
                        Err(StoreError::Unavailable(_)) => failures += 1,
                        Err(error) => panic!("{error}"),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            failures
        })
    };
    let counted = |server: &PrivatePostgres| -> u64 {
        let found = server.sql("postgres", "SELECT coalesce(max(at), 0) FROM click_sources");
        found.parse().unwrap()
    };
    for part in 1..=4 {
        // Not before it has gone on since.
        while counted(&server) < part * BATCHES / 6 {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.restart();
    }
    let failures = runtime.block_on(adding).unwrap();
    assert!(failures > 0, "it was never away");
    runtime.block_on(async {
        let answer = store.statistics(everything()).await.unwrap();
        assert_eq!(answer.total, BATCHES * 50);
        let raw = raw(&*store, Scope::Everything).await;
        assert_eq!(raw.len() as u64, BATCHES * 50);
    });
}

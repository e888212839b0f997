use std::io::Read as _;

use tollgate_clicks::Position;
use tollgate_clicks::query::{Bots, LinkName, List, Period, Query, Scope};
use tollgate_clicks::store::{ClickStore, Retained};
use tollgate_clock::UnixMillis;

use super::queries::one_click;
use super::*;

fn everything() -> Query {
    let at = UnixMillis::from_millis;
    Query::new(
        Scope::Everything,
        Period::new(at(NOW - 9 * DAY), at(NOW + DAY)).unwrap(),
    )
}

async fn raw(store: &SqliteClickStore, scope: Scope) -> usize {
    let list = List {
        scope,
        period: None,
        bots: Bots::Include,
        after: None,
        limit: 1_000,
    };
    store.clicks(list).await.unwrap().clicks.len()
}

#[tokio::test]
async fn days_past_their_time_are_archived_and_dropped_and_roll_ups_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (file, archive) = (dir.path().join("c.db"), dir.path().join("a/b"));
    let long = open(&file, Duration::from_hours(24 * 30), None);
    let clicks: Vec<_> = (0..6)
        .map(|days| one_click("x", NOW - days * DAY))
        .collect();
    long.add(batch(Position::default(), at(1), &clicks))
        .await
        .unwrap();
    assert_eq!(raw(&long, Scope::Everything).await, 6);
    assert_eq!(long.retain().await.unwrap(), Retained::default());
    drop(long);

    let short = open(&file, Duration::from_hours(2 * 24), Some(&archive));
    assert_eq!(
        short.retain().await.unwrap(),
        Retained { days: 3, clicks: 3 }
    );
    assert_eq!(short.retain().await.unwrap(), Retained::default());
    assert_eq!(raw(&short, Scope::Everything).await, 3);
    assert_eq!(short.statistics(everything()).await.unwrap().total, 6);
    // Too late for the raw clicks, not for the counts.
    let late = [one_click("x", NOW - 4 * DAY)];
    short.add(batch(at(1), at(2), &late)).await.unwrap();
    assert_eq!(raw(&short, Scope::Everything).await, 3);
    assert_eq!(short.statistics(everything()).await.unwrap().total, 7);
    drop(short);

    let mut names: Vec<_> = std::fs::read_dir(&archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "clicks-2026-11-20.ndjson.gz",
            "clicks-2026-11-21.ndjson.gz",
            "clicks-2026-11-22.ndjson.gz"
        ]
    );
    let mut text = String::new();
    let file_of_day = std::fs::File::open(archive.join(&names[0])).unwrap();
    flate2::read::GzDecoder::new(file_of_day)
        .read_to_string(&mut text)
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["at"], "2026-11-20T12:00:00Z");
    assert_eq!(
        (&line["code"], &line["domain"]),
        (&"x".into(), &"go.example".into())
    );
    assert_eq!(line["referrer_url"], "https://a.example/");

    // Kept longer again: what is gone stays known as gone.
    let long = open(&file, Duration::from_hours(24 * 30), None);
    let mut query = everything();
    query.filters = vec!["country=a".parse().unwrap(), "browser=b".parse().unwrap()];
    let error = long.statistics(query).await.unwrap_err();
    assert!(
        error.to_string().contains("2026-11-23T00:00:00Z"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_dropped_that_cannot_be_archived() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let file = dir.path().join("c.db");
    let long = open(&file, Duration::from_hours(24 * 30), None);
    let old = [one_click("x", NOW - 5 * DAY)];
    long.add(batch(Position::default(), at(1), &old))
        .await
        .unwrap();
    drop(long);
    let store = open(
        &file,
        Duration::from_hours(24),
        Some(&in_the_way.join("below")),
    );
    store.retain().await.unwrap_err();
    assert_eq!(raw(&store, Scope::Everything).await, 1);
}

#[tokio::test]
async fn no_time_keeps_no_raw_clicks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("c.db"), Duration::ZERO, None);
    let clicks = [one_click("x", NOW), one_click("x", NOW + HOUR)];
    store
        .add(batch(Position::default(), at(1), &clicks))
        .await
        .unwrap();
    assert_eq!(raw(&store, Scope::Everything).await, 0);
    assert_eq!(store.statistics(everything()).await.unwrap().total, 2);
}

#[tokio::test]
async fn a_forgotten_link_is_gone_and_totals_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(
        &dir.path().join("c.db"),
        Duration::from_hours(24 * 30),
        None,
    );
    let name = |code: &str| LinkName {
        domain: "go.example".into(),
        code: code.into(),
    };
    let clicks: Vec<_> = (0..12_000)
        .map(|number| one_click(["x", "y"][number % 2], NOW - (number as i64 % 5) * DAY))
        .collect();
    store
        .add(batch(Position::default(), at(1), &clicks))
        .await
        .unwrap();
    assert!(store.forget(&name("x")).await.unwrap());
    assert!(!store.forget(&name("x")).await.unwrap());
    assert_eq!(raw(&store, Scope::Link(name("x"))).await, 0);
    assert_eq!(raw(&store, Scope::Link(name("y"))).await, 1_000);
    let ask = |scope| {
        let query = Query {
            scope,
            ..everything()
        };
        store.statistics(query)
    };
    assert_eq!(ask(Scope::Link(name("x"))).await.unwrap().total, 0);
    assert_eq!(ask(Scope::Link(name("y"))).await.unwrap().total, 6_000);
    assert_eq!(ask(Scope::Everything).await.unwrap().total, 12_000);
    // A new link with the same name begins anew.
    store.add(batch(at(1), at(2), &clicks[..1])).await.unwrap();
    assert_eq!(ask(Scope::Link(name("x"))).await.unwrap().total, 1);
    assert_eq!(raw(&store, Scope::Link(name("x"))).await, 1);
}

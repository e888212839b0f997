//! What becomes of single clicks past their time, and of links that are forgotten.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tollgate_clicks::Position;
use tollgate_clicks::query::{Query, Scope};
use tollgate_clicks::store::Retained;

use super::counting::everything;
use super::engine::{Engine, Keep};
use super::listed::raw;
use super::*;

fn archived(directory: &Path) -> Keep {
    Keep {
        archive: Some(directory.to_owned()),
        ..Keep::days(2)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn lines(file: &Path) -> Vec<serde_json::Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn days_past_their_time_are_archived_and_dropped_and_roll_ups_stay<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a/b");
        let long = engine.open(Keep::days(30)).await;
        let clicks: Vec<_> = (0..6)
            .map(|days| one_click("x", NOW - days * DAY))
            .collect();
        long.add(batch(Position::default(), at(1), &clicks))
            .await
            .unwrap();
        assert_eq!(raw(&*long, Scope::Everything).await.len(), 6);
        assert_eq!(long.retain().await.unwrap(), Retained::default());
        drop(long);

        let short = engine.open(archived(&archive)).await;
        assert_eq!(
            short.retain().await.unwrap(),
            Retained { days: 3, clicks: 3 }
        );
        assert_eq!(short.retain().await.unwrap(), Retained::default());
        assert_eq!(raw(&*short, Scope::Everything).await.len(), 3);
        assert_eq!(short.statistics(everything()).await.unwrap().total, 6);
        // Too late for the raw clicks, not for the counts.
        let late = [one_click("x", NOW - 4 * DAY)];
        short.add(batch(at(1), at(2), &late)).await.unwrap();
        assert_eq!(raw(&*short, Scope::Everything).await.len(), 3);
        assert_eq!(short.statistics(everything()).await.unwrap().total, 7);
        drop(short);

        let names = names(&archive);
        assert_eq!(
            names,
            [
                "clicks-2026-11-20.ndjson.gz",
                "clicks-2026-11-21.ndjson.gz",
                "clicks-2026-11-22.ndjson.gz"
            ]
        );
        let line = lines(&archive.join(&names[0])).remove(0);
        assert_eq!(line["at"], "2026-11-20T12:00:00Z");
        assert_eq!(
            (&line["code"], &line["domain"]),
            (&"x".into(), &"go.example".into())
        );
        assert_eq!(line["referrer_url"], "https://a.example/");

        // Kept longer again: what is gone stays known as gone.
        let long = engine.open(Keep::days(30)).await;
        let mut query = everything();
        query.filters = vec!["country=a".parse().unwrap(), "browser=b".parse().unwrap()];
        let error = long.statistics(query).await.unwrap_err();
        assert!(
            error.to_string().contains("2026-11-23T00:00:00Z"),
            "{error}"
        );
    });
}

pub(crate) fn nothing_is_dropped_that_cannot_be_archived<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("file");
        std::fs::write(&in_the_way, "").unwrap();
        let long = engine.open(Keep::days(30)).await;
        let old = [one_click("x", NOW - 5 * DAY)];
        long.add(batch(Position::default(), at(1), &old))
            .await
            .unwrap();
        drop(long);
        let store = engine.open(archived(&in_the_way.join("below"))).await;
        store.retain().await.unwrap_err();
        assert_eq!(raw(&*store, Scope::Everything).await.len(), 1);
    });
}

pub(crate) fn no_time_keeps_no_raw_clicks<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let none = Keep {
            raw: Duration::ZERO,
            archive: None,
        };
        let store = engine.open(none).await;
        let clicks = [one_click("x", NOW), one_click("x", NOW + HOUR)];
        store
            .add(batch(Position::default(), at(1), &clicks))
            .await
            .unwrap();
        assert_eq!(raw(&*store, Scope::Everything).await.len(), 0);
        assert_eq!(store.statistics(everything()).await.unwrap().total, 2);
    });
}

pub(crate) fn a_forgotten_link_is_gone_and_totals_stay<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let name = |code: &str| link("go.example", code);
        let clicks: Vec<_> = (0..12_000)
            .map(|number| one_click(["x", "y"][number % 2], NOW - (number as i64 % 5) * DAY))
            .collect();
        store
            .add(batch(Position::default(), at(1), &clicks))
            .await
            .unwrap();
        assert!(store.forget(&name("x")).await.unwrap());
        assert!(!store.forget(&name("x")).await.unwrap());
        assert_eq!(raw(&*store, Scope::Link(name("x"))).await.len(), 0);
        assert_eq!(raw(&*store, Scope::Link(name("y"))).await.len(), 6_000);
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
        assert_eq!(raw(&*store, Scope::Link(name("x"))).await.len(), 1);
    });
}

/// Several instances may find the same days past their time, and archive them into one directory.
pub(crate) fn instances_that_drop_at_once_archive_all_once<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let dir = tempfile::tempdir().unwrap();
        let mut stores = Vec::new();
        for _ in 0..3 {
            stores.push(engine.open(archived(dir.path())).await);
        }
        let clicks: Vec<_> = (0..9_000)
            .map(|number| one_click("x", NOW - 2 * DAY - (number % 2) * DAY))
            .collect();
        let long = engine.open(Keep::days(30)).await;
        long.add(batch(Position::default(), at(1), &clicks))
            .await
            .unwrap();
        let retained = join_all(stores.iter().map(|store| store.retain())).await;
        let mut dropped: u64 = 0;
        for one in retained {
            dropped += one.unwrap().clicks;
        }
        // Who came too late for a day may have had to leave it to the next time.
        dropped += stores[0].retain().await.unwrap().clicks;
        assert_eq!(dropped, 4_500);
        assert_eq!(raw(&*long, Scope::Everything).await.len(), 4_500);
        assert_eq!(names(dir.path()), ["clicks-2026-11-22.ndjson.gz"]);
        let file = dir.path().join("clicks-2026-11-22.ndjson.gz");
        assert_eq!(lines(&file).len(), 4_500);
    });
}

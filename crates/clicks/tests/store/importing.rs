//! Clicks of another shortener count once, and each where it belongs.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate_clicks::Dimension;
use tollgate_clicks::capture::{Addresses, Privacy};
use tollgate_clicks::import::{ClickImporter, Imported, PastClick, PastClicks};
use tollgate_clicks::query::{Bucket, Period, Query, Scope, Statistics, Totals};
use tollgate_clicks::store::{ClickStore, Retained};

use super::engine::{Engine, Keep};
use super::listed::raw;
use super::*;

/// 2015-01-01T00:00:00Z.
const YEAR_2015: i64 = 1_420_070_400_000;

fn importer(store: &Arc<dyn ClickStore>) -> ClickImporter {
    let privacy = Privacy {
        addresses: Addresses::None,
        respect_dnt: true,
        key: [1; 16],
    };
    ClickImporter::new(Arc::clone(store), privacy, None, clock())
}

fn past(code: &str, after: u64, clicks: Vec<PastClick>, untimed: u64) -> PastClicks {
    PastClicks {
        link: link("go.example", code),
        source: "old".into(),
        after,
        clicks,
        untimed,
    }
}

fn told(at: i64) -> PastClick {
    PastClick {
        at: Some(UnixMillis::from_millis(at)),
        ..PastClick::default()
    }
}

async fn import(importer: &ClickImporter, past: PastClicks) -> Imported {
    importer.import(&[past]).await.unwrap()[0]
}

const fn counted(new: u64, position: u64) -> Imported {
    Imported::Counted { new, position }
}

async fn totals(store: &dyn ClickStore, scope: Scope) -> Totals {
    store.totals(vec![scope]).await.unwrap()[0]
}

fn of(code: &str) -> Scope {
    Scope::Link(link("go.example", code))
}

async fn in_period(store: &dyn ClickStore, from: i64, to: i64) -> Statistics {
    let period = Period::new(UnixMillis::from_millis(from), UnixMillis::from_millis(to));
    let query = Query {
        bucket: Bucket::Month,
        by: vec![Dimension::Link],
        ..Query::new(of("x"), period.unwrap())
    };
    store.statistics(query).await.unwrap()
}

pub(crate) fn past_clicks_count_once_however_often_they_are_told<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let importer = importer(&store);
        let two = vec![told(NOW - DAY), told(NOW - 2 * DAY)];
        for (after, untimed, expected) in [
            (0, 3, counted(5, 5)),
            (0, 3, counted(0, 5)),
            // Two more have come since.
            (0, 5, counted(2, 7)),
            (6, 0, counted(1, 8)),
            (9, 0, Imported::Gap { position: 8 }),
        ] {
            let answer = import(&importer, past("x", after, two.clone(), untimed)).await;
            assert_eq!(answer, expected);
        }
        assert_eq!(totals(&*store, of("x")).await.people, 8);
        assert_eq!(raw(&*store, of("x")).await.len(), 3);
        // Of another source they are others.
        let other = PastClicks {
            source: "other".into(),
            ..past("x", 0, two, 0)
        };
        assert_eq!(import(&importer, other).await, counted(2, 2));
        assert_eq!(totals(&*store, Scope::Everything).await.people, 10);
    });
}

/// Whoever does not wait for an answer may send the same to several servers.
pub(crate) fn past_clicks_count_once_when_instances_import_them_at_once<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let mut importers = Vec::new();
        let mut store = engine.open(Keep::days(30)).await;
        for _ in 0..3 {
            importers.push(importer(&store));
            store = engine.open(Keep::days(30)).await;
        }
        for step in 0..10 {
            let clicks: Vec<_> = (0..20).map(|n| told(NOW - n * 100 * DAY)).collect();
            let answers = join_all(importers.iter().map(|importer| {
                let (x, y) = (
                    past("x", 25 * step, clicks.clone(), 5),
                    past("y", 0, vec![], step),
                );
                async move { (import(importer, x).await, import(importer, y).await) }
            }));
            let mut new = 0;
            for (x, y) in answers.await {
                for (answer, end) in [(x, 25 * (step + 1)), (y, step)] {
                    let Imported::Counted { new: its, position } = answer else {
                        panic!("{answer:?}");
                    };
                    assert_eq!(position, end);
                    new += its;
                }
            }
            assert_eq!(new, if step == 0 { 25 } else { 26 });
        }
        assert_eq!(totals(&*store, of("x")).await.people, 250);
        assert_eq!(totals(&*store, of("y")).await.people, 9);
        assert_eq!(totals(&*store, Scope::Everything).await.people, 259);
    });
}

/// Of many links some have been counted before, in whole or in part, and some are named twice.
pub(crate) fn past_clicks_of_many_links_count_once_together<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let importer = importer(&store);
        import(&importer, past("x", 0, vec![told(NOW)], 3)).await;
        let all = [
            past("x", 0, vec![told(NOW)], 5),
            past("y", 0, vec![told(NOW - DAY), told(NOW)], 0),
            past("z", 1, vec![], 1),
            past("y", 2, vec![told(YEAR_2015)], 60_000),
            past("y", 60_003, vec![], 1),
            past("x", 7, vec![], 1),
            past("x", 0, vec![], 0),
            past("w", 0, vec![], 70_000),
        ];
        let gap = |position| Imported::Gap { position };
        let expected = [
            counted(2, 6),
            counted(2, 2),
            gap(0),
            counted(60_001, 60_003),
            counted(1, 60_004),
            gap(6),
            counted(0, 6),
            counted(70_000, 70_000),
        ];
        assert_eq!(importer.import(&all).await.unwrap(), expected);
        for (place, answer) in importer.import(&all).await.unwrap().into_iter().enumerate() {
            let new = matches!(answer, Imported::Counted { new: 1.., .. });
            assert!(!new, "{place}: {answer:?}");
        }
        for (code, clicks) in [("x", 6), ("y", 60_004), ("z", 0), ("w", 70_000)] {
            assert_eq!(totals(&*store, of(code)).await.people, clicks);
        }
        assert_eq!(totals(&*store, Scope::Everything).await.people, 130_010);
        assert_eq!(raw(&*store, Scope::Everything).await.len(), 3);
        assert_eq!(importer.import(&[]).await.unwrap(), []);
    });
}

/// Instances that import the same many links, in whatever order, neither count twice nor wait in a circle.
pub(crate) fn past_clicks_of_many_links_count_once_by_instances_at_once<E: Engine>() {
    threads().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let mut tasks = Vec::new();
        for instance in 0..4 {
            let store = engine.open(Keep::days(30)).await;
            tasks.push(tokio::spawn(async move {
                let importer = importer(&store);
                let mut new = 0;
                for part in 0..5 {
                    let mut all: Vec<_> = (part * 40..part * 40 + 60)
                        .map(|number| past(&format!("c{number}"), 0, vec![told(NOW)], 2))
                        .collect();
                    if instance % 2 == 1 {
                        all.reverse();
                    }
                    for answer in importer.import(&all).await.unwrap() {
                        let Imported::Counted { new: its, .. } = answer else {
                            panic!("{answer:?}");
                        };
                        new += its;
                    }
                }
                new
            }));
        }
        let mut new = 0;
        for task in tasks {
            new += task.await.unwrap();
        }
        assert_eq!(new, 3 * 220);
        assert_eq!(totals(&*store, Scope::Everything).await.people, 3 * 220);
        assert_eq!(raw(&*store, Scope::Everything).await.len(), 220);
    });
}

pub(crate) fn past_clicks_without_a_time_are_in_no_period<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let importer = importer(&store);
        let clicks = vec![
            told(YEAR_2015),
            PastClick::default(),
            told(NOW + 3 * DAY),
            told(-1),
            told(DAY - 1),
        ];
        // More than one commit.
        import(&importer, past("x", 0, clicks, 120_000)).await;
        assert_eq!(totals(&*store, of("x")).await.people, 120_005);
        for (from, to, clicks) in [
            (DAY, NOW, 1),
            (YEAR_2015, YEAR_2015 + DAY, 1),
            (YEAR_2015 - DAY, YEAR_2015, 0),
            (0, DAY, 120_004),
        ] {
            assert_eq!(in_period(&*store, from, to).await.total, clicks);
        }
    });
}

/// Days long past need no place for single clicks that would be dropped again at once.
pub(crate) fn past_clicks_are_kept_single_only_within_their_time<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let importing = importer(&store);
        // Every fifth day of more than ten years, and one of 1970.
        let mut clicks: Vec<_> = (0..800).map(|n| told(NOW - 5 * n * DAY)).collect();
        clicks.push(told(DAY));
        let all = clicks.len() as u64;
        import(&importing, past("x", 0, clicks.clone(), 7)).await;
        assert_eq!(totals(&*store, of("x")).await.people, all + 7);
        assert_eq!(in_period(&*store, DAY, NOW + DAY).await.total, all);
        assert_eq!(raw(&*store, of("x")).await.len(), 7);
        assert_eq!(store.retain().await.unwrap(), Retained::default());
        drop((importing, store));

        let none = Keep {
            raw: Duration::ZERO,
            archive: None,
        };
        let store = engine.open(none).await;
        import(&importer(&store), past("y", 0, clicks.clone(), 7)).await;
        assert_eq!(raw(&*store, of("y")).await.len(), 0);
        drop(store);

        // However long they are kept, those that come more than a year late are not.
        let store = engine.open(Keep::days(30_000)).await;
        import(&importer(&store), past("z", 0, clicks, 7)).await;
        assert_eq!(raw(&*store, of("z")).await.len(), 74);
        assert_eq!(totals(&*store, of("z")).await.people, all + 7);
        assert_eq!(store.retain().await.unwrap(), Retained::default());
        assert!(store.forget(&link("go.example", "z")).await.unwrap());
        assert_eq!(raw(&*store, of("z")).await.len(), 0);
    });
}

pub(crate) fn past_clicks_of_a_forgotten_link_can_be_imported_again<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let importer = importer(&store);
        let clicks = || vec![told(NOW - DAY), told(YEAR_2015)];
        // Their names are before and behind, in whatever order they are sorted.
        let like_it = ["abc0", "ab", "abc-", "ABC", "abc\u{e9}"];
        import(&importer, past("abc", 0, clicks(), 4)).await;
        for code in like_it {
            import(&importer, past(code, 0, clicks(), 4)).await;
        }
        assert!(store.forget(&link("go.example", "abc")).await.unwrap());
        assert!(!store.forget(&link("go.example", "abc")).await.unwrap());
        assert_eq!(totals(&*store, of("abc")).await.people, 0);
        let again = import(&importer, past("abc", 0, clicks(), 4)).await;
        assert_eq!(again, counted(6, 6));
        assert_eq!(totals(&*store, of("abc")).await.people, 6);
        for code in like_it {
            let again = import(&importer, past(code, 0, clicks(), 4)).await;
            assert_eq!(again, counted(0, 6), "{code}");
        }
    });
}

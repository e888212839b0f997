//! Which lists of shards are taken, and which are refused.

use std::sync::Arc;

use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_links::store::{
    Insert, Inserted, LinkStore, RebalanceOptions, ShardError, StoreError,
};
use tollgate_links::{Code, Domain, Link, LinkKey, LinkSpec, Origin, TargetUrl};

use super::{databases, open, rebalancer, sql};

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(UnixMillis::from_millis(1_900_000_000_000)))
}

pub(super) fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

pub(super) fn new(code: &str) -> Insert {
    let at = UnixMillis::from_millis(1_900_000_000_000);
    Insert {
        link: Link {
            key: key(code),
            spec: LinkSpec::to(TargetUrl::from_stored(&*format!(
                "https://t.example/{code}"
            ))),
            origin: Origin::Alias,
            created_at: at,
            updated_at: at,
            created_by: "maker".into(),
            version: 1,
            clicks_used: 0,
        },
        reuse: false,
        idempotency: None,
    }
}

pub(super) async fn fill(store: &dyn LinkStore, codes: impl Iterator<Item = String>) {
    let inserts: Vec<Insert> = codes.map(|code| new(&code)).collect();
    for answer in store.insert(inserts).await.unwrap() {
        assert!(matches!(answer, Inserted::Created(_)), "{answer:?}");
    }
}

fn text<T>(opened: Result<T, ShardError>) -> String {
    match opened {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_make_one_store() {
    let urls = databases(3);
    let mut backwards = urls.clone();
    backwards.reverse();
    let opening = [&urls, &backwards, &urls, &backwards].map(|urls| open(urls, clock()));
    let stores = futures_util::future::join_all(opening).await;
    let stores: Vec<_> = stores.into_iter().map(Result::unwrap).collect();
    fill(&stores[0], (0..30).map(|n| format!("c{n}"))).await;
    for store in &stores {
        for n in 0..30 {
            assert!(store.get(&key(&format!("c{n}"))).await.unwrap().is_some());
        }
        assert_eq!(store.count().await.unwrap(), 30);
        assert_eq!((store.stats().shards, store.stats().version), (3, 1));
    }
    let of_each: Vec<u32> = urls
        .iter()
        .map(|url| sql(url, "SELECT count(*) FROM links").parse().unwrap())
        .collect();
    assert!(of_each.iter().all(|count| *count > 0), "{of_each:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_lacks_a_shard_or_has_a_foreign_one_is_refused() {
    let urls = databases(6);
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|n| urls[n].clone());
    let store = open(&[&a, &b], clock()).await.unwrap();
    fill(&store, (0..10).map(|n| format!("c{n}"))).await;
    drop(store);
    for list in [vec![&a], vec![&b], vec![&b, &c]] {
        let error = text(open(&list, clock()).await);
        assert!(
            error.contains("is not in the list: add its address"),
            "{error}"
        );
        assert!(!error.contains("sesame"), "{error}");
    }
    let error = text(open(&[&a, &b, &a], clock()).await);
    assert!(error.contains("list it once"), "{error}");
    let none: [&str; 0] = [];
    assert!(matches!(open(&none, clock()).await, Err(ShardError::None)));
    // Of another store, and with links of its own.
    let other = open(&[&d], clock()).await.unwrap();
    let error = text(open(&[&a, &b, &d], clock()).await);
    assert!(error.contains("is a shard of another store"), "{error}");
    drop(other);
    let alone = crate::open(&e, clock(), &super::few_connections()).await;
    fill(&alone, (0..3).map(|n| format!("alone{n}"))).await;
    let error = text(open(&[&a, &b, &e], clock()).await);
    assert!(error.contains("has links already"), "{error}");
    let alone = crate::open(&f, clock(), &super::few_connections()).await;
    fill(&alone, (0..3).map(|n| format!("alone{n}"))).await;
    let error = text(open(&[&e, &f], clock()).await);
    assert!(error.contains("both have links"), "{error}");
    // An empty one more is to be a shard.
    let store = open(&[&a, &b, &c], clock()).await.unwrap();
    assert_eq!(store.stats().shards, 2);
    assert_eq!(store.count().await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_links_becomes_the_first_shard() {
    let urls = databases(2);
    let alone = crate::open(&urls[1], clock(), &super::few_connections()).await;
    fill(&alone, (0..200).map(|n| format!("c{n}"))).await;
    let store = open(&urls, clock()).await.unwrap();
    // Whoever still takes it for the whole store is refused.
    let refused = alone.insert(vec![new("late")]).await;
    let Err(StoreError::ShardsChanged(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("links.store has to list all of them"), "{why}");
    assert!(alone.is_shard().await.unwrap());
    assert_eq!(store.stats().shards, 1);
    fill(&store, (200..300).map(|n| format!("c{n}"))).await;
    let rebalanced = rebalancer(&urls)
        .await
        .run(&RebalanceOptions::default(), |_| ())
        .await
        .unwrap();
    assert_eq!(rebalanced.version, 3);
    let counts: Vec<u64> = rebalanced.shards.iter().map(|shard| shard.links).collect();
    assert_eq!(counts.iter().sum::<u64>(), 300, "{rebalanced:?}");
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    for n in 0..300 {
        assert!(store.get(&key(&format!("c{n}"))).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founding_that_broke_off_begins_anew() {
    let urls = databases(3);
    drop(open(&urls, clock()).await.unwrap());
    // As if it had been killed before the home was one.
    sql(&urls[0], "DELETE FROM link_shard");
    sql(&urls[1], "UPDATE link_shard SET version = 0");
    sql(&urls[2], "UPDATE link_shard SET version = 0");
    let store = open(&urls, clock()).await.unwrap();
    fill(&store, (0..30).map(|n| format!("c{n}"))).await;
    // And before the others had learnt of it.
    sql(&urls[2], "UPDATE link_shard SET version = 0");
    let other = open(&urls, clock()).await.unwrap();
    fill(&other, (30..60).map(|n| format!("c{n}"))).await;
    fill(&store, (60..90).map(|n| format!("c{n}"))).await;
    assert_eq!(store.count().await.unwrap(), 90);
}

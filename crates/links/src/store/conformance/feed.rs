//! The feed of changes.

use super::*;
use crate::store::{ChangeSeq, FEED_BATCH};

/// In order, from where the follower stood, also after a restart; new links are none.
pub async fn tells_of_edits_deletions_and_sweeps<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let begin = store.changes(None).await.unwrap();
    assert_eq!((begin.keys.len(), begin.lost), (0, false));
    let mut old = link(on("b.example", "ä"), to("https://t.example/"));
    old.spec.expires_at = Some(after(5));
    fill(&*store, [simple("a"), limited("b", 3), old.clone()]).await;
    store.take_click(&key("b")).await.unwrap();
    let quiet = store.changes(Some(begin.upto)).await.unwrap();
    assert_eq!((quiet.keys.len(), quiet.lost), (0, false));

    store
        .update(update(key("a"), 1, to("https://n.example/")))
        .await
        .unwrap();
    // One that does nothing tells nothing.
    store
        .update(update(key("a"), 1, to("https://n.example/")))
        .await
        .unwrap();
    let one = store.changes(Some(quiet.upto)).await.unwrap();
    assert_eq!(one.keys, [key("a")]);
    store.delete(delete(key("b"))).await.unwrap();
    store.sweep(after(6), START, 10).await.unwrap();
    store
        .update(update(key("a"), 2, to("https://m.example/")))
        .await
        .unwrap();
    drop(store);

    let store = engine.reopen().await.store();
    let rest = store.changes(Some(one.upto)).await.unwrap();
    let expected = in_order::<E>([key("b"), old.key.clone(), key("a")]);
    assert_eq!(in_order::<E>(rest.keys.clone()), expected);
    assert!(!rest.lost);
    let whole = store.changes(Some(begin.upto)).await.unwrap();
    let expected = in_order::<E>([key("a"), key("b"), old.key, key("a")]);
    assert_eq!(in_order::<E>(whole.keys.clone()), expected);
    assert_eq!(whole.upto, rest.upto);
    assert_eq!(store.changes(None).await.unwrap().upto, rest.upto);
}

/// Makes and sweeps links: that many changes.
async fn change(store: &impl LinkStore, name: &str, changes: usize) {
    let links = (0..changes).map(|n| {
        let mut link = simple(&format!("{name}{n}"));
        link.spec.expires_at = Some(after(n as i64));
        link
    });
    fill(store, links).await;
    let swept = store
        .sweep(after(changes as i64), START, changes)
        .await
        .unwrap();
    assert_eq!(swept.links.len(), changes);
}

/// A follower that is behind reads on.
pub async fn comes_in_bounded_batches<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let mut upto = store.changes(None).await.unwrap().upto;
    change(&*store, "c", FEED_BATCH + 50).await;
    let mut keys = Vec::new();
    for expected in [FEED_BATCH, 50, 0] {
        let changes = store.changes(Some(upto)).await.unwrap();
        assert_eq!((changes.keys.len(), changes.lost), (expected, false));
        keys.extend(changes.keys);
        upto = changes.upto;
    }
    let expected = in_order::<E>((0..FEED_BATCH + 50).map(|n| key(&format!("c{n}"))));
    assert_eq!(in_order::<E>(keys), expected);
}

/// Behind what is kept, or ahead of everything.
pub async fn says_when_it_no_longer_reaches_back<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let begin = store.changes(None).await.unwrap().upto;
    change(&*store, "a", usize::from(FEED_CAPACITY)).await;
    let kept = store.changes(Some(begin)).await.unwrap();
    assert!(!kept.lost, "this is what it has to keep");
    change(&*store, "b", 1).await;
    let behind = store.changes(Some(begin)).await.unwrap();
    assert!(behind.lost && behind.keys.is_empty());
    assert_eq!(store.changes(None).await.unwrap().upto, behind.upto);
    let ahead = store
        .changes(Some(ChangeSeq(behind.upto.0 + 1_000)))
        .await
        .unwrap();
    assert!(ahead.lost);
    assert_eq!(ahead.upto, behind.upto);
}

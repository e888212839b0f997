//! Clicks of links that have only so many.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::*;
use crate::store::ClickGrant;

/// One after the other, over a restart and an edit of the limit.
pub async fn clicks_are_taken_exactly<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    fill(
        &*store,
        [limited("two", 2), limited("huge", u64::MAX), simple("free")],
    )
    .await;
    let take = async |store: &E::Store, code: &str| store.take_click(&key(code)).await.unwrap();
    assert_eq!(
        take(&store, "two").await,
        ClickGrant::Granted { remaining: 1 }
    );
    drop(store);
    let store = engine.reopen().await.store();
    assert_eq!(
        take(&store, "two").await,
        ClickGrant::Granted { remaining: 0 }
    );
    assert_eq!(take(&store, "two").await, ClickGrant::UsedUp);
    let used = store.get(&key("two")).await.unwrap().unwrap();
    assert_eq!((used.clicks_used, used.version), (2, 1));
    let remaining = u64::MAX - 1;
    assert_eq!(
        take(&store, "huge").await,
        ClickGrant::Granted { remaining }
    );
    assert_eq!(take(&store, "free").await, ClickGrant::Unlimited);
    assert_eq!(take(&store, "none").await, ClickGrant::NotFound);

    let mut spec = limited("two", 2).spec;
    for (version, max, expected) in [
        (1, 3, ClickGrant::Granted { remaining: 0 }),
        // Fewer than are used already.
        (2, 1, ClickGrant::UsedUp),
        (3, 0, ClickGrant::Unlimited),
    ] {
        spec.max_clicks = NonZeroU64::new(max);
        store
            .update(update(key("two"), version, spec.clone()))
            .await
            .unwrap();
        assert_eq!(take(&store, "two").await, expected);
    }
    // An import carries over what was used.
    let used = Link {
        clicks_used: 4,
        ..limited("imported", 5)
    };
    fill(&*store, [used]).await;
    assert_eq!(
        take(&store, "imported").await,
        ClickGrant::Granted { remaining: 0 }
    );
}

/// All at once: exactly as many as there are, each with its own remainder.
pub async fn concurrent_clicks_are_taken_exactly<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [limited("a", 50)]).await;
    let answers = at_once(80, |_| {
        let store = Arc::clone(&store);
        async move { store.take_click(&key("a")).await.unwrap() }
    })
    .await;
    let mut remainders: Vec<u64> = Vec::new();
    for answer in answers {
        match answer {
            ClickGrant::Granted { remaining } => remainders.push(remaining),
            other => assert_eq!(other, ClickGrant::UsedUp),
        }
    }
    remainders.sort_unstable();
    assert_eq!(remainders, (0..50).collect::<Vec<_>>());
}

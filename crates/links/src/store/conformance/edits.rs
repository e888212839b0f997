//! Updates, deletions and their history.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::store::{Deleted, EditAction, Updated};

/// The right version, once.
pub async fn an_update_needs_the_version<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [limited("a", 5)]).await;
    store.take_click(&key("a")).await.unwrap();
    let mut spec = to("https://new.example/");
    spec.title = Some("New".into());
    let expected = Link {
        spec: spec.clone(),
        version: 2,
        updated_at: after(1),
        clicks_used: 1,
        ..limited("a", 5)
    };
    let first = store
        .update(update(key("a"), 1, spec.clone()))
        .await
        .unwrap();
    assert_eq!(first, Updated::Updated(expected.clone()));
    assert_eq!(store.get(&key("a")).await.unwrap(), Some(expected));
    let late = store
        .update(update(key("a"), 1, spec.clone()))
        .await
        .unwrap();
    assert_eq!(late, Updated::VersionMismatch(2));
    for missing in [key("b"), on("b.example", "a")] {
        let answer = store
            .update(update(missing, 1, spec.clone()))
            .await
            .unwrap();
        assert_eq!(answer, Updated::NotFound);
    }
    assert_eq!(store.history(&key("a"), 9).await.unwrap().len(), 2);
}

/// No edit is lost under another.
pub async fn one_of_many_concurrent_updates_wins<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [simple("a")]).await;
    let answers = at_once(16, |task| {
        let store = Arc::clone(&store);
        let update = update(key("a"), 1, to(&format!("https://{task}.example/")));
        async move { store.update(update).await.unwrap() }
    })
    .await;
    let won = answers
        .iter()
        .filter(|answer| matches!(answer, Updated::Updated(_)))
        .count();
    let lost = answers
        .iter()
        .filter(|answer| **answer == Updated::VersionMismatch(2))
        .count();
    assert_eq!((won, lost), (1, 15));
}

/// Who did what when, over the lives of all links of one name.
pub async fn deletion_keeps_the_history<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    assert_eq!(
        store.delete(delete(key("a"))).await.unwrap(),
        Deleted::NotFound
    );
    fill(&*store, [simple("a"), simple("other")]).await;
    let created = store.history(&key("a"), 9).await.unwrap();
    assert_eq!(created.len(), 1);
    let url = "https://target.example/a";
    assert_eq!(created[0].changes, json!({"url": [null, url]}));

    let mut spec = to(url);
    spec.title = Some("T".into());
    store
        .update(update(key("a"), 1, spec.clone()))
        .await
        .unwrap();
    let wrong = Delete {
        expected_version: Some(1),
        ..delete(key("a"))
    };
    assert_eq!(
        store.delete(wrong).await.unwrap(),
        Deleted::VersionMismatch(2)
    );
    let right = Delete {
        expected_version: Some(2),
        ..delete(key("a"))
    };
    let Deleted::Deleted(was) = store.delete(right).await.unwrap() else {
        panic!("not deleted");
    };
    assert_eq!((was.version, &was.spec), (2, &spec));
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 1);
    fill(&*store, [simple("a")]).await;
    drop(store);

    let store = engine.reopen().await.store();
    let history = store.history(&key("a"), 9).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|edit| (edit.action, edit.version, edit.actor.as_str(), edit.at))
        .collect();
    assert_eq!(
        told,
        [
            (EditAction::Created, 1, "maker", START),
            (EditAction::Deleted, 2, "deleter", after(2)),
            (EditAction::Updated, 2, "editor", after(1)),
            (EditAction::Created, 1, "maker", START),
        ]
    );
    assert_eq!(
        history[1].changes,
        json!({"url": [url, null], "title": ["T", null]})
    );
    assert_eq!(history[2].changes, json!({"title": [null, "T"]}));
    assert_eq!(history[3].changes, json!({"url": [null, url]}));
    for limit in 0..4 {
        let newest = store.history(&key("a"), limit).await.unwrap();
        assert_eq!(newest, history[..limit]);
    }
    assert_eq!(store.history(&on("b.example", "a"), 9).await.unwrap(), []);
}

/// Repeated edits are answered, not done again, also after a restart.
pub async fn tokens_make_edits_happen_once<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    fill(&*store, [simple("a"), simple("b")]).await;
    let edit = Update {
        idempotency: token(1, 1, START),
        ..update(key("a"), 1, to("https://new.example/"))
    };
    let remove = Delete {
        idempotency: token(2, 2, START),
        ..delete(key("b"))
    };
    let Updated::Updated(edited) = store.update(edit.clone()).await.unwrap() else {
        panic!("not updated");
    };
    let answer = store.delete(remove.clone()).await.unwrap();
    assert_eq!(answer, Deleted::Deleted(simple("b")));
    store.delete(delete(key("a"))).await.unwrap();
    fill(&*store, [simple("b")]).await;
    drop(store);

    let store = engine.reopen().await.store();
    let again = store.update(edit.clone()).await.unwrap();
    assert_eq!(again, Updated::Replayed(edited));
    assert_eq!(
        store.delete(remove.clone()).await.unwrap(),
        Deleted::Replayed
    );
    assert!(store.get(&key("b")).await.unwrap().is_some());

    // A token belongs to one kind of request and one content.
    let other_content = Update {
        idempotency: token(1, 9, START),
        ..edit
    };
    assert_eq!(
        store.update(other_content).await.unwrap(),
        Updated::TokenMismatch
    );
    let other_kind = Delete {
        idempotency: token(1, 1, START),
        ..remove
    };
    assert_eq!(
        store.delete(other_kind).await.unwrap(),
        Deleted::TokenMismatch
    );
    let other_kind = Insert {
        idempotency: token(1, 1, START),
        ..plain(simple("c"))
    };
    assert_eq!(
        insert_one(&*store, other_kind).await,
        Inserted::TokenMismatch
    );
    let other_kind = Update {
        idempotency: token(2, 2, START),
        ..update(key("b"), 1, to("https://new.example/"))
    };
    assert_eq!(
        store.update(other_kind).await.unwrap(),
        Updated::TokenMismatch
    );
}

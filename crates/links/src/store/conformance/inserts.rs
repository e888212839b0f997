//! New links.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Condition, Device, PasswordHash, RedirectKind, Rule, Tag};

/// A link with everything chosen.
fn rich(key: LinkKey) -> Link {
    let mut spec = to("https://target.example/p?q=1#f");
    spec.starts_at = Some(after(-5));
    spec.expires_at = Some(after(500));
    spec.max_clicks = NonZeroU64::new(u64::MAX);
    spec.redirect = Some(RedirectKind::Permanent);
    spec.password = Some(PasswordHash::from_phc(
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA",
    ));
    spec.tags = vec![Tag::from_stored("news"), Tag::from_stored("\"ä\\")];
    spec.title = Some("Ein \"Titel\" 🎉".into());
    spec.forward_query = true;
    spec.rules = vec![Rule {
        conditions: vec![
            Condition::Device { is: Device::Mobile },
            Condition::Date {
                from: Some(after(1)),
                until: None,
            },
        ],
        target: "https://m.target.example/".into(),
    }];
    Link {
        origin: Origin::Snowflake,
        updated_at: after(3),
        clicks_used: 7,
        ..link(key, spec)
    }
}

/// Every field survives, also a restart.
pub async fn a_link_reads_back_whole<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let stored = [
        rich(on("b.example", "grüße-中文_1.x")),
        simple("plain"),
        rich(key(&"x".repeat(128))),
    ];
    for link in &stored {
        let answer = insert_one(&*store, plain(link.clone())).await;
        assert_eq!(answer, Inserted::Created(link.clone()));
    }
    drop(store);
    let store = engine.reopen().await.store();
    for link in &stored {
        assert_eq!(store.get(&link.key).await.unwrap().as_ref(), Some(link));
    }
    assert_eq!(store.get(&key("other")).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 3);
}

/// Codes are compared byte by byte, domains apart from each other.
pub async fn codes_are_unique_within_a_domain<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let names = [
        key("a"),
        key("A"),
        key("ä"),
        on("b.example", "a"),
        on("c.example", "a"),
    ];
    fill(
        &*store,
        names
            .iter()
            .map(|name| link(name.clone(), to("https://one.example/"))),
    )
    .await;
    for name in &names {
        let again = link(name.clone(), to("https://two.example/"));
        assert_eq!(insert_one(&*store, plain(again)).await, Inserted::CodeTaken);
        let kept = store.get(name).await.unwrap().unwrap();
        assert_eq!(kept.spec.target.as_str(), "https://one.example/");
    }
}

/// A taken code costs the others nothing, and the first of two equal codes wins.
pub async fn each_link_of_a_batch_stands_alone<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [simple("b")]).await;
    assert_eq!(store.insert(Vec::new()).await.unwrap(), []);
    let batch = ["a", "b", "c", "a"]
        .map(|code| plain(simple(code)))
        .to_vec();
    assert_eq!(
        store.insert(batch).await.unwrap(),
        [
            Inserted::Created(simple("a")),
            Inserted::CodeTaken,
            Inserted::Created(simple("c")),
            Inserted::CodeTaken,
        ]
    );
    assert_eq!(store.count().await.unwrap(), 3);
}

/// What comes later in a batch is not there yet for what comes before it.
pub async fn a_batch_is_decided_in_its_order<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let (first, second) = (to("https://one.example/"), to("https://two.example/"));
    let batch = vec![
        plain(link(key("a"), first)),
        Insert {
            reuse: true,
            ..plain(link(key("a"), second.clone()))
        },
        plain(link(key("b"), second.clone())),
        Insert {
            reuse: true,
            ..plain(link(key("c"), second.clone()))
        },
    ];
    let answers = store.insert(batch).await.unwrap();
    let [made, taken, later, found] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert!(matches!(made, Inserted::Created(_)), "{made:?}");
    assert_eq!(*taken, Inserted::CodeTaken);
    assert_eq!(*later, Inserted::Created(link(key("b"), second.clone())));
    assert_eq!(*found, Inserted::Reused(link(key("b"), second)));
}

/// However many try at once, one gets each code.
pub async fn one_of_many_concurrent_inserts_wins<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let answers = at_once(16, |task| {
        let store = Arc::clone(&store);
        async move {
            let links = (0..20).map(|n| {
                let target = format!("https://target.example/{task}");
                plain(link(key(&format!("c{n}")), to(&target)))
            });
            store.insert(links.collect()).await.unwrap()
        }
    })
    .await;
    for n in 0..20 {
        let mut created = answers.iter().filter_map(|answers| match &answers[n] {
            Inserted::Created(link) => Some(link),
            other => {
                assert_eq!(*other, Inserted::CodeTaken);
                None
            }
        });
        let winner = created.next().unwrap();
        assert_eq!(created.next(), None);
        assert_eq!(store.get(&winner.key).await.unwrap().as_ref(), Some(winner));
    }
    assert_eq!(store.count().await.unwrap(), 20);
}

/// Equal domain and spec, neither expired nor used up; the first that was made.
pub async fn reuse_finds_the_oldest_equal_link_that_is_good<E: Engine>() {
    let (_engine, store, clock) = fresh::<E>().await;
    let reuse = |link: Link| Insert {
        reuse: true,
        ..plain(link)
    };
    let spec = to("https://one.example/");
    let mut expiring = spec.clone();
    expiring.expires_at = Some(after(10));
    let mut once = spec.clone();
    once.max_clicks = NonZeroU64::new(1);
    let mut second = link(key("a-second"), spec.clone());
    if !E::ORDERED {
        second.created_at = after(1);
    }
    let links = [
        link(on("b.example", "elsewhere"), spec.clone()),
        link(key("z-first"), spec.clone()),
        second,
        link(key("expiring"), expiring.clone()),
        link(key("once"), once.clone()),
    ];
    fill(&*store, links.clone()).await;

    let found = insert_one(&*store, reuse(link(key("n1"), spec.clone()))).await;
    assert_eq!(found, Inserted::Reused(links[1].clone()));
    // Even if the code it would have had is taken.
    let found = insert_one(&*store, reuse(link(key("once"), spec.clone()))).await;
    assert_eq!(found, Inserted::Reused(links[1].clone()));
    for (name, spec) in [("n2", &expiring), ("n3", &once)] {
        let found = insert_one(&*store, reuse(link(key(name), spec.clone()))).await;
        assert!(matches!(found, Inserted::Reused(_)), "{name}: {found:?}");
    }

    clock.advance(Duration::from_millis(10));
    store.take_click(&key("once")).await.unwrap();
    for (name, spec) in [("n4", expiring), ("n5", once)] {
        let made = link(key(name), spec);
        let answer = insert_one(&*store, reuse(made.clone())).await;
        assert_eq!(answer, Inserted::Created(made));
    }
    let mut titled = spec;
    titled.title = Some("other".into());
    let answer = insert_one(&*store, reuse(link(key("n6"), titled.clone()))).await;
    assert!(matches!(answer, Inserted::Created(_)));
    // Within a batch, too; and a link is found by what it was edited to.
    let answer = store
        .update(update(key("n6"), 1, to("https://edited.example/")))
        .await;
    assert!(matches!(answer, Ok(crate::store::Updated::Updated(_))));
    let batch = vec![
        reuse(link(key("n7"), titled.clone())),
        reuse(link(key("n8"), titled)),
        reuse(link(key("n9"), to("https://edited.example/"))),
    ];
    let codes: Vec<_> = store.insert(batch).await.unwrap();
    let [
        Inserted::Created(made),
        Inserted::Reused(same),
        Inserted::Reused(edited),
    ] = &codes[..]
    else {
        panic!("{codes:?}");
    };
    assert_eq!((&made.key, &same.key), (&key("n7"), &key("n7")));
    assert_eq!(edited.key, key("n6"));
}

/// A repetition is answered as the first time, whatever has become of the link, also after a
/// restart; another request under the same token is refused.
pub async fn a_token_makes_an_insert_happen_once<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let asked = |code: &str, id, request| Insert {
        idempotency: token(id, request, START),
        ..plain(rich(key(code)))
    };
    let first = insert_one(&*store, asked("a", 1, 1)).await;
    assert_eq!(first, Inserted::Created(rich(key("a"))));
    // A failure is not remembered: the code may be free next time.
    let taken = insert_one(&*store, asked("a", 2, 2)).await;
    assert_eq!(taken, Inserted::CodeTaken);
    let reused = Insert {
        reuse: true,
        ..asked("unused", 3, 3)
    };
    let found = insert_one(&*store, reused.clone()).await;
    assert_eq!(found, Inserted::Reused(rich(key("a"))));

    store
        .update(update(key("a"), 1, to("https://b.example/")))
        .await
        .unwrap();
    store.delete(delete(key("a"))).await.unwrap();
    drop(store);
    let store = engine.reopen().await.store();
    // The strategy has made another code meanwhile.
    for insert in [asked("other", 1, 1), reused] {
        let again = insert_one(&*store, insert).await;
        assert_eq!(again, Inserted::Replayed(rich(key("a"))));
    }
    let other = insert_one(&*store, asked("c", 1, 9)).await;
    assert_eq!(other, Inserted::TokenMismatch);
    assert_eq!(store.count().await.unwrap(), 0);
    let now_free = insert_one(&*store, asked("a", 2, 2)).await;
    assert_eq!(now_free, Inserted::Created(rich(key("a"))));
    // Twice in one batch.
    let batch = vec![asked("d", 4, 4), asked("e", 4, 4)];
    assert_eq!(
        store.insert(batch).await.unwrap(),
        [
            Inserted::Created(rich(key("d"))),
            Inserted::Replayed(rich(key("d")))
        ]
    );
}

/// Retries that overtake each other.
pub async fn concurrent_inserts_with_one_token_happen_once<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let answers = at_once(16, |task| {
        let store = Arc::clone(&store);
        let insert = Insert {
            idempotency: token(1, 1, START),
            ..plain(simple(&format!("c{task}")))
        };
        async move { insert_one(&*store, insert).await }
    })
    .await;
    let created = answers.iter().find_map(|answer| match answer {
        Inserted::Created(link) => Some(link.clone()),
        _ => None,
    });
    let created = created.unwrap();
    for answer in answers {
        let expected = [
            Inserted::Created(created.clone()),
            Inserted::Replayed(created.clone()),
        ];
        assert!(expected.contains(&answer), "{answer:?}");
    }
    assert_eq!(store.count().await.unwrap(), 1);
}

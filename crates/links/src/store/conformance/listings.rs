//! Pages of links.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::*;
use crate::Tag;
use crate::store::{Cursor, ListOrder, ListQuery, StoreError};

const ORDERS: [ListOrder; 4] = [
    ListOrder::CreatedDescending,
    ListOrder::CreatedAscending,
    ListOrder::CodeAscending,
    ListOrder::CodeDescending,
];

/// Follows the cursors to the end.
pub(super) async fn all(store: &impl LinkStore, query: &ListQuery) -> Vec<Link> {
    let mut query = query.clone();
    let mut links = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        assert!(page.links.len() <= query.page_links());
        links.extend(page.links);
        match page.next {
            None => return links,
            // Whoever says that there is more has to show it.
            Some(next) => query.cursor = Some(next),
        }
        assert!(links.len() < 100_000, "a listing without end");
    }
}

async fn codes(store: &impl LinkStore, query: &ListQuery) -> Vec<String> {
    let links = all(store, query).await;
    links.iter().map(|link| link.key.to_string()).collect()
}

fn by(order: ListOrder, limit: usize) -> ListQuery {
    ListQuery {
        order,
        limit: NonZeroUsize::new(limit),
        ..ListQuery::default()
    }
}

/// Ties go by insertion; codes by their bytes, then domains.
pub async fn every_order_is_kept_across_pages<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    assert_eq!(codes(&*store, &ListQuery::default()).await, [""; 0]);
    let made = [
        ("", "m", 5),
        ("", "a", 3),
        ("b.example", "z", 3),
        ("", "ä", 3),
        ("b.example", "a", 9),
        ("", "Z", 0),
    ];
    for (number, (domain, code, at)) in made.into_iter().enumerate() {
        let tie = if E::ORDERED { 0 } else { number as i64 };
        let link = Link {
            created_at: after(at * 10 + tie),
            ..link(on(domain, code), to("https://t.example/"))
        };
        fill(&*store, [link]).await;
    }
    let by_creation = ["/Z", "/a", "b.example/z", "/ä", "/m", "b.example/a"];
    let by_code = ["/Z", "/a", "b.example/a", "/m", "b.example/z", "/ä"];
    for limit in 1..8 {
        for order in ORDERS {
            let mut expected = match order {
                ListOrder::CreatedAscending | ListOrder::CreatedDescending => by_creation,
                ListOrder::CodeAscending | ListOrder::CodeDescending => by_code,
            };
            if matches!(
                order,
                ListOrder::CreatedDescending | ListOrder::CodeDescending
            ) {
                expected.reverse();
            }
            assert_eq!(
                codes(&*store, &by(order, limit)).await,
                expected,
                "{order:?} {limit}"
            );
        }
    }
    let page = store.list(&by(ListOrder::CodeAscending, 6)).await.unwrap();
    assert_eq!(page.next, None, "nothing is left, so there is no next page");
}

/// Alone and together, in every order.
pub async fn filters_choose_what_they_say<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let mut links = Vec::new();
    for n in 0..60 {
        let domain = ["", "b.example", "c.example"][n % 3];
        let mut made = link(
            on(domain, &format!("c{n}")),
            to(&format!("https://h{}.example/", n % 4)),
        );
        made.created_at = after((n as i64 * 7) % 11);
        made.spec.tags = ["x", "y"]
            .iter()
            .take(n % 5 % 3)
            .map(|tag| Tag::from_stored(tag))
            .collect();
        made.spec.title = (n % 2 == 0).then(|| format!("Title {n}"));
        links.push(made);
    }
    fill(&*store, links.clone()).await;
    for domain in [None, Some(""), Some("b.example"), Some("none.example")] {
        for tag in [None, Some("x"), Some("y"), Some("none")] {
            for prefix in [
                None,
                Some(""),
                Some("c1"),
                Some("TITLE"),
                Some("h2"),
                Some("none"),
            ] {
                for order in ORDERS {
                    let query = ListQuery {
                        domain: domain.map(Domain::from_stored),
                        tag: tag.map(Tag::from_stored),
                        prefix: prefix.map(str::to_owned),
                        ..by(order, 7)
                    };
                    let everything = all(&*store, &by(order, 1000)).await;
                    let expected: Vec<_> = everything
                        .into_iter()
                        .filter(|link| query.matches(link))
                        .collect();
                    assert_eq!(all(&*store, &query).await, expected, "{query:?}");
                }
            }
        }
    }
}

/// Prefixes of code, title and target, in any case and length.
pub async fn prefixes_ignore_case_and_look_past_what_is_indexed<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let path = "very/long/".repeat(20);
    let mut titled = link(
        key("Sommer-1"),
        to(&format!("https://www.shop.example/{path}one")),
    );
    titled.spec.title = Some("Große ΟΔΟΣ".into());
    let other = link(key("winter"), to(&format!("http://shop.example/{path}two")));
    fill(&*store, [titled, other]).await;
    for (prefix, expected) in [
        ("sOMMer", &["/Sommer-1"][..]),
        ("grOẞe οδοσ", &["/Sommer-1"]),
        ("GROSSE", &[]),
        ("ommer", &[]),
        ("shop.example/very", &["/Sommer-1", "/winter"]),
        ("www.", &[]),
        ("https://", &[]),
        (&format!("shop.example/{path}"), &["/Sommer-1", "/winter"]),
        (&format!("SHOP.example/{path}TWO"), &["/winter"]),
        ("winter%", &[]),
        ("w_nter", &[]),
        ("\u{10ffff}", &[]),
    ] {
        let query = ListQuery {
            prefix: Some(prefix.into()),
            ..by(ListOrder::CodeAscending, 10)
        };
        assert_eq!(codes(&*store, &query).await, expected, "{prefix}");
    }
}

/// Filters that let many links pass may be served in another way than those that let few.
pub async fn long_listings_agree_however_they_are_found<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let links = (0..12_000).map(|n| {
        let mut made = simple(&format!("c{n}"));
        made.spec.tags = vec![Tag::from_stored("all")];
        if n % 1_000 == 0 {
            made.spec.tags.push(Tag::from_stored("some"));
        }
        made
    });
    fill(&*store, links).await;
    for order in ORDERS {
        for (tag, prefix, expected) in [
            (None, None, 12_000),
            (Some("all"), None, 12_000),
            (Some("all"), Some("C11"), 1_000 + 100 + 10 + 1),
            (Some("some"), Some("c"), 12),
            (Some("some"), None, 12),
            (None, Some("target.example/c"), 12_000),
        ] {
            let query = ListQuery {
                tag: tag.map(Tag::from_stored),
                prefix: prefix.map(str::to_owned),
                ..by(order, 5_000)
            };
            let found = all(&*store, &query).await;
            assert!(found.iter().all(|link| query.matches(link)));
            let mut distinct: Vec<_> = found.iter().map(|link| &link.key).collect();
            distinct.sort();
            distinct.dedup();
            assert_eq!(
                (found.len(), distinct.len()),
                (expected, expected),
                "{query:?}"
            );
        }
    }
}

/// What was there from the start appears exactly once.
pub async fn pages_stay_stable_under_concurrent_inserts<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, (0..100).map(|n| simple(&format!("old{n:03}")))).await;
    for (round, order) in ORDERS.into_iter().enumerate() {
        let inserting = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..40 {
                    let new =
                        ["a", "old050-", "z"].map(|name| simple(&format!("{name}{round}{n}")));
                    fill(&*store, new).await;
                }
            })
        };
        let seen = codes(&*store, &by(order, 3)).await;
        inserting.await.unwrap();
        let mut old: Vec<_> = seen
            .iter()
            .filter(|code| code.starts_with("/old") && code.len() == 7)
            .collect();
        assert_eq!(old.len(), 100, "{order:?}");
        old.sort();
        old.dedup();
        assert_eq!(old.len(), 100, "{order:?}");
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "{order:?}");
    }
}

/// A listing goes by what links are now.
pub async fn edits_move_links_between_filters<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [simple("a"), simple("b")]).await;
    let tagged = |tag: &str| ListQuery {
        tag: Some(Tag::from_stored(tag)),
        ..ListQuery::default()
    };
    let titled = |prefix: &str| ListQuery {
        prefix: Some(prefix.into()),
        ..ListQuery::default()
    };
    let mut spec = simple("a").spec;
    for (version, tag, title) in [(1, "one", "First"), (2, "two", "Second")] {
        spec.tags = vec![Tag::from_stored(tag)];
        spec.title = Some(title.into());
        store
            .update(update(key("a"), version, spec.clone()))
            .await
            .unwrap();
        assert_eq!(codes(&*store, &tagged(tag)).await, ["/a"]);
        assert_eq!(codes(&*store, &titled(title)).await, ["/a"]);
    }
    assert_eq!(codes(&*store, &tagged("one")).await, [""; 0]);
    assert_eq!(codes(&*store, &titled("first")).await, [""; 0]);
    // Nothing but the tags.
    spec.tags = vec![Tag::from_stored("three")];
    let retag = update(key("a"), 3, spec.clone());
    store.update(retag).await.unwrap();
    assert_eq!(codes(&*store, &tagged("three")).await, ["/a"]);
    assert_eq!(codes(&*store, &tagged("two")).await, [""; 0]);
    store.delete(delete(key("a"))).await.unwrap();
    assert_eq!(codes(&*store, &tagged("three")).await, [""; 0]);
    assert_eq!(codes(&*store, &titled("target.example/")).await, ["/b"]);
}

/// A cursor of another order, or of nobody's, is the caller's mistake.
pub async fn foreign_cursors_are_refused<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(&*store, [simple("a"), simple("b")]).await;
    let page = store.list(&by(ListOrder::CodeAscending, 1)).await.unwrap();
    for cursor in [
        page.next.unwrap(),
        Cursor("nonsense".into()),
        Cursor(String::new()),
    ] {
        let query = ListQuery {
            cursor: Some(cursor),
            ..by(ListOrder::CreatedAscending, 1)
        };
        let answer = store.list(&query).await;
        assert!(matches!(answer, Err(StoreError::BadCursor)), "{answer:?}");
    }
}

/// Texts that mean something to SQL, to its patterns and to its strings.
const STATEMENTS: [&str; 14] = [
    "' OR '1'='1",
    "'; DROP TABLE links; --",
    "\"; DROP TABLE links; --",
    "') UNION SELECT 1 --",
    "1; DELETE FROM links",
    "%",
    "_",
    "a%",
    "\\",
    "\\'; --",
    "$1",
    "?1",
    ":name",
    "$$; DROP TABLE links; $$",
];

/// Whatever a text says: it is kept as it is, finds only itself, and does nothing else.
pub async fn no_text_is_taken_for_a_statement<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let ours = simple("ours");
    fill(&*store, [ours.clone()]).await;
    let mut made = vec![ours];
    for (number, text) in STATEMENTS.into_iter().enumerate() {
        let mut spec = to(&format!("https://example.com/{text}"));
        spec.title = Some(text.into());
        spec.tags = Tag::parse(text).into_iter().collect();
        let link = Link {
            created_by: text.into(),
            ..link(key(&format!("code-{number}")), spec)
        };
        fill(&*store, [link.clone()]).await;
        assert_eq!(
            store.get(&link.key).await.unwrap().as_ref(),
            Some(&link),
            "{text}"
        );
        made.push(link);
    }
    for text in STATEMENTS {
        let lower = text.to_lowercase();
        let fits = |link: &&Link| {
            let title = link.spec.title.as_deref().unwrap_or_default();
            let code = link.key.code.as_str();
            title.to_lowercase().starts_with(&lower) || code.to_lowercase().starts_with(&lower)
        };
        let query = ListQuery {
            prefix: Some(text.to_owned()),
            ..ListQuery::default()
        };
        let found = all(&*store, &query).await;
        let wanted = made.iter().filter(fits).count();
        assert_eq!(found.len(), wanted, "{text}: {found:?}");
        if let Ok(tag) = Tag::parse(text) {
            let query = ListQuery {
                tag: Some(tag.clone()),
                ..ListQuery::default()
            };
            let found = all(&*store, &query).await;
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].spec.tags, [tag], "{text}");
        }
        // As a code, as a domain, and as a cursor.
        let nobody = LinkKey {
            domain: Domain::from_stored(text),
            code: Code::from_stored(text),
        };
        assert_eq!(store.get(&nobody).await.unwrap(), None, "{text}");
        assert_eq!(store.history(&nobody, 10).await.unwrap(), [], "{text}");
        let query = ListQuery {
            domain: Some(Domain::from_stored(text)),
            ..ListQuery::default()
        };
        assert_eq!(all(&*store, &query).await, [], "{text}");
        let query = ListQuery {
            cursor: Some(Cursor(text.to_owned())),
            ..ListQuery::default()
        };
        assert!(store.list(&query).await.is_err(), "{text}");
    }
    assert_eq!(all(&*store, &ListQuery::default()).await.len(), made.len());
}

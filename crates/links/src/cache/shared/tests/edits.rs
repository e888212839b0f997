//! Links that are made, edited and deleted: who learns of it and when, and that no old state comes back.

use super::*;
use crate::store::{ChangeFeed as _, IdempotencyToken, Inserted, Updated};

const SECOND: &str = "https://example.com/second";

#[tokio::test]
async fn a_new_link_is_known_everywhere_at_once_and_the_store_is_not_read() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(3, &redis.url()).await;
    fleet.listen().await;
    // All know that it is not there.
    for server in &fleet.servers {
        assert!(!server.tier("a").await.0);
    }
    let inserted = fleet.servers[0]
        .writes
        .insert(vec![insert("a")])
        .await
        .unwrap();
    assert!(matches!(inserted[..], [Inserted::Created(_)]));
    fleet.servers[0].cache.invalidate(&key("a"));
    for server in &fleet.servers {
        eventually("it is known", async || server.get("a").await.link.is_some()).await;
    }
    assert_eq!(fleet.store.reads(), 1, "that of its absence");
    // A code that is taken changes nothing.
    let inserted = fleet.servers[1]
        .writes
        .insert(vec![insert("a")])
        .await
        .unwrap();
    assert!(matches!(inserted[..], [Inserted::CodeTaken]));
    fleet.forget_memory();
    assert_eq!(fleet.servers[2].tier("a").await, (true, Tier::Shared));
}

#[tokio::test]
async fn a_creation_that_is_repeated_is_known_everywhere() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(3, &redis.url()).await;
    fleet.listen().await;
    // All know that it is not there, and so does Redis.
    for server in &fleet.servers {
        assert!(!server.tier("a").await.0);
    }
    let mut made = insert("a");
    made.idempotency = Some(IdempotencyToken {
        id: [7; 16],
        request: [1; 16],
        at: fleet.clock.now(),
    });
    // Whoever made it was killed before it told anybody.
    fleet.store.insert(vec![made.clone()]).await.unwrap();
    let again = fleet.servers[0].writes.insert(vec![made]).await.unwrap();
    assert!(matches!(again[..], [Inserted::Replayed(_)]));
    fleet.servers[0].cache.invalidate(&key("a"));
    for server in &fleet.servers {
        eventually("it is known", async || server.get("a").await.link.is_some()).await;
    }
}

#[tokio::test]
async fn an_edit_and_a_deletion_are_known_everywhere() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(3, &redis.url()).await;
    fleet.listen().await;
    fleet.insert("a").await;
    for server in &fleet.servers {
        server.get("a").await;
    }
    let update = fleet.update("a", 1, SECOND);
    let updated = fleet.servers[0].writes.update(update).await.unwrap();
    assert!(matches!(updated, Updated::Updated(_)));
    for server in &fleet.servers[1..] {
        eventually("the edit is known", async || {
            server.target("a").await.as_deref() == Some(SECOND)
        })
        .await;
        assert_eq!(server.shared.stats().news, 1);
    }
    let delete = fleet.delete("a");
    fleet.servers[1].writes.delete(delete).await.unwrap();
    eventually("the deletion is known", async || {
        fleet.servers[2].get("a").await.link.is_none()
    })
    .await;
    assert_eq!(fleet.store.reads(), 3, "one for each state");
    // Who edits tells its own memory itself: the service does.
    assert_eq!(fleet.servers[0].shared.stats().news, 1);
}

/// A copy of the store shows the old state to a server that has not read of the edit yet.
#[tokio::test]
async fn what_was_written_from_an_old_copy_is_taken_back_everywhere() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(3, &redis.url()).await;
    fleet.listen().await;
    fleet.insert("a").await;
    let old = fleet.store.get(&key("a")).await.unwrap();
    let [writer, late, early] = &fleet.servers[..] else {
        panic!("three servers")
    };
    writer
        .writes
        .update(fleet.update("a", 1, SECOND))
        .await
        .unwrap();
    for server in [late, early] {
        eventually("the news arrive", async || server.shared.stats().news == 1).await;
    }
    // One has read of it in the feed, and believes what the other writes, which has not.
    early.cache.forget(&[key("a")]).await;
    fleet.store.lag_behind(old);
    assert_ne!(late.target("a").await.as_deref(), Some(SECOND));
    assert_eq!(early.tier("a").await, (true, Tier::Shared));
    assert_ne!(early.target("a").await.as_deref(), Some(SECOND));
    fleet.store.lag_behind(None);
    late.cache.forget(&[key("a")]).await;
    for server in [late, early] {
        eventually("the edit is known", async || {
            server.target("a").await.as_deref() == Some(SECOND)
        })
        .await;
    }
}

/// The promise: what the feed of the store tells is known as soon as it is read.
#[tokio::test]
async fn without_news_the_feed_of_the_store_tells_of_edits() {
    let redis = PrivateRedis::start();
    // None of them listens.
    let fleet = Fleet::of(2, &redis.url()).await;
    let [writer, other] = &fleet.servers[..] else {
        panic!("two servers")
    };
    fleet.insert("a").await;
    let start = fleet.store.inner.changes(None).await.unwrap().upto;
    other.get("a").await;
    writer
        .writes
        .update(fleet.update("a", 1, SECOND))
        .await
        .unwrap();
    assert_ne!(other.target("a").await.as_deref(), Some(SECOND), "not yet");
    let changes = fleet.store.inner.changes(Some(start)).await.unwrap();
    other.cache.forget(&changes.keys).await;
    assert_eq!(other.target("a").await.as_deref(), Some(SECOND));
    // Also if who edits was killed before it could tell Redis.
    fleet
        .store
        .update(fleet.update("a", 2, "https://example.com/third"))
        .await
        .unwrap();
    let changes = fleet.store.inner.changes(Some(changes.upto)).await.unwrap();
    other.cache.forget(&changes.keys).await;
    assert_eq!(
        other.target("a").await.as_deref(),
        Some("https://example.com/third")
    );
}

/// Without news and without the feed: an entry ends, and the memory of it with it.
#[tokio::test]
async fn without_news_and_feed_an_edit_is_known_when_the_entry_ends() {
    const LASTS: Duration = Duration::from_secs(2);
    let redis = PrivateRedis::start();
    let fleet = Fleet::with(2, &redis.url(), |options| options.ttl = LASTS).await;
    fleet.insert("a").await;
    fleet.servers[0].get("a").await;
    let read = Instant::now();
    fleet.servers[1].get("a").await;
    fleet
        .store
        .update(fleet.update("a", 1, SECOND))
        .await
        .unwrap();
    loop {
        let elapsed = read.elapsed();
        // As long as the entry may last; the memory asks again all the time.
        fleet.clock.advance(LASTS);
        let known = fleet.servers[1].target("a").await.as_deref() == Some(SECOND);
        if known {
            break;
        }
        assert!(elapsed < LASTS, "it is served after {elapsed:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_slow_read_does_not_bring_the_old_state_back() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    let [writer, reader] = &fleet.servers[..] else {
        panic!("two servers")
    };
    fleet.insert("a").await;
    fleet.store.hold_up(true);
    let cache = reader.cache.clone();
    let slow = tokio::spawn(async move { cache.get(key("a")).await });
    eventually("it has read", async || fleet.store.reads() == 1).await;
    writer
        .writes
        .update(fleet.update("a", 1, SECOND))
        .await
        .unwrap();
    fleet.store.hold_up(false);
    // This one asked before the edit.
    slow.await.unwrap().unwrap();
    let stats = reader.shared.stats();
    assert_eq!((stats.writes, stats.writes_refused), (0, 1));
    // Nobody was told, and yet neither keeps it.
    assert_eq!(reader.target("a").await.as_deref(), Some(SECOND));
    assert_eq!(writer.target("a").await.as_deref(), Some(SECOND));
}

#[tokio::test]
async fn who_made_a_link_does_not_write_it_after_an_edit() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    let [maker, editor] = &fleet.servers[..] else {
        panic!("two servers")
    };
    let token = maker.writes.reserve(&key("a")).await;
    let made = fleet.store.insert(vec![insert("a")]).await.unwrap();
    editor
        .writes
        .update(fleet.update("a", 1, SECOND))
        .await
        .unwrap();
    maker
        .writes
        .settle(&key("a"), token.as_ref(), made.first())
        .await;
    assert_eq!(maker.shared.stats().writes_refused, 1);
    assert_eq!(editor.target("a").await.as_deref(), Some(SECOND));
}

#[tokio::test]
async fn of_two_who_want_a_code_the_one_who_gets_it_is_known() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(3, &redis.url()).await;
    fleet.listen().await;
    let [first, second, reader] = &fleet.servers[..] else {
        panic!("three servers")
    };
    assert!(!reader.tier("a").await.0);
    let won = first.writes.reserve(&key("a")).await;
    let lost = second.writes.reserve(&key("a")).await;
    let made = fleet.store.insert(vec![insert("a")]).await.unwrap();
    second
        .writes
        .settle(&key("a"), lost.as_ref(), Some(&Inserted::CodeTaken))
        .await;
    first
        .writes
        .settle(&key("a"), won.as_ref(), made.first())
        .await;
    eventually("it is known", async || reader.tier("a").await.0).await;
}

#[tokio::test]
async fn many_links_are_written_through_at_once() {
    const LINKS: usize = 300;
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    let codes: Vec<String> = (0..LINKS).map(|code| code.to_string()).collect();
    let mut inserts: Vec<_> = codes.iter().map(|code| insert(code)).collect();
    // One of them twice.
    inserts.push(insert("7"));
    let inserted = fleet.servers[0].writes.insert(inserts).await.unwrap();
    assert_eq!(inserted.len(), LINKS + 1);
    assert_eq!(inserted[LINKS], Inserted::CodeTaken);
    for code in &codes {
        let (there, tier) = fleet.servers[1].tier(code).await;
        assert!(there && (tier == Tier::Shared || code == "7"), "{code}");
    }
    assert!(fleet.store.reads() <= 1);
}

#[tokio::test]
async fn who_read_an_absence_does_not_write_it_after_the_link_was_made() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    let [maker, reader] = &fleet.servers[..] else {
        panic!("two servers")
    };
    fleet.store.hold_up(true);
    let cache = reader.cache.clone();
    let slow = tokio::spawn(async move { cache.get(key("a")).await });
    eventually("it has read", async || fleet.store.reads() == 1).await;
    maker.writes.insert(vec![insert("a")]).await.unwrap();
    fleet.store.hold_up(false);
    assert!(slow.await.unwrap().unwrap().link.is_none());
    assert_eq!(reader.shared.stats().writes_refused, 1);
    assert_eq!(reader.tier("a").await, (true, Tier::Shared));
}

#[tokio::test]
async fn links_that_are_swept_are_known_to_be_gone() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(2, &redis.url()).await;
    fleet.listen().await;
    let mut spec = LinkSpec::to(TargetUrl::from_stored("https://example.com/"));
    spec.expires_at = Some(fleet.clock.now());
    fleet
        .store
        .insert(vec![insert_spec("a", spec)])
        .await
        .unwrap();
    for server in &fleet.servers {
        assert!(server.tier("a").await.0);
    }
    let later = fleet.clock.now().saturating_add(Duration::from_secs(1));
    let swept = fleet.servers[0]
        .writes
        .sweep(later, later, 10)
        .await
        .unwrap();
    assert_eq!(swept.links.len(), 1);
    eventually("it is gone", async || !fleet.servers[1].tier("a").await.0).await;
}

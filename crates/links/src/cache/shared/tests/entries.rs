//! What is kept in Redis, for how long, and what it costs to ask.

use std::num::NonZeroU64;

use super::*;

/// How often Redis was called since it began to count.
async fn calls(redis: &PrivateRedis) -> u64 {
    let stats: String = send(redis, &["INFO", "commandstats"]).await;
    let count = |name: &str| {
        let prefix = format!("cmdstat_{name}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    count("evalsha") + count("eval")
}

async fn left(redis: &PrivateRedis, code: &str) -> i64 {
    send(redis, &["PTTL", &entry(code)]).await
}

#[tokio::test]
async fn what_one_server_read_the_others_need_not_read() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(3, &redis.url()).await;
    fleet.insert("a").await;
    assert_eq!(fleet.servers[0].tier("a").await, (true, Tier::Store));
    assert_eq!(fleet.servers[0].tier("absent").await, (false, Tier::Store));
    for server in &fleet.servers[1..] {
        let found = server.get("a").await;
        assert_eq!(found.tier, Tier::Shared);
        assert_eq!(**found.link.unwrap().whole().unwrap(), insert("a").link);
        assert_eq!(server.tier("absent").await, (false, Tier::Shared));
        assert_eq!(server.tier("a").await, (true, Tier::Memory));
    }
    assert_eq!(fleet.store.reads(), 2);
}

#[tokio::test]
async fn a_miss_of_the_memory_is_one_call_on_one_connection() {
    const LINKS: usize = 300;
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    for code in 0..LINKS {
        fleet.insert(&code.to_string()).await;
        fleet.servers[0].get(&code.to_string()).await;
    }
    let before = calls(&redis).await;
    let reader = &fleet.servers[1];
    let codes: Vec<String> = (0..LINKS).map(|code| code.to_string()).collect();
    let lookups = join_all(codes.iter().map(|code| reader.get(code))).await;
    assert!(lookups.iter().all(|lookup| lookup.tier == Tier::Shared));
    assert_eq!(calls(&redis).await - before, LINKS as u64);
    let clients: String = send(&redis, &["CLIENT", "LIST"]).await;
    // One of each server, and that of the question.
    assert_eq!(clients.lines().count(), 3, "{clients}");
}

#[tokio::test]
async fn entries_end_before_their_links_and_all_of_them_end() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(1, &redis.url()).await;
    let server = &fleet.servers[0];
    let spec = |change: fn(&mut LinkSpec, UnixMillis)| {
        let mut spec = LinkSpec::to(TargetUrl::from_stored("https://example.com/"));
        change(&mut spec, fleet.clock.now());
        spec
    };
    let links = [
        ("plain", spec(|_, _| {})),
        (
            "ends",
            spec(|spec, now| spec.expires_at = Some(now.saturating_add(TTL / 10))),
        ),
        ("ended", spec(|spec, now| spec.expires_at = Some(now))),
        (
            "counted",
            spec(|spec, _| spec.max_clicks = NonZeroU64::new(3)),
        ),
    ];
    for (code, spec) in links {
        let insert = insert_spec(code, spec);
        fleet.store.insert(vec![insert]).await.unwrap();
        assert_eq!(server.tier(code).await, (true, Tier::Store));
    }
    server.get("absent").await;
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap();
    for (code, at_most) in [
        ("plain", TTL),
        ("ends", TTL / 10),
        ("ended", Duration::from_secs(600)),
        ("absent", Duration::from_secs(600)),
    ] {
        let left = left(&redis, code).await;
        let at_least = ms(at_most) * 9 / 10 - ms(PATIENCE);
        assert!((at_least..=ms(at_most)).contains(&left), "{code}: {left}");
    }
    // Each click of it asks the store anyway.
    assert_eq!(left(&redis, "counted").await, -2);
    // Whoever takes a lock may be killed.
    server
        .shared
        .script
        .take(&key("locked"), &server.shared.token())
        .await
        .unwrap();
    assert!(left(&redis, "locked").await > 0);
    assert!(left(&redis, "locked").await <= ms(options(1).lock));
}

#[tokio::test]
async fn the_memory_believes_an_entry_no_longer_than_it_lasts() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    fleet.insert("a").await;
    fleet.servers[0].get("a").await;
    let value = fleet.servers[1].shared.load(&key("a")).await.unwrap();
    assert!(value.good_for <= TTL && value.good_for > TTL / 2);
    // Near its end.
    let script = &fleet.servers[0].shared.script;
    let token = fleet.servers[0].shared.token();
    script.take(&key("a"), &token).await.unwrap();
    let bytes = value::encode(value.link.as_deref(), Duration::ZERO).unwrap();
    let lasts = MEMORY_TTL / 2;
    assert!(
        script
            .put(&key("a"), &token, &bytes, lasts, None)
            .await
            .unwrap()
    );
    assert_eq!(fleet.servers[1].tier("a").await, (true, Tier::Shared));
    fleet.clock.advance(lasts);
    assert_eq!(
        fleet.servers[1].tier("a").await.1,
        Tier::Shared,
        "asked again"
    );
}

#[tokio::test]
async fn what_others_wrote_there_is_read_from_the_store() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(1, &redis.url()).await;
    fleet.insert("a").await;
    for (count, damaged) in ["-9999999999999\u{7}newer", "-9999999999999"]
        .iter()
        .enumerate()
    {
        let _: String = send(&redis, &["SET", &entry("a"), damaged]).await;
        fleet.forget_memory();
        assert_eq!(fleet.servers[0].tier("a").await, (true, Tier::Store));
        assert_eq!(fleet.servers[0].shared.stats().unreadable, count as u64 + 1);
    }
}

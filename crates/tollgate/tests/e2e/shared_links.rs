//! A cache of links that servers share in a Redis, from the configuration to what visitors see.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::private_redis::PrivateRedis;
use crate::server::{Options, Server, both, eventually, links_file, new_home};

/// A deadline that a loaded machine keeps; a Redis that was killed refuses at once.
fn options(url: &str, more: &str) -> Options {
    Options::default().config(&format!(
        "[links]\ncache = {url:?}\n{more}\n[links.shared_cache]\ndeadline = \"10s\"\n"
    ))
}

/// Two servers on one file of links. The feed of the second is `follow` late.
fn two(url: &str, follow: &str) -> (Server, Server, Arc<TempDir>) {
    let homes = [new_home(), new_home()];
    let first = options(url, "").start_in(&homes[0]);
    let store = format!("sqlite:{}", links_file(homes[0].path()).display());
    let more = format!(
        "store = {store:?}\n[links.memory_cache]\nfollow = {follow:?}\nnegative_ttl = \"1h\""
    );
    let second = options(url, &more).start_in(&homes[1]);
    for server in [&first, &second] {
        eventually("it listens", || listens(&server.client()).then_some(()));
    }
    let [home, _] = homes;
    (first, second, home)
}

fn listens(client: &Client) -> bool {
    client.metric("tollgate_shared_cache_listening") == 1.0
}

fn store_reads(client: &Client) -> f64 {
    client.metric("tollgate_shared_cache_store_reads_total")
}

fn target(client: &Client, code: &str) -> Option<String> {
    let reply = client.visit(code);
    (reply.status == 302).then(|| reply.location().to_owned())
}

#[test]
fn what_one_server_makes_edits_and_deletes_the_other_knows_without_the_store() {
    let redis = PrivateRedis::start();
    let (first, second, _home) = two(&redis.url(), "1h");
    let (first, second) = (first.client(), second.client());
    assert_eq!(second.visit("sale").status, 404);
    first.create(&json!({"url": "https://a.example/", "code": "sale"}));
    eventually("the new link is known", || target(&second, "sale"));
    // It was written through: neither had to read it.
    assert_eq!(
        target(&first, "sale").as_deref(),
        Some("https://a.example/")
    );
    assert_eq!(store_reads(&first), 0.0);
    assert_eq!(store_reads(&second), 1.0, "its absence");
    let shared =
        r#"tollgate_edge_request_duration_seconds_count{outcome="redirect",tier="shared"}"#;
    assert_eq!(second.metric(shared), 1.0);

    first
        .patch("sale", &json!({"url": "https://b.example/"}))
        .expect(200);
    eventually("the edit is known", || {
        (target(&second, "sale")? == "https://b.example/").then_some(())
    });
    first.delete("sale").expect(204);
    eventually("the deletion is known", || {
        (second.visit("sale").status == 404).then_some(())
    });
}

#[test]
fn links_of_all_kinds_do_as_without_it() {
    let redis = PrivateRedis::start();
    let (first, second, _home) = two(&redis.url(), "1h");
    let (first, second) = (first.client(), second.client());
    let limited = first.code(&json!({"url": "https://a.example/", "max_clicks": 3}));
    let passed = (0..10).filter(|click| {
        let client = if click % 2 == 0 { &first } else { &second };
        client.visit(&limited).status == 302
    });
    assert_eq!(passed.count(), 3);
    assert_eq!(second.visit(&limited).status, 410);

    let secret = first.code(&json!({"url": "https://s.example/", "password": "sesame"}));
    assert!(target(&second, &secret).is_none(), "the form");
    assert_eq!(second.unlock(&secret, "wrong").status, 403);
    assert_eq!(
        second.unlock(&secret, "sesame").location(),
        "https://s.example/"
    );

    let soon = (Timestamp::now() + SignedDuration::from_secs(2)).to_string();
    let ended = first.code(&json!({"url": "https://e.example/", "expires_at": soon}));
    eventually("it has expired", || {
        (second.visit(&ended).status == 410).then_some(())
    });
    let pending =
        first.code(&json!({"url": "https://p.example/", "starts_at": "2999-01-01T00:00:00Z"}));
    assert_eq!(second.visit(&pending).status, 404);
    let rules = json!([{"url": "https://de.example/", "if": [{"type": "language", "is": "de"}]}]);
    let ruled = first.code(&json!({"url": "https://r.example/", "rules": rules, "redirect": 307}));
    let german = second.visit_with(&ruled, &[("accept-language", "de")]);
    assert_eq!(
        (german.status, german.location()),
        (307, "https://de.example/")
    );
}

/// The promise: while no news arrive, an edit is known as soon as the feed of the store is read.
#[test]
fn without_news_an_edit_is_known_by_the_feed() {
    let redis = PrivateRedis::start();
    let (first, second, _home) = two(&redis.url(), "200ms");
    let (first, second) = (first.client(), second.client());
    let code = first.code(&json!({"url": "https://a.example/"}));
    assert_eq!(
        target(&second, &code).as_deref(),
        Some("https://a.example/")
    );
    // From now on nobody may listen.
    redis.cli(&["ACL", "SETUSER", "default", "-subscribe"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    eventually("no news arrive", || {
        (!listens(&second) && !listens(&first)).then_some(())
    });
    let before = second.metric("tollgate_shared_cache_news_total");
    for edit in 0..3 {
        let url = format!("https://b.example/{edit}");
        first.patch(&code, &json!({"url": url})).expect(200);
        eventually("the edit is known", || {
            (target(&second, &code)? == url).then_some(())
        });
    }
    assert_eq!(second.metric("tollgate_shared_cache_news_total"), before);
    redis.cli(&["ACL", "SETUSER", "default", "+subscribe"]);
    eventually("news arrive again", || listens(&second).then_some(()));
}

#[test]
fn while_redis_is_away_links_are_served_and_edited() {
    let mut redis = PrivateRedis::start();
    let (first, second, _home) = two(&redis.url(), "200ms");
    let (first, second) = (first.client(), second.client());
    let code = first.code(&json!({"url": "https://a.example/"}));
    redis.kill();
    assert_eq!(
        target(&second, &code).as_deref(),
        Some("https://a.example/")
    );
    first
        .patch(&code, &json!({"url": "https://b.example/"}))
        .expect(200);
    eventually("the edit is known", || {
        (target(&second, &code)? == "https://b.example/").then_some(())
    });
    for made in 0..10 {
        let url = format!("https://c.example/{made}");
        let code = first.code(&json!({"url": url}));
        assert_eq!(target(&second, &code), Some(url));
    }
    assert!(first.is_ready() && second.is_ready());
    assert_eq!(first.metric("tollgate_shared_cache_breaker_open"), 1.0);
    redis.restart();
    eventually("Redis is used again", || {
        let code = first.code(&json!({"url": "https://d.example/"}));
        target(&second, &code)?;
        (first.metric("tollgate_shared_cache_breaker_open") == 0.0
            && first.metric("tollgate_shared_cache_owed") == 0.0
            && listens(&second))
        .then_some(())
    });
}

#[test]
fn a_url_that_is_no_redis_is_refused_without_its_password() {
    for (url, said) in [
        (
            "memcached://:sesame@a",
            "links.cache: give the URL of a Redis",
        ),
        (
            "redis+sentinel://:sesame@a,b",
            "the name of the master is missing",
        ),
    ] {
        let told = both(&options(url, "").fails_to_start(&new_home()));
        assert!(told.contains(said) && !told.contains("sesame"), "{told}");
    }
}

//! Clicks that go through a Redis to whichever server counts them.

use serde_json::json;

use crate::client::Client;
use crate::private_postgres::PrivatePostgres;
use crate::private_redis::PrivateRedis;
use crate::server::{Options, Server, both, eventually, new_home};

/// A server that shares links, statistics and the queue with others.
fn options(postgres: &PrivatePostgres, redis: &PrivateRedis) -> Options {
    let queue = format!("{}/clicks", redis.url());
    Options::default()
        .stores(&postgres.url("postgres"))
        .env("TOLLGATE_CLICKS__QUEUE", &queue)
        // A loaded machine keeps the deadline; a Redis that was killed refuses at once.
        .config("[clicks.redis]\ndeadline = \"10s\"\nclaim_after = \"1s\"")
}

pub(crate) fn visit(client: &Client, code: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(client.visit(code).status, 302);
    }
}

pub(crate) fn total(client: &Client) -> u64 {
    let stats = client.api("GET", "/api/v1/stats").expect(200);
    stats.json()["total"].as_u64().unwrap()
}

pub(crate) fn counted(client: &Client, expected: u64) {
    eventually("all clicks counted", || {
        (total(client) == expected).then_some(())
    });
}

/// What statistics tell is what was kept of single clicks, none of them twice.
pub(crate) fn each_click_once(client: &Client, postgres: &PrivatePostgres) {
    let raw = |of: &str| -> u64 {
        let sql = format!("SELECT {of} FROM click_raw");
        postgres.sql("postgres", &sql).parse().unwrap()
    };
    eventually("each click once", || {
        let told = total(client);
        (told == raw("count(*)") && told == raw("count(DISTINCT (process, event))")).then_some(())
    });
}

/// Clicks that this server itself has counted.
fn own(server: &Server) -> f64 {
    server.client().metric("tollgate_clicks_counted_total")
}

#[test]
fn what_a_dead_server_had_is_counted_by_the_others_once() {
    let (postgres, redis) = (PrivatePostgres::start(), PrivateRedis::start());
    let start = || options(&postgres, &redis).start();
    let [stays, ends, dies] = [start(), start(), start()];
    let client = stays.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    for server in [&stays, &ends, &dies] {
        visit(&server.client(), &code, 20);
    }
    counted(&client, 60);
    // Whoever came first counted them, and says so a moment after the store has them.
    eventually("each click told by one server", || {
        (own(&stays) + own(&ends) + own(&dies) == 60.0).then_some(())
    });

    // In order, it leaves nothing on its disk that only it could count.
    visit(&ends.client(), &code, 15);
    let home = ends.stop();
    drop(home);
    counted(&client, 75);
    // Killed in the middle of it, its disk has what it had not forwarded.
    visit(&dies.client(), &code, 300);
    let home = dies.kill();
    visit(&client, &code, 10);
    let again = options(&postgres, &redis).start_in(&home);
    eventually("what survived the kill", || {
        let told = total(&client);
        // A kill costs what is not in the spool yet.
        (told >= 85 && again.client().metric("tollgate_clicks_lag_seconds") == 0.0).then_some(())
    });
    each_click_once(&client, &postgres);
    visit(&again.client(), &code, 5);
    let before = total(&client);
    eventually("clicks of the server that came back", || {
        (total(&client) >= before.max(90)).then_some(())
    });
    // What is counted is not kept.
    eventually("an empty queue", || {
        (redis.cli(&["XLEN", "{clicks}"]) == "0").then_some(())
    });
    assert!(client.metric("tollgate_clicks_queue_pieces_total") > 0.0);
}

#[test]
fn while_the_queue_is_away_clicks_wait_and_redirects_notice_nothing() {
    let (postgres, mut redis) = (PrivatePostgres::start(), PrivateRedis::start());
    let server = options(&postgres, &redis).start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    visit(&client, &code, 10);
    counted(&client, 10);
    redis.kill();
    visit(&client, &code, 50);
    eventually("the failure to be told", || {
        (client.metric("tollgate_clicks_queue_failures_total") > 0.0).then_some(())
    });
    assert_eq!(
        client.metric("tollgate_clicks_dropped_total{reason=\"spool_full\"}"),
        0.0
    );
    assert!(client.is_ready(), "redirects do not need it");
    assert_eq!(total(&client), 10, "statistics do not need it");
    // It comes back without anything that it held.
    redis.restart();
    counted(&client, 60);
    // A server starts without it, as well.
    redis.kill();
    let other = options(&postgres, &redis).start();
    visit(&other.client(), &code, 5);
    redis.restart();
    counted(&client, 65);
}

#[test]
fn a_queue_without_statistics_that_are_shared_is_refused() {
    let url = "redis://:sesame-of-redis@127.0.0.1:1/clicks";
    let options = Options::default().env("TOLLGATE_CLICKS__QUEUE", url);
    let failed = options.fails_to_start(&new_home());
    let text = both(&failed);
    assert!(
        text.contains("clicks.queue") && text.contains("clicks.store"),
        "{text}"
    );
    assert!(!text.contains("sesame"), "{text}");
}

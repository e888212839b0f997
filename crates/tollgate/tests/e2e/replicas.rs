//! Servers that read their links from a standby of the PostgreSQL they share.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::private_postgres::{PASSWORD, PrivatePostgres};
use crate::private_redis::PrivateRedis;
use crate::server::{Options, Server, both, eventually, new_home};

/// A server whose memory keeps links for a moment only, so that it reads them all the time.
fn start(primary: &PrivatePostgres, standby: &PrivatePostgres, more: &str) -> Server {
    let server = Options::default()
        .env(
            "TOLLGATE_LINKS__STORE",
            &primary.url_with(&[standby], "postgres"),
        )
        .config(&format!(
            "[links]\npostgres.replicas = \"prefer\"\npostgres.max_lag = \"1h\"\n\
             postgres.deadline = \"60s\"\n{more}\n\
             [links.memory_cache]\nttl = \"50ms\"\nfollow = \"200ms\"\n"
        ))
        .start();
    eventually("the standby is read", || {
        (server.client().metric(&of("readable", standby)) == 1.0).then_some(())
    });
    server
}

/// A metric of a server of the database.
fn of(metric: &str, server: &PrivatePostgres) -> String {
    format!(
        "tollgate_postgres_replica_{metric}{{server=\"{}\"}}",
        server.address()
    )
}

fn target(client: &Client, code: &str) -> Option<String> {
    let reply = client.visit(code);
    (reply.status == 302).then(|| reply.location().to_owned())
}

fn version(client: &Client, code: &str) -> u64 {
    let target = target(client, code).expect("a redirect");
    let (_, version) = target.rsplit_once('/').expect("a version");
    version.parse().expect("a number")
}

/// Edits a link while the standby replays nothing, and looks at what visitors of all servers get: when it is
/// new once, it is never old again, if nothing is between the servers and the database; otherwise it is new for
/// good soon.
fn edits_show(servers: &[Server; 2], standby: &PrivatePostgres, is_shared: bool) {
    let [one, other] = servers.each_ref().map(Server::client);
    let code = one.code(&json!({"url": "https://a.example/0"}));
    for client in [&one, &other] {
        eventually("the link is read from the standby", || {
            let before = client.metric(&of("reads_total", standby));
            assert_eq!(version(client, &code), 0);
            (client.metric(&of("reads_total", standby)) > before).then_some(())
        });
    }
    standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    let mut last = [0, 0];
    let mut shows = |edit: u64| {
        let seen = [&one, &other].map(|client| version(client, &code));
        assert!(
            is_shared || (0..2).all(|at| seen[at] >= last[at]),
            "{seen:?} after {last:?}"
        );
        last = seen;
        std::thread::sleep(Duration::from_millis(20));
        seen == [edit, edit]
    };
    for edit in 1..=3 {
        let url = format!("https://a.example/{edit}");
        one.patch(&code, &json!({"url": url})).expect(200);
        // Their memory forgets it many times meanwhile, and they read it again.
        eventually("the edit is all that is shown", || {
            (0..60).all(|_| shows(edit)).then_some(())
        });
    }
    assert!(other.metric(&of("lag_bytes", standby)) > 0.0);
    standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    // It is read again.
    eventually("the link is read from the standby again", || {
        let before = other.metric(&of("reads_total", standby));
        assert_eq!(version(&other, &code), 3);
        (other.metric(&of("reads_total", standby)) > before).then_some(())
    });
}

#[test]
fn an_edit_is_never_followed_by_what_a_standby_still_has() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let servers = [start(&primary, &standby, ""), start(&primary, &standby, "")];
    edits_show(&servers, &standby, false);
}

#[test]
fn a_shared_cache_keeps_nothing_that_a_standby_still_has() {
    let primary = PrivatePostgres::start();
    let standby = primary.standby();
    let redis = PrivateRedis::start();
    let shared = format!(
        "cache = {:?}\nshared_cache.deadline = \"10s\"\nshared_cache.ttl = \"300ms\"",
        redis.url()
    );
    let servers = [
        start(&primary, &standby, &shared),
        start(&primary, &standby, &shared),
    ];
    edits_show(&servers, &standby, true);
}

#[test]
fn while_the_primary_is_away_visitors_are_sent_on() {
    let mut primary = PrivatePostgres::start();
    let standby = primary.standby();
    let first = start(&primary, &standby, "");
    let client = first.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let other = start(&primary, &standby, "");
    eventually("the standby has it", || {
        let before = other.client().metric(&of("reads_total", &standby));
        target(&other.client(), &code)?;
        (other.client().metric(&of("reads_total", &standby)) > before).then_some(())
    });
    primary.kill();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert_eq!(
            target(&other.client(), &code).unwrap(),
            "https://a.example/"
        );
        assert!(other.client().is_ready());
    }
    for refused in [
        client.draft(&json!({"url": "https://b.example/"})),
        // Nobody knows whether there is such a link.
        other.client().visit("unknown"),
    ] {
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!refused.header("retry-after").is_empty());
    }
    standby.promote();
    eventually("links can be made again", || {
        let made = client.draft(&json!({"url": "https://b.example/", "code": "after"}));
        (made.status == 201).then_some(())
    });
    assert_eq!(
        target(&other.client(), "after").unwrap(),
        "https://b.example/"
    );
    for server in [&first, &other] {
        assert!(!server.log().contains(PASSWORD), "{}", server.log());
    }
}

#[test]
fn standbys_that_cannot_be_found_are_an_error() {
    let postgres = PrivatePostgres::start();
    let one = postgres.url("postgres");
    let several = postgres.url_with(&[&postgres], "postgres");
    for (url, expected) in [
        (one, "name the primary and its standbys"),
        (
            format!("{several}?target_session_attrs=read-only"),
            "leave target_session_attrs out",
        ),
    ] {
        let output = Options::default()
            .env("TOLLGATE_LINKS__STORE", &url)
            .env("TOLLGATE_LINKS__POSTGRES__REPLICAS", "prefer")
            .fails_to_start(&new_home());
        let text = both(&output);
        assert!(
            text.contains(expected) && !text.contains(PASSWORD),
            "{text}"
        );
    }
}

//! Limits that servers share in a Redis, and what becomes of them while it is away.

use std::sync::Arc;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::private_redis::PrivateRedis;
use crate::server::{Options, Server, eventually, new_home};

/// Limits of a year: none of them comes back while a test runs.
const POLICIES: &str = "
domain: shop
descriptors:
  - {key: user, rate_limit: {unit: year, requests_per_unit: 50, algorithm: sliding_counter}}
  - {key: open, rate_limit: {unit: year, requests_per_unit: 3, on_store_failure: open}}
  - {key: closed, rate_limit: {unit: year, requests_per_unit: 3, on_store_failure: closed}}
  - {key: local, rate_limit: {unit: year, requests_per_unit: 3, on_store_failure: local}}
  - {key: unsaid, rate_limit: {unit: year, requests_per_unit: 3}}
  - {key: wide, rate_limit: {unit: year, requests_per_unit: 9, on_store_failure: local}}
  - {key: leased, rate_limit: {unit: year, requests_per_unit: 100000, precision: leased}}
";

/// A deadline that a loaded machine keeps; a Redis that was killed refuses at once.
fn options(url: &str, more: &str) -> (Options, Arc<TempDir>) {
    let home = new_home();
    let policies = home.path().join("limits.yaml");
    std::fs::write(&policies, POLICIES).unwrap();
    let options = Options::default().config(&format!(
        "[limits]\nstore = {url:?}\npolicies = {policies:?}\ndeadline = \"10s\"\n{more}"
    ));
    (options, home)
}

fn start(url: &str, more: &str) -> Server {
    let (options, home) = options(url, more);
    options.start_in(&home)
}

fn passes(client: &Client, key: &str, value: &str) -> bool {
    let body = json!({"domain": "shop", "descriptors": [[{"key": key, "value": value}]]});
    let answer = client.api_json("POST", "/api/v1/limits/check", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["allowed"] == true
}

/// How many of ten pass.
fn of_ten(client: &Client, key: &str, value: &str) -> usize {
    (0..10).filter(|_| passes(client, key, value)).count()
}

#[test]
fn two_servers_admit_the_limit_between_them() {
    let redis = PrivateRedis::start();
    let servers = [start(&redis.url(), ""), start(&redis.url(), "")];
    let admitted: usize = thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|at| {
                let client = servers[at % 2].client();
                scope.spawn(move || (0..3).map(|_| of_ten(&client, "user", "u")).sum::<usize>())
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).sum()
    });
    assert_eq!(admitted, 50);
    let other = start(&redis.url(), "prefix = \"other:\"");
    assert!(passes(&other.client(), "user", "u"), "another prefix");
}

#[test]
fn servers_share_the_limits_of_a_cluster() {
    let cluster = PrivateRedis::start_cluster(None);
    let closed = "on_store_failure = \"closed\"";
    let servers = [(); 2].map(|()| start(&cluster.cluster_url(), closed));
    let passing = [0, 1].map(|at: usize| of_ten(&servers[at].client(), "unsaid", "u"));
    assert_eq!(passing, [3, 0]);
}

#[test]
fn policies_say_what_happens_while_redis_is_away() {
    let mut redis = PrivateRedis::start();
    let server = start(&redis.url(), "on_store_failure = \"closed\"");
    let client = server.client();
    for key in ["open", "closed", "local", "unsaid"] {
        assert_eq!(of_ten(&client, key, "a"), 3, "{key}");
    }
    redis.kill();
    let passing = ["open", "closed", "local", "unsaid"].map(|key| of_ten(&client, key, "b"));
    assert_eq!(passing, [10, 0, 3, 0]);
    assert!(server.client().is_ready(), "links are served as before");
    assert_eq!(server.client().metric("tollgate_limits_breaker_open"), 1.0);
    assert!(
        server
            .client()
            .metric("tollgate_limits_breaker_refused_total")
            > 0.0
    );
    redis.restart();
    eventually("Redis is asked again", || {
        passes(&client, "closed", "c").then_some(())
    });
    assert_eq!(of_ten(&client, "closed", "c"), 2);
    assert_eq!(server.client().metric("tollgate_limits_breaker_open"), 0.0);
    assert!(
        server
            .client()
            .metric("tollgate_limits_breaker_opened_total")
            > 0.0
    );
    for told in ["the store of limits is away", "the store of limits is back"] {
        eventually(told, || server.log().contains(told).then_some(()));
    }
}

#[test]
fn each_server_lets_its_share_through_while_redis_is_away() {
    let mut redis = PrivateRedis::start();
    let servers = [(); 3].map(|()| start(&redis.url(), ""));
    for server in &servers {
        eventually("all of them are known", || {
            (server.client().metric("tollgate_limits_instances") == 3.0).then_some(())
        });
    }
    redis.kill();
    let passing: Vec<usize> = servers
        .iter()
        .map(|server| of_ten(&server.client(), "wide", "a"))
        .collect();
    assert_eq!(passing, [3, 3, 3]);
    redis.restart();
    let [one, two, three] = servers;
    drop(three);
    for server in [&one, &two] {
        eventually("who has left does not count any more", || {
            (server.client().metric("tollgate_limits_instances") == 2.0).then_some(())
        });
    }
}

#[test]
fn a_busy_key_is_leased_and_given_back_at_the_end() {
    let redis = PrivateRedis::start();
    let server = start(&redis.url(), "");
    let client = server.client();
    // So many at once, on a machine that may be busy: until it took a lease, and used some of it.
    let mut passed = 0;
    eventually("a lease", || {
        passed += of_ten(&client, "leased", "a");
        (server.client().metric("tollgate_limits_lease_used_total") > 0.0).then_some(())
    });
    assert!(server.client().metric("tollgate_limits_lease_taken_total") > 0.0);
    server.stop();
    let other = start(&redis.url(), "");
    let descriptor = json!([{"key": "leased", "value": "a"}]);
    let body = json!({"domain": "shop", "hits": 0, "descriptors": [descriptor]});
    let client = other.client();
    let answer = client
        .api_json("POST", "/api/v1/limits/check", &body)
        .json();
    assert_eq!(answer["statuses"][0]["remaining"], 100_000 - passed);
}

#[test]
fn a_server_starts_without_its_redis() {
    let mut redis = PrivateRedis::start();
    redis.kill();
    let server = start(&redis.url(), "");
    assert!(server.client().is_ready());
    assert_eq!(of_ten(&server.client(), "unsaid", "a"), 3, "local");
    redis.restart();
    eventually("Redis is asked", || {
        passes(&server.client(), "closed", "a").then_some(())
    });
}

#[test]
fn tls_is_spoken_with_who_is_trusted_only() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = new_home();
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let redis = PrivateRedis::start_tls(&certificate, &key);
    let cluster = PrivateRedis::start_cluster(Some([&certificate, &key]));
    let trusted = certificate.display().to_string();
    for url in [redis.url(), cluster.cluster_url()] {
        let (options, home) = options(&url, "on_store_failure = \"closed\"");
        let trusting = options.env("SSL_CERT_FILE", &trusted).start_in(&home);
        assert_eq!(of_ten(&trusting.client(), "unsaid", "a"), 3, "{url}");
    }
    let suspicious = start(&redis.url(), "on_store_failure = \"closed\"");
    assert_eq!(of_ten(&suspicious.client(), "unsaid", "b"), 0);
    eventually("what is wrong with it", || {
        suspicious.log().contains("certificate").then_some(())
    });
}

#[test]
fn what_is_no_redis_is_refused_without_its_password() {
    for (url, said) in [
        (
            "redis+cluster://:secret@a,b/1",
            "a cluster has one database",
        ),
        (
            "redis+sentinel://:secret@a,b",
            "the name of the master is missing",
        ),
        ("redis://:secret@", "this is no URL of a Redis"),
        ("redis://:secret@127.0.0.1/words", "not the URL of a Redis"),
        (
            "postgres://:secret@a",
            "give \"memory:\" or the URL of a Redis",
        ),
    ] {
        let (options, home) = options(url, "");
        let output = options.fails_to_start(&home);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said), "{url}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

//! What was answered is kept: over restarts, and files that are not as they should be.

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Options, Server, both, links_file};

#[test]
fn a_restart_forgets_nothing() {
    let options = Options::default();
    let server = options.start();
    let client = server.client();
    let limited = client.code(&json!({"url": "https://a.example/", "max_clicks": 2}));
    let made: Vec<String> = ["counter", "hash", "snowflake", "pool", "random"]
        .iter()
        .map(|strategy| client.code(&json!({"url": "https://b.example/", "strategy": strategy})))
        .collect();
    assert_eq!(client.visit(&limited).status, 302);
    let before = client.link(&made[0]).json();

    let server = options.start_in(&server.stop());
    let client = server.client();
    for code in &made {
        assert_eq!(client.visit(code).location(), "https://b.example/");
    }
    let after = client.link(&made[0]).json();
    assert_eq!(after["created_at"], before["created_at"]);
    assert_eq!(client.visit(&limited).status, 302);
    assert_eq!(
        client.visit(&limited).status,
        410,
        "the first click still counts"
    );
    for strategy in ["counter", "hash", "snowflake", "pool", "random"] {
        let code = client.code(&json!({"url": "https://c.example/", "strategy": strategy}));
        assert!(!made.contains(&code), "{strategy} repeats {code}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let options = Options::default();
    for (spoil, reason) in [
        (corrupt as fn(&TempDir), "damaged"),
        (from_the_future, "upgrade"),
    ] {
        let home = options.start().stop();
        spoil(&home);
        let output = options.fails_to_start(&home);
        assert_eq!(output.status.code(), Some(1));
        let text = both(&output);
        assert!(text.contains("links.db"), "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn a_locked_file_is_named() {
    let options = Options::default();
    let home = options.start().stop();
    let file = links_file(home.path());
    let lock = Connection::open(&file).unwrap();
    lock.pragma_update(None, "locking_mode", "exclusive")
        .unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let output = options.fails_to_start(&home);
    let text = both(&output);
    assert!(
        text.contains("links.db") && text.contains("locked"),
        "{text}"
    );
}

fn corrupt(home: &TempDir) {
    let file = links_file(home.path());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..64].fill(0xAA);
    std::fs::write(&file, bytes).unwrap();
}

fn from_the_future(home: &TempDir) {
    let store = Connection::open(links_file(home.path())).unwrap();
    let changed = store.execute("UPDATE schema_versions SET version = 9999", []);
    assert!(changed.unwrap() > 0);
}

#[test]
fn the_data_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    let data = std::fs::metadata(server.path("data")).unwrap();
    let mode = data.permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{mode:o}");
}

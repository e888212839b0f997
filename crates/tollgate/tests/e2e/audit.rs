//! The audit log by the command line: from the files, from a server, and what meddling looks like.

use serde_json::{Value, json};

use crate::server::{Options, Server, both, new_home, run, tollgate};

/// What each line of an export did.
fn actions(export: &str) -> Vec<String> {
    let lines = export.lines();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_changed_is_listed_exported_and_verified() {
    let server = Server::start();
    let client = server.client();
    client.create(&json!({"url": "https://a.example/", "code": "spring"}));
    client
        .patch("spring", &json!({"title": "Spring"}))
        .expect(200);
    let listed = run(server.cli().args(["audit", "list", "--action", "link"]));
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert!(rows[0].contains("link.update") && rows[0].contains("/spring"));
    assert!(rows[0].contains("127.0.0.1") && rows[0].contains("first admin key"));
    let data = server.path("data");
    // On the files themselves, while the server runs.
    let on_files = |command: &[&str]| {
        let mut cli = tollgate();
        cli.args(command).arg("--data-dir").arg(&data);
        cli
    };
    let made = run(on_files(&["key", "create", "cron"]).arg("--json"));
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    let rotated = run(on_files(&["key", "rotate", id, "--grace", "0"]).arg("--json"));
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    assert_ne!(rotated["secret"], made["secret"]);
    let by_file = run(&mut on_files(&["audit", "export"]));
    assert_eq!(
        actions(&by_file),
        [
            "key.create",
            "server.start",
            "link.create",
            "link.update",
            "key.create",
            "key.rotate"
        ]
    );
    let by_server = server.path("audit.ndjson");
    run(server
        .cli()
        .args(["audit", "export", "--output"])
        .arg(&by_server));
    assert_eq!(std::fs::read_to_string(&by_server).unwrap(), by_file);
    let who: Value = serde_json::from_str(by_file.lines().last().unwrap()).unwrap();
    assert_eq!(who["actor"]["kind"], "user");
    assert_eq!(who["from"]["via"], "command_line");
    for secret in [&made["secret"], &rotated["secret"], &json!(server.key)] {
        assert!(!by_file.contains(secret.as_str().unwrap()));
    }
    let told = run(&mut on_files(&["audit", "verify"]));
    let head = told
        .lines()
        .find_map(|line| line.strip_prefix("head "))
        .unwrap()
        .to_owned();
    assert!(
        told.starts_with("6 entries, as they were written"),
        "{told}"
    );
    run(tollgate()
        .args(["audit", "verify", "--head", &head, "--export"])
        .arg(&by_server));

    let home = server.stop();
    let file = home.path().join("data/audit.db");
    let meddle = |sql: &str| {
        let options = tollgate_sqlite::OpenOptions::default();
        let connection = tollgate_sqlite::open(&file, &options).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    let verify = || {
        on_files(&["audit", "verify", "--head", &head])
            .output()
            .unwrap()
    };
    meddle("UPDATE audit_entries SET entry = replace(entry, 'Spring', 'Winter') WHERE seq = 4");
    let found = verify();
    assert_eq!(found.status.code(), Some(1));
    assert!(
        both(&found).contains("entry 4 is not what was written"),
        "{}",
        both(&found)
    );
    meddle("UPDATE audit_entries SET entry = replace(entry, 'Winter', 'Spring') WHERE seq = 4");
    assert!(verify().status.success());
    meddle("DELETE FROM audit_entries WHERE seq = 4");
    let found = verify();
    assert!(
        both(&found).contains("entries 4 to 4 are missing"),
        "{}",
        both(&found)
    );
}

#[test]
fn what_is_left_out_is_not_written_and_a_wrong_name_is_told() {
    let options =
        Options::default().config("[admin.audit]\nleave_out = [\"link.create\"]\nchain = false");
    let server = options.start();
    let client = server.client();
    client.create(&json!({"url": "https://a.example/", "code": "a"}));
    client.delete("a").expect(204);
    let export = run(server.cli().args(["audit", "export"]));
    assert_eq!(
        actions(&export),
        ["key.create", "server.start", "link.delete"]
    );
    assert!(!export.contains("hash"));
    let wrong = Options::default().config("[admin.audit]\nleave_out = [\"links\"]");
    let failed = wrong.fails_to_start(&new_home());
    assert!(
        both(&failed).contains("\"links\" is no action"),
        "{}",
        both(&failed)
    );
}

//! `tollgate backup` of a server that is busy, and `tollgate restore`.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Options, Server, both, eventually, new_home, tollgate};

const POLICIES: &str = "domain: shop\ndescriptors:\n  - key: user\n    rate_limit:\n      unit: minute\n      requests_per_unit: 7\n";

fn command(name: &str, home: &Path, backup: &Path) -> Output {
    tollgate()
        .arg(name)
        .arg("--data-dir")
        .arg(home.join("data"))
        .arg(backup)
        .output()
        .unwrap()
}

/// Visits of a link, as its statistics tell them.
fn visits(client: &Client, code: &str) -> u64 {
    let stats = client.api("GET", &format!("/api/v1/links/{code}/stats"));
    stats.expect(200).json()["total"].as_u64().unwrap()
}

#[test]
fn a_busy_server_is_backed_up_and_restored() {
    let server = Server::start();
    let client = server.client();
    let steady = client.code(&json!({"url": "https://steady.example/", "title": "Grün"}));
    let busy = client.code(&json!({"url": "https://busy.example/"}));
    let key = client.secret(&json!({"name": "two", "scopes": ["links:read"]}));
    let body = json!({"url": "https://hooks.example/", "events": ["link.created"]});
    client
        .api_json("POST", "/api/v1/webhooks", &body)
        .expect(201);
    let put = client
        .request("PUT", "/api/v1/limits/policies/shop")
        .header("content-type", "application/yaml");
    let put = client.http.send(put, POLICIES);
    assert!(put.status < 300, "{}", put.text());
    for _ in 0..30 {
        assert_eq!(client.visit(&steady).status, 302);
    }
    eventually("the clicks in the spool", || {
        (client.metric("tollgate_clicks_spooled_total") == 30.0).then_some(())
    });

    let backup = server.path("backup");
    let stop = AtomicBool::new(false);
    let before: Vec<String> = (0..50)
        .map(|n| client.code(&json!({"url": format!("https://{n}.example/")})))
        .collect();
    let output = thread::scope(|scope| {
        for writer in 0..2 {
            let (client, stop, busy) = (client.clone(), &stop, &busy);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Relaxed) {
                    number += 1;
                    client.code(&json!({"url": format!("https://w{writer}.example/{number}")}));
                    assert_eq!(client.visit(busy).status, 302);
                }
            });
        }
        let output = command("backup", server.home().path(), &backup);
        stop.store(true, Relaxed);
        output
    });
    assert!(output.status.success(), "{}", both(&output));
    let _old = server.kill();

    let home = new_home();
    let restored = command("restore", home.path(), &backup);
    assert!(restored.status.success(), "{}", both(&restored));
    let again = Options::default().start_in(&home);
    let client = again.client();
    for (code, number) in before.iter().zip(0..) {
        let url = format!("https://{number}.example/");
        assert_eq!(client.visit(code).location(), url);
    }
    let link = client.link(&steady).expect(200).json();
    assert_eq!(link["title"], "Grün");
    eventually("all clicks that were spooled, each once", || {
        (visits(&client, &steady) == 30).then_some(())
    });
    assert_eq!(client.visit(&steady).status, 302);
    eventually("a new click", || {
        (visits(&client, &steady) == 31).then_some(())
    });
    client.with_key(&key).link(&steady).expect(200);
    let webhooks = client.api("GET", "/api/v1/webhooks").expect(200).json();
    assert!(webhooks.to_string().contains("hooks.example"), "{webhooks}");
    let policies = client.api("GET", "/api/v1/limits/policies").expect(200);
    assert!(policies.text().contains("shop"), "{}", policies.text());
    let fresh = client.code(&json!({"url": "https://fresh.example/"}));
    assert!(!before.contains(&fresh));
}

#[test]
fn what_is_no_whole_backup_is_not_restored_and_nothing_is_replaced() {
    let server = Server::start();
    server.client().code(&json!({"url": "https://a.example/"}));
    let (home, backup) = (server.home().clone(), server.path("backup"));
    let output = command("backup", home.path(), &backup);
    assert!(output.status.success(), "{}", both(&output));
    let fails = |output: Output, why: &str| {
        assert_eq!(output.status.code(), Some(1), "{}", both(&output));
        assert!(both(&output).contains(why), "{}", both(&output));
    };
    fails(command("backup", home.path(), &backup), "is there already");
    fails(
        command("restore", home.path(), &backup),
        ".db is there: stop the server",
    );
    let empty = new_home();
    fails(
        command("backup", empty.path(), &empty.path().join("backup")),
        "nothing to back up",
    );
    assert!(!empty.path().join("backup").exists());

    let manifest = backup.join("backup.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut files: Value = serde_json::from_str(&text).unwrap();
    files["files"][0]["path"] = json!("../keys.db");
    std::fs::write(&manifest, files.to_string()).unwrap();
    fails(
        command("restore", empty.path(), &backup),
        "not a place in a backup",
    );
    files["version"] = json!(2);
    std::fs::write(&manifest, files.to_string()).unwrap();
    fails(command("restore", empty.path(), &backup), "version 2");
    std::fs::write(&manifest, &text).unwrap();

    let mut keys = std::fs::read(backup.join("keys.db")).unwrap();
    keys[5_000] ^= 1;
    std::fs::write(backup.join("keys.db"), keys).unwrap();
    fails(
        command("restore", empty.path(), &backup),
        "keys.db is not as it was",
    );
    std::fs::remove_file(&manifest).unwrap();
    fails(command("restore", empty.path(), &backup), "not finished");
    assert!(!empty.path().join("data").exists(), "nothing was written");
}

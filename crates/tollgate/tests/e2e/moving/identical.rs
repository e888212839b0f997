//! A full export, which another instance imports to an identical state.

use serde_json::json;

use crate::server::{Options, Server, both, run};

fn start() -> Server {
    Options::default()
        .config(
            "[links]\nbase_url = \"https://go.example\"\ndomains = [\"https://lnk.example\"]\n\
             strategy = \"random\"",
        )
        .start()
}

/// Links of all kinds, some of them edited and used.
fn fill(server: &Server) {
    let client = server.client();
    client.create(&json!({"url": "https://a.example/"}));
    client.create(&json!({"url": "https://a.example/", "strategy": "counter"}));
    client.create(&json!({
        "url": "https://b.example/?a=%20b#c", "code": "all", "domain": "lnk.example",
        "title": "All \u{1f600} \"of\" it, yes", "tags": ["one", "two words"],
        "starts_at": "2020-01-01T00:00:00Z", "expires_at": "2098-07-06T05:04:03.210Z",
        "max_clicks": 5, "redirect": 307, "password": "open sesame", "forward_query": true,
        "rules": [
            {"if": [{"type": "os", "is": "ios"}, {"type": "percent", "share": 50}],
             "url": "https://ios.example/"},
            {"if": [{"type": "query", "name": "a", "value": ""}], "url": "https://query.example/"},
            {"if": [{"type": "date", "from": "2099-01-01T00:00:00Z"}], "url": "https://late.example/"},
        ],
    }));
    client.create(&json!({
        "url": "https://c.example/", "code": "gone", "created_at": "2021-01-01T00:00:00Z",
        "expires_at": "2022-01-01T00:00:00Z",
    }));
    client.create(&json!({"url": "https://d.example/", "code": "edited", "max_clicks": 9}));
    client
        .patch("edited", &json!({"title": "Edited"}))
        .expect(200);
    client
        .patch("edited", &json!({"url": "https://e.example/"}))
        .expect(200);
    for _ in 0..3 {
        client.visit("edited").expect(302);
    }
}

#[test]
fn a_full_export_makes_an_identical_instance() {
    let (first, second) = (start(), start());
    fill(&first);
    let export = |server: &Server, name: &str| {
        let file = server.path(name);
        run(server.cli().args(["link", "export", "--full"]).arg(&file));
        std::fs::read_to_string(file).unwrap()
    };
    let before = export(&first, "full.ndjson");
    assert_eq!(before.lines().count(), 5, "{before}");
    assert!(before.contains("$argon2id$"), "{before}");

    let file = first.path("full.ndjson");
    let full = || {
        let mut command = second.cli();
        command
            .args(["link", "import", "--full", "--json"])
            .arg(&file);
        command.output().unwrap()
    };
    let output = full();
    assert!(output.status.success(), "{}", both(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["created"], 5);
    assert_eq!(report["left_out"], json!({}));
    assert_eq!(export(&second, "back.ndjson"), before);
    // The links work as they did.
    let client = second.client();
    assert_eq!(
        client.visit("edited").expect(302).location(),
        "https://e.example/"
    );
    let request = ureq::http::Request::post(client.edge("all"))
        .header("host", "lnk.example")
        .header("content-type", "application/x-www-form-urlencoded");
    let reply = client.http.send(request, "password=open%20sesame");
    assert_eq!(reply.expect(303).location(), "https://b.example/?a=%20b#c");
    let again = full();
    let report: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(
        (&report["present"], &report["differing"]),
        (&json!(5), &json!(0))
    );
}

#[test]
fn hashes_and_histories_are_for_administrators() {
    let server = start();
    fill(&server);
    let few = json!({"name": "few", "scopes": ["links:read", "links:write"]});
    let key = server.client().secret(&few);
    let mut export = server.cli();
    export
        .env("TOLLGATE_KEY", &key)
        .args(["link", "export", "--full"]);
    let output = export.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!both(&output).contains("argon2"), "{}", both(&output));
    assert!(both(&output).contains("admin"), "{}", both(&output));

    let plain = run(server.cli().args(["link", "export"]));
    assert!(!plain.contains("argon2"));

    let client = server.client();
    let draft = |hash: &str| {
        json!({"url": "https://a.example/", "created_at": "2026-01-01T00:00:00Z", "code": "made",
            "restore": {"origin": "random", "created_by": "k", "version": 3,
                "updated_at": "2026-01-02T00:00:00Z", "password_hash": hash}})
    };
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b3dWRWJTmaaJObG";
    client.with_key(&key).draft(&draft(hash)).expect(403);
    for (hash, told) in [
        ("$2y$10$abcdefghijklmnopqrstuv", "argon2id"),
        (&*hash.replace("m=19456", "m=4194304"), "memory"),
    ] {
        let refused = client.draft(&draft(hash)).expect(422);
        assert!(refused.text().contains(told), "{}", refused.text());
    }
    let made = client.create(&draft(hash));
    assert_eq!(
        (&made["version"], &made["origin"]),
        (&json!(3), &json!("random"))
    );
}

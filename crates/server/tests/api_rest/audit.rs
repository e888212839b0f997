//! Who changed what: what is written down, for whom to see, and what happens when it cannot be.

use std::num::NonZeroUsize;

use http::Request;
use rusqlite::Connection;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_audit::{Query, verify, verify_export};
use tollgate_server::compat::CompatOptions;

use crate::dashboard::{Visitor, sign_in, try_to_sign_in};
use crate::server::{Server, empty, full};

/// Everything in the log, oldest first.
async fn entries(server: &Server) -> Vec<Value> {
    let query = Query {
        ascending: true,
        limit: NonZeroUsize::new(1_000),
        ..Query::default()
    };
    let page = server.audit.find(&query).await.unwrap();
    let lines = page.entries.iter().map(|entry| entry.line());
    lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect()
}

async fn last(server: &Server) -> Value {
    entries(server).await.pop().unwrap()
}

#[tokio::test]
async fn an_entry_says_who_what_when_and_from_where() {
    let server = Server::start().await;
    let body = json!({"url": "https://example.com/a", "code": "a", "password": "tanuki-secret"});
    let request = server
        .request("POST", "/api/v1/links")
        .header("content-type", "application/json")
        .header("user-agent", "a\ttest")
        .header("x-request-id", "my-request")
        // From nobody who is trusted.
        .header("x-forwarded-for", "203.0.113.9");
    let made = server
        .send(request.body(full(body.to_string())).unwrap())
        .await;
    assert_eq!(made.status, 201);
    let entry = last(&server).await;
    let admin = server.keys.authenticate(&server.admin).await.unwrap();
    let expected = json!({
        "seq": 1, "hash": entry["hash"], "at": "2027-01-15T08:00:00Z",
        "actor": {"kind": "key", "id": admin.id.as_str(), "name": "first admin key"},
        "action": "link.create", "resource": "s.example/a",
        "changes": {"url": [null, "https://example.com/a"], "password": [null, "set"]},
        "from": {"via": "api", "address": "127.0.0.1", "user_agent": "a\ttest", "request_id": "my-request"},
        "result": "done",
    });
    assert_eq!(entry, expected);
    let patch = json!({"title": "A", "password": "other-secret"});
    let edited = server.json("PATCH", "/api/v1/links/a", None, &patch).await;
    assert_eq!(edited.status, 200);
    let entry = last(&server).await;
    assert_eq!(
        entry["changes"],
        json!({"title": [null, "A"], "password": ["set", "set"]})
    );
    // Nothing changed, nothing to tell.
    let same = server
        .json("PATCH", "/api/v1/links/a", None, &json!({"title": "A"}))
        .await;
    assert_eq!(same.status, 200);
    assert_eq!(entries(&server).await.len(), 2);
    let gone = server.send(
        server
            .request("DELETE", "/api/v1/links/a")
            .body(empty())
            .unwrap(),
    );
    assert_eq!(gone.await.status, 204);
    let entry = last(&server).await;
    assert_eq!(entry["action"], "link.delete");
    assert_eq!(
        entry["changes"]["url"],
        json!(["https://example.com/a", null])
    );
}

#[tokio::test]
async fn no_secret_is_written_down() {
    let server = Server::start().await;
    let key = json!({"name": "a", "scopes": ["links:read"]});
    let key = server.post("/api/v1/keys", &key).await.json();
    let hook = json!({"url": "https://hooks.example/T0/tanuki-secret?token=tanuki-secret", "events": ["link.created"]});
    let hook = server.post("/api/v1/webhooks", &hook).await.json();
    let rotate = format!("/api/v1/webhooks/{}/rotate", hook["id"].as_str().unwrap());
    let rotated = server.post(&rotate, &json!({})).await.json();
    let link = json!({"url": "https://example.com/", "password": "tanuki-secret"});
    assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    let refused = try_to_sign_in(&server, "tg_tanuki-secret-0000000000000000000", &[]).await;
    assert_eq!(refused.status, 401);
    let text = format!("{:?}", entries(&server).await);
    assert!(text.contains("https://hooks.example/…"), "{text}");
    let secrets = [&key["secret"], &hook["secret"], &rotated["secret"]];
    let secrets = secrets.map(|secret| secret.as_str().unwrap());
    for secret in secrets
        .into_iter()
        .chain(["tanuki-secret", "$argon2", &server.admin])
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn signing_in_and_out_is_written_down_and_so_are_tries() {
    let server = Server::start().await;
    let refused = try_to_sign_in(&server, "tg_0000000000000000000000000000000000", &[]).await;
    assert_eq!(refused.status, 401);
    let entry = last(&server).await;
    assert_eq!(entry["actor"], json!({"kind": "nobody"}));
    assert_eq!(
        (&entry["action"], &entry["result"]),
        (&json!("session.begin"), &json!("refused"))
    );
    assert!(
        entry["reason"].as_str().unwrap().contains("no such key")
            || !entry["reason"].as_str().unwrap().is_empty()
    );
    let visitor = sign_in(&server, &server.admin).await;
    let entry = last(&server).await;
    assert_eq!(
        (&entry["action"], &entry["result"]),
        (&json!("session.begin"), &json!("done"))
    );
    assert_eq!(entry["from"]["via"], "dashboard");
    assert_eq!(entry["from"]["address"], "127.0.0.1");
    // What is done there is done by the key, from where the page was.
    let made = visitor
        .post("/new", &[("url", "https://example.com/"), ("code", "b")])
        .await;
    assert_eq!(made.status, 303, "{:?}", made.body);
    let entry = last(&server).await;
    assert_eq!(entry["action"], "link.create");
    assert_eq!(entry["actor"]["name"], "first admin key");
    assert_eq!(entry["from"]["via"], "dashboard");
    assert_eq!(entry["from"]["address"], "127.0.0.1");
    visitor.post("/sign-out", &[]).await;
    assert_eq!(last(&server).await["action"], "session.end");
}

#[tokio::test]
async fn other_apis_write_down_too() {
    let compat = CompatOptions {
        shlink: true,
        bitly: true,
        ..CompatOptions::default()
    };
    let server = Server::compatible(compat).await;
    let ask = async |method: &str, path: &str, body: Value| {
        let request = server
            .request(method, path)
            .header("content-type", "application/json")
            .header("x-api-key", &server.admin);
        let answer = server
            .send(request.body(full(body.to_string())).unwrap())
            .await;
        assert!(answer.status.is_success(), "{path}: {:?}", answer.body);
        let entry = last(&server).await;
        (
            entry["action"].as_str().unwrap().to_owned(),
            entry["from"]["via"].as_str().unwrap().to_owned(),
        )
    };
    let of = |action: &str, via: &str| (action.to_owned(), via.to_owned());
    let url = json!({"longUrl": "https://example.com/1", "customSlug": "one", "tags": ["x"]});
    assert_eq!(
        ask("POST", "/rest/v3/short-urls", url).await,
        of("link.create", "shlink")
    );
    let title = json!({"title": "A"});
    assert_eq!(
        ask("PATCH", "/rest/v3/short-urls/one", title).await,
        of("link.update", "shlink")
    );
    let rules = json!({"redirectRules": [{"longUrl": "https://example.com/r", "conditions": [{"type": "device", "matchKey": null, "matchValue": "ios"}]}]});
    assert_eq!(
        ask("POST", "/rest/v3/short-urls/one/redirect-rules", rules).await,
        of("link.update", "shlink")
    );
    let tags = json!({"oldName": "x", "newName": "y"});
    assert_eq!(
        ask("PUT", "/rest/v3/tags", tags).await,
        of("link.update", "shlink")
    );
    assert_eq!(
        ask("DELETE", "/rest/v3/short-urls/one/visits", json!({})).await,
        of("clicks.delete", "shlink")
    );
    assert_eq!(
        ask("DELETE", "/rest/v3/short-urls/one", json!({})).await,
        of("link.delete", "shlink")
    );
    let url = json!({"long_url": "https://example.com/2"});
    assert_eq!(
        ask("POST", "/v4/shorten", url).await,
        of("link.create", "bitly")
    );
}

#[tokio::test]
async fn the_log_is_read_by_page_and_filter_and_exported_whole() {
    let server = Server::start().await;
    let rows: String = (0..250)
        .map(|n| format!("{{\"url\": \"https://example.com/{n}\"}}\n"))
        .collect();
    let bulk = server
        .request("POST", "/api/v1/links/bulk")
        .header("content-type", "application/x-ndjson");
    assert_eq!(
        server.send(bulk.body(full(rows)).unwrap()).await.status,
        200
    );
    let row = last(&server).await;
    assert_eq!(row["from"]["via"], "api");
    assert_eq!(row["from"]["address"], "127.0.0.1");
    let key = json!({"name": "ops", "scopes": ["links:read"]});
    let key = server.post("/api/v1/keys", &key).await.json();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server
            .get(&format!("/api/v1/audit?limit=100{cursor}"))
            .await
            .json();
        let entries = page["entries"].as_array().unwrap().clone();
        seen.extend(
            entries
                .into_iter()
                .map(|entry| entry["seq"].as_i64().unwrap()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=251).rev().collect::<Vec<_>>());
    let filtered = server
        .get("/api/v1/audit?action=key&result=done&address=127.0.0.1&actor=first%20admin%20key")
        .await;
    let filtered = filtered.json();
    assert_eq!(filtered["entries"].as_array().unwrap().len(), 1);
    assert_eq!(filtered["entries"][0]["resource"], key["id"]);
    let export = server.get("/api/v1/audit/export").await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert_eq!(verify_export(&export.body[..], &[]).unwrap().entries, 251);
    let file = server.policies.path().join("audit.db");
    assert_eq!(verify(&file, &[]).unwrap().entries, 251);
    for (query, parameter) in [
        ("action=nothing", "action"),
        ("result=maybe", "result"),
        ("since=yesterday", "since"),
        ("order=up", "order"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("who=me", "who"),
    ] {
        let problem = server.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(
            problem.problem(400, "invalid-query")["errors"][0]["field"],
            parameter
        );
    }
}

#[tokio::test]
async fn nothing_more_is_changed_while_the_log_takes_no_entries() {
    let server = Server::start().await;
    let file = server.policies.path().join("audit.db");
    let meddle = |sql: &str| Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let link = |code: &str| json!({"url": "https://example.com/", "code": code});
    assert_eq!(server.post("/api/v1/links", &link("a")).await.status, 201);
    meddle(
        "CREATE TRIGGER refuse BEFORE INSERT ON audit_entries BEGIN SELECT raise(ABORT, 'full'); END",
    );
    // This one was made before that was known: it is not acknowledged, and the log owes it.
    assert!(
        server
            .post("/api/v1/links", &link("b"))
            .await
            .status
            .is_server_error()
    );
    assert_eq!(server.get("/api/v1/links/b").await.status, 200);
    // From here on nothing is made.
    for code in ["c", "d"] {
        assert!(
            server
                .post("/api/v1/links", &link(code))
                .await
                .status
                .is_server_error()
        );
        assert_eq!(
            server.get(&format!("/api/v1/links/{code}")).await.status,
            404
        );
    }
    let key = json!({"name": "a", "scopes": ["admin"]});
    assert!(
        server
            .post("/api/v1/keys", &key)
            .await
            .status
            .is_server_error()
    );
    assert_eq!(
        server.get("/api/v1/keys").await.json()["keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    meddle("DROP TRIGGER refuse");
    assert_eq!(server.post("/api/v1/links", &link("e")).await.status, 201);
    let codes: Vec<String> = entries(&server)
        .await
        .iter()
        .map(|entry| entry["resource"].to_string())
        .collect();
    assert_eq!(
        codes,
        [r#""s.example/a""#, r#""s.example/b""#, r#""s.example/e""#]
    );
}

/// Who leaves before the answer has changed something all the same.
#[tokio::test]
async fn a_change_is_written_down_even_if_nobody_waits_for_the_answer() {
    let server = Server::start().await;
    for n in 0..50_u32 {
        let body = json!({"url": "https://example.com/", "code": format!("code-{n}")}).to_string();
        let head = format!(
            "POST /api/v1/links HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            server.admin,
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
            .await
            .unwrap();
        // At another moment each time.
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    // What is under way comes to its end.
    let mut known = (0, 0);
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let links = server.get("/api/v1/links?limit=1000").await.json();
        let links = links["links"].as_array().unwrap().len();
        let now = (links, entries(&server).await.len());
        if now == known && now.0 == now.1 {
            break;
        }
        known = now;
    }
    assert_eq!(known.0, known.1);
}

#[tokio::test]
async fn people_read_the_log_on_a_page() {
    let server = Server::start().await;
    let link = json!({"url": "https://example.com/", "code": "<b>x"});
    server.post("/api/v1/links", &link).await;
    let link = json!({"url": "https://example.com/?<script>alert(1)</script>", "code": "a", "title": "<img src=x onerror=alert(1)>"});
    assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    let reader = server.key(&[Scope::AuditRead], None).await;
    let visitor: Visitor<'_> = sign_in(&server, &reader).await;
    let page = visitor.page("/audit").await;
    assert!(page.contains("s.example/a") && page.contains("first admin key"));
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror"));
    let none = visitor.page("/audit?action=key.revoke").await;
    assert!(none.contains("No entries") && !none.contains("s.example/a"));
    let writer = server.key(&[Scope::LinksWrite], None).await;
    let other = sign_in(&server, &writer).await;
    assert_eq!(other.get("/audit").await.status, 403);
    let nobody = Request::get("/audit")
        .header("host", "a")
        .body(empty())
        .unwrap();
    assert_eq!(server.send(nobody).await.status, 303);
}

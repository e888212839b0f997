use serde_json::json;
use tollgate_access::Scope;

use crate::server::{Server, empty};

const KEYS: &str = "/api/v1/keys";

fn with_key(secret: &str, method: &str, path: &str) -> http::Request<crate::server::Body> {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {secret}"))
        .body(empty())
        .unwrap()
}

#[tokio::test]
async fn a_key_is_made_used_listed_and_revoked() {
    let server = Server::start().await;
    let draft = json!({"name": "reader", "scopes": ["links:read"], "domain": "go.example"});
    let made = server.post(KEYS, &draft).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let key = made.json();
    let secret = key["secret"].as_str().unwrap();
    assert!(secret.starts_with("tg_"));
    let answer = server.send(with_key(secret, "GET", "/api/v1/links")).await;
    assert_eq!(answer.status, 200);

    let shown = server.get(made.header("location")).await;
    assert_eq!(shown.json()["id"], key["id"]);
    let listed = server.get(KEYS).await;
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 2);
    for answer in [shown, listed] {
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.contains(secret), "the secret is shown again");
    }

    let revoke = server.request("DELETE", made.header("location"));
    let revoked = server.send(revoke.body(empty()).unwrap()).await;
    assert_eq!(revoked.status, 204);
    let refused = server.send(with_key(secret, "GET", "/api/v1/links")).await;
    refused.problem(401, "unauthorized");
    let shown = server.get(made.header("location")).await.json();
    assert!(shown["revoked_at"].is_string());
}

#[tokio::test]
async fn without_a_good_key_there_is_only_a_challenge() {
    let server = Server::start().await;
    let request = http::Request::get("/api/v1/links").body(empty()).unwrap();
    let answer = server.send(request).await;
    answer.problem(401, "unauthorized");
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"tollgate\""
    );
    let wrong = "tg_00000000000000000000000000000000";
    let answer = server.send(with_key(wrong, "GET", KEYS)).await;
    answer.problem(401, "unauthorized");
    assert!(answer.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let server = Server::start().await;
    let reader = server.key(&[Scope::LinksRead], None).await;
    for (method, path, scope) in [
        ("DELETE", "/api/v1/links/x", "links:write"),
        ("GET", KEYS, "admin"),
        ("DELETE", "/api/v1/keys/key_01hxk3m9d20a1b2c", "admin"),
    ] {
        let answer = server.send(with_key(&reader, method, path)).await;
        let problem = answer.problem(403, "missing-scope");
        assert!(problem["detail"].as_str().unwrap().contains(scope));
        assert!(answer.header("www-authenticate").contains(scope));
    }
    let writer = server.key(&[Scope::LinksWrite], None).await;
    let answer = server.send(with_key(&writer, "GET", "/api/v1/links")).await;
    answer.problem(403, "missing-scope");
}

#[tokio::test]
async fn wrong_fields_of_a_key_are_named() {
    let server = Server::start().await;
    for (draft, field) in [
        (json!({"name": "", "scopes": ["admin"]}), "name"),
        (json!({"name": "a", "scopes": []}), "scopes"),
        (
            json!({"name": "a", "scopes": ["admin", "root"]}),
            "scopes[1]",
        ),
        (json!({"name": "a"}), "scopes"),
        (
            json!({"name": "a", "scopes": ["links:read"], "domain": "else.example"}),
            "domain",
        ),
        (
            json!({"name": "a", "scopes": ["admin"], "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"name": "a", "scopes": ["admin"], "rights": 1}),
            "rights",
        ),
    ] {
        let problem = server.post(KEYS, &draft).await;
        let problem = problem.problem(422, "invalid-fields");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let unknown = server.get("/api/v1/keys/key_01hxk3m9d20a1b2c").await;
    unknown.problem(404, "key-not-found");
    server
        .get("/api/v1/keys/x")
        .await
        .problem(404, "key-not-found");
}

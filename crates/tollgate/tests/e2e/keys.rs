//! Keys: made on first start, scoped, bound to a domain, revoked.

use serde_json::json;

use crate::server::{Options, Server, run};

#[test]
fn the_first_key_is_printed_once_and_works() {
    let options = Options::default().with_generated_key();
    let server = options.start();
    let keys = server.printed_keys();
    assert_eq!(keys.len(), 1, "{}", server.log());
    let client = server.client().with_key(&keys[0]);
    let code = client.code(&json!({"url": "https://a.example/"}));

    let home = server.stop();
    let again = options.start_in(&home);
    assert!(again.printed_keys().is_empty(), "{}", again.log());
    let client = again.client().with_key(&keys[0]);
    assert_eq!(client.link(&code).status, 200, "it is still accepted");
}

#[test]
fn a_key_given_in_the_environment_is_never_printed() {
    let server = Server::start();
    assert!(server.printed_keys().is_empty());
    assert!(!server.log().contains(&server.key));
    assert_eq!(server.client().api("GET", "/api/v1/links").status, 200);
}

#[test]
fn scopes_bound_what_a_key_may_do() {
    let server = Server::start();
    let admin = server.client();
    let key = |scopes: &[&str]| {
        let draft = json!({"name": "test", "scopes": scopes});
        admin.with_key(&admin.secret(&draft))
    };
    let reader = key(&["links:read"]);
    let writer = key(&["links:write"]);
    let draft = json!({"url": "https://a.example/"});
    reader.draft(&draft).problem(403, "missing-scope");
    let code = writer.code(&draft);
    assert_eq!(reader.link(&code).status, 200);
    reader.delete(&code).problem(403, "missing-scope");
    writer
        .api("GET", "/api/v1/keys")
        .problem(403, "missing-scope");
}

#[test]
fn a_key_can_be_bound_to_a_domain() {
    let server = Options::default()
        .config("[links]\ndomains = [\"https://lnk.example\"]")
        .start();
    let admin = server.client();
    let draft =
        json!({"name": "own", "scopes": ["links:read", "links:write"], "domain": "lnk.example"});
    let own = admin.with_key(&admin.secret(&draft));
    let link = own.create(&json!({"url": "https://a.example/"}));
    assert_eq!(
        link["domain"], "lnk.example",
        "its own domain is its default"
    );
    let foreign = json!({"url": "https://a.example/", "domain": "127.0.0.1"});
    own.draft(&foreign).problem(403, "foreign-domain");
}

#[test]
fn a_revoked_key_is_refused_at_once() {
    let server = Server::start();
    let admin = server.client();
    let draft = json!({"name": "short-lived", "scopes": ["links:read"]});
    let made = admin
        .api_json("POST", "/api/v1/keys", &draft)
        .expect(201)
        .json();
    let client = admin.with_key(made["secret"].as_str().unwrap());
    assert_eq!(client.api("GET", "/api/v1/links").status, 200);
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.api("DELETE", &path).status, 204);
    client
        .api("GET", "/api/v1/links")
        .problem(401, "unauthorized");
    let listed = admin.api("GET", "/api/v1/keys").expect(200);
    assert!(listed.text().contains("short-lived"));
    assert!(
        !listed.text().contains("tg_"),
        "secrets are never shown again"
    );
}

#[test]
fn keys_are_managed_from_the_command_line() {
    let server = Server::start();
    let made =
        run(server
            .cli()
            .args(["key", "create", "robot", "--scopes", "links:read", "--json"]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let client = server.client().with_key(made["secret"].as_str().unwrap());
    assert_eq!(client.api("GET", "/api/v1/links").status, 200);
    let id = made["id"].as_str().unwrap();
    assert!(run(server.cli().args(["key", "list"])).contains(id));
    run(server.cli().args(["key", "revoke", id]));
    client
        .api("GET", "/api/v1/links")
        .problem(401, "unauthorized");
}

#[test]
fn keys_can_be_made_on_the_store_without_a_server() {
    let options = Options::default();
    let home = options.start().stop();
    let made = run(crate::server::tollgate().current_dir(home.path()).args([
        "key",
        "create",
        "offline",
        "--json",
        "--data-dir",
        "data",
    ]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let server = options.start_in(&home);
    let client = server.client().with_key(made["secret"].as_str().unwrap());
    assert_eq!(client.api("GET", "/api/v1/links").status, 200);
}

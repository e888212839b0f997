//! Edits and deletions are seen at once, and kept in the history.

use serde_json::json;

use crate::client::link_path;
use crate::server::Server;

#[test]
fn an_edit_is_seen_by_the_next_visitor() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/", "title": "t", "tags": ["x"]}));
    assert_eq!(client.visit(&code).location(), "https://a.example/");
    let link = client
        .patch(&code, &json!({"url": "https://b.example/", "title": null}))
        .expect(200)
        .json();
    assert_eq!(client.visit(&code).location(), "https://b.example/");
    assert_eq!(link["version"], 2);
    assert_eq!(link["tags"], json!(["x"]), "what is not named stays");
    assert!(link.get("title").is_none(), "null clears");

    let wrong = client.patch(&code, &json!({"url": "nowhere"}));
    wrong.problem(422, "invalid-fields");
    assert_eq!(client.visit(&code).location(), "https://b.example/");
}

#[test]
fn a_deleted_link_is_gone_at_once() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    assert_eq!(client.visit(&code).status, 302);
    assert_eq!(client.delete(&code).status, 204);
    assert_eq!(client.visit(&code).status, 404);
    client.link(&code).problem(404, "link-not-found");
    client.delete(&code).problem(404, "link-not-found");
}

#[test]
fn entity_tags_prevent_lost_updates() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let seen = client.link(&code).expect(200).header("etag").to_owned();
    let path = link_path(&code);
    let fresh = client.http.send(
        client.request("GET", &path).header("if-none-match", &seen),
        (),
    );
    assert_eq!(fresh.status, 304);

    let edit = |url: &str| {
        let patch = json!({"url": url});
        client.api_with("PATCH", &path, &[("if-match", &seen)], &patch)
    };
    let edited = edit("https://b.example/").expect(200);
    assert_ne!(edited.header("etag"), seen);
    edit("https://c.example/").problem(412, "version-mismatch");
    assert_eq!(client.visit(&code).location(), "https://b.example/");
    let delete = client.request("DELETE", &path).header("if-match", &seen);
    client
        .http
        .send(delete, ())
        .problem(412, "version-mismatch");
}

#[test]
fn the_history_tells_who_did_what() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    client.patch(&code, &json!({"title": "new"})).expect(200);
    let path = format!("{}/history", link_path(&code));
    let history = client.api("GET", &path).expect(200).json();
    let text = history.to_string();
    assert!(text.contains("title"), "{text}");
    let key = client.link(&code).json()["created_by"].clone();
    assert!(text.contains(key.as_str().unwrap()), "{text}");
}

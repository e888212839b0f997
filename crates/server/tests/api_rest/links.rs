use std::time::Duration;

use serde_json::json;
use tollgate_access::Scope;
use tollgate_links::Domain;

use crate::server::{Server, empty, full};

const LINKS: &str = "/api/v1/links";

#[tokio::test]
async fn a_link_is_made_shown_edited_and_deleted() {
    let server = Server::start().await;
    let draft = json!({"url": "https://example.com/a", "code": "spring", "tags": ["News"]});
    let made = server.post(LINKS, &draft).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    assert_eq!(made.header("location"), "/api/v1/links/spring");
    assert_eq!(made.json()["short_url"], "http://s.example/spring");
    assert_eq!(made.json()["tags"], json!(["news"]));

    let shown = server.get(made.header("location")).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json(), made.json());
    assert_eq!(shown.header("etag"), made.header("etag"));

    server.clock.advance(Duration::from_secs(1));
    let patch = json!({"title": "Sale", "tags": []});
    let edited = server
        .json("PATCH", "/api/v1/links/spring", None, &patch)
        .await;
    assert_eq!(edited.status, 200, "{:?}", edited.body);
    assert_eq!(edited.json()["version"], 2);
    assert_ne!(edited.header("etag"), made.header("etag"));

    let request = server.request("DELETE", "/api/v1/links/spring");
    let deleted = server.send(request.body(empty()).unwrap()).await;
    assert_eq!(deleted.status, 204);
    let gone = server.get("/api/v1/links/spring").await;
    gone.problem(404, "link-not-found");

    let history = server.get("/api/v1/links/spring/history?limit=2").await;
    let history = history.json();
    let actions: Vec<_> = history["history"].as_array().unwrap().iter().collect();
    assert_eq!(actions.len(), 2);
    assert_eq!(actions[0]["action"], "deleted");
    assert_eq!(actions[1]["changes"]["title"], json!([null, "Sale"]));
}

#[tokio::test]
async fn entity_tags_guard_edits_and_save_answers() {
    let server = Server::start().await;
    let draft = json!({"url": "https://example.com/", "code": "x"});
    let first = server.post(LINKS, &draft).await.header("etag").to_owned();
    let path = "/api/v1/links/x";

    let known = server.request("GET", path).header("if-none-match", &first);
    let known = server.send(known.body(empty()).unwrap()).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), first);

    let patch = json!({"title": "a"});
    let guarded = |tag: String| {
        let (server, patch) = (&server, &patch);
        async move {
            let header = Some(("if-match", tag.as_str()));
            server.json("PATCH", path, header, patch).await
        }
    };
    let second = guarded(first.clone()).await;
    assert_eq!(second.status, 200);
    guarded(first.clone())
        .await
        .problem(412, "version-mismatch");
    let problem = guarded(format!("W/{first}")).await;
    problem.problem(400, "invalid-header");
    assert_eq!(guarded("*".to_owned()).await.status, 200);

    // The same name and version at another time is another link.
    let delete = server.request("DELETE", path);
    server.send(delete.body(empty()).unwrap()).await;
    server.clock.advance(Duration::from_millis(1));
    server.post(LINKS, &draft).await;
    guarded(first).await.problem(412, "version-mismatch");
}

#[tokio::test]
async fn a_repeated_request_takes_effect_once() {
    let server = Server::start().await;
    let key = Some(("idempotency-key", "\"order-17\""));
    let draft = json!({"url": "https://example.com/once"});
    let first = server.json("POST", LINKS, key, &draft).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = server.json("POST", LINKS, key, &draft).await;
    assert_eq!(again.status, 201);
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = json!({"url": "https://example.com/other"});
    let mismatch = server.json("POST", LINKS, key, &other).await;
    mismatch.problem(422, "idempotency-mismatch");
    let all = server.get(LINKS).await.json();
    assert_eq!(all["links"].as_array().unwrap().len(), 1);

    // Also when the first one has made the entity tag stale.
    let code = first.json()["code"].as_str().unwrap().to_owned();
    let path = format!("{LINKS}/{code}");
    for _ in 0..2 {
        let request = server
            .request("PATCH", &path)
            .header("content-type", "application/merge-patch+json")
            .header("if-match", first.header("etag"))
            .header("idempotency-key", "edit-1");
        let body = full(json!({"title": "once"}).to_string());
        let edited = server.send(request.body(body).unwrap()).await;
        assert_eq!(edited.status, 200, "{:?}", edited.body);
        assert_eq!(edited.json()["version"], 2);
    }
    for _ in 0..2 {
        let request = server
            .request("DELETE", &path)
            .header("idempotency-key", "delete-1");
        let deleted = server.send(request.body(empty()).unwrap()).await;
        assert_eq!(deleted.status, 204, "{:?}", deleted.body);
    }
}

#[tokio::test]
async fn reuse_answers_an_equal_link() {
    let server = Server::start().await;
    let draft = json!({"url": "https://example.com/r", "reuse": true});
    let first = server.post(LINKS, &draft).await;
    assert_eq!(first.status, 201);
    let second = server.post(LINKS, &draft).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.json()["code"], first.json()["code"]);
}

#[tokio::test]
async fn a_link_is_found_by_its_target_however_it_is_pasted() {
    let server = Server::start().await;
    let draft = json!({"url": "https://www.example.com/long/path"});
    let code = server.post(LINKS, &draft).await.json()["code"].clone();
    for (q, found) in [
        ("example.com/long", true),
        ("https://www.example.com/long/path", true),
        ("HTTP://example.com/", true),
        ("https://other.example", false),
        ("https://\u{fc}", false),
    ] {
        let q = percent_encoding::utf8_percent_encode(q, percent_encoding::NON_ALPHANUMERIC);
        let page = server.get(&format!("{LINKS}?q={q}")).await.json();
        let first = page["links"].get(0).map(|link| &link["code"]);
        assert_eq!(first == Some(&code), found, "{q}: {page}");
    }
}

#[tokio::test]
async fn pages_hold_every_link_once() {
    let server = Server::start().await;
    for number in 0..25 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        let draft = json!({
            "url": format!("https://example.com/{number}"),
            "code": format!("z{number:02}"),
            "tags": [tag],
        });
        let made = server.post(LINKS, &draft).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
    }
    let mut codes = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server
            .get(&format!("{LINKS}?limit=4&order=code&tag=even{cursor}"))
            .await
            .json();
        let links = page["links"].as_array().unwrap();
        codes.extend(
            links
                .iter()
                .map(|link| link["code"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).step_by(2).map(|n| format!("z{n:02}")).collect();
    assert_eq!(codes, expected);
    let found = server.get(&format!("{LINKS}?q=Z1")).await.json();
    assert_eq!(found["links"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start().await;
    for (query, field) in [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("order=size", "order"),
        ("tag=a,b", "tag"),
        ("domain=else.example", "domain"),
        ("cursor=!", "cursor"),
    ] {
        let answer = server.get(&format!("{LINKS}?{query}")).await;
        let problem = answer.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}

#[tokio::test]
async fn a_key_bound_to_a_domain_sees_no_other() {
    let server = Server::start().await;
    let domain = Domain::parse("go.example").unwrap();
    let scopes = [Scope::LinksRead, Scope::LinksWrite];
    let bound = server.key(&scopes, Some(domain)).await;
    let draft = json!({"url": "https://example.com/", "code": "default"});
    server.post(LINKS, &draft).await;
    let by = |method: &str, path: &str, body: &str| {
        http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("bearer {bound}"))
            .header("content-type", "application/json")
            .body(full(body.to_owned()))
            .unwrap()
    };
    let body = r#"{"url":"https://example.com/","code":"mine"}"#;
    let made = server.send(by("POST", LINKS, body)).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    assert_eq!(made.json()["domain"], "go.example");
    let location = made.header("location");
    assert_eq!(location, "/api/v1/links/mine?domain=go.example");
    assert_eq!(server.send(by("GET", location, "")).await.status, 200);
    let home = server.send(by("GET", "/api/v1/links/mine", "")).await;
    assert_eq!(home.status, 200);
    let listed = server.send(by("GET", LINKS, "")).await.json();
    assert_eq!(listed["links"].as_array().unwrap().len(), 1);
    let elsewhere = r#"{"url":"https://example.com/","domain":"s.example"}"#;
    for request in [
        by("POST", LINKS, elsewhere),
        by("GET", "/api/v1/links/default?domain=s.example", ""),
        by("DELETE", "/api/v1/links/default?domain=s.example", ""),
        by("GET", "/api/v1/links?domain=s.example", ""),
    ] {
        server.send(request).await.problem(403, "foreign-domain");
    }
}

//! Version 4 of the API of Bitly.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_server::compat::CompatOptions;

use crate::clicks::click;
use crate::server::{Answer, START, Server, empty, full};

async fn start() -> Server {
    let compat = CompatOptions {
        bitly: true,
        ..CompatOptions::default()
    };
    Server::compatible(compat).await
}

/// An error in Bitly's form.
fn failure(answer: &Answer, status: u16, message: &str) -> Value {
    let failure = answer.json();
    assert_eq!(answer.status, status, "{failure}");
    assert_eq!(failure["message"], message, "{failure}");
    assert_eq!(answer.header("content-type"), "application/json");
    for field in ["description", "resource"] {
        assert!(!failure[field].as_str().unwrap().is_empty(), "{failure}");
    }
    failure
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let server = Server::start().await;
    server.get("/v4/groups").await.problem(404, "no-route");
}

#[tokio::test]
async fn links_are_made_found_and_edited() {
    let server = start().await;
    let wanted = json!({"long_url": "https://example.com", "domain": "bit.ly", "group_guid": "x"});
    let made = server.post("/v4/shorten", &wanted).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("s.example/"), "{made}");
    assert_eq!(made["link"], format!("http://{id}"));
    assert_eq!(made["long_url"], "https://example.com/");
    assert_eq!(made["created_at"], "2027-01-15T08:00:00+0000");
    assert_eq!(made["archived"], false);
    for list in ["custom_bitlinks", "tags", "deeplinks"] {
        assert_eq!(made[list], json!([]));
    }
    // An equal one is answered instead of a second.
    let again = server.post("/v4/shorten", &wanted).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["id"], *id);
    let expanded = server.post("/v4/expand", &json!({"bitlink_id": id})).await;
    assert_eq!(
        expanded.json(),
        json!({
            "id": id,
            "link": made["link"],
            "long_url": "https://example.com/",
            "created_at": made["created_at"],
        })
    );
    let wanted = json!({
        "long_url": "https://example.com/2",
        "title": "Two",
        "tags": ["b", "a"],
        "keyword": "two",
        "domain": "go.example",
    });
    let made = server.post("/v4/bitlinks", &wanted).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["id"], "go.example/two");
    assert_eq!(made.json()["tags"], json!(["a", "b"]));
    let changes = json!({"title": "Deux", "tags": ["c"], "long_url": "https://example.com/deux"});
    let path = "/v4/bitlinks/go.example/two";
    let edited = server.json("PATCH", path, None, &changes).await.json();
    assert_eq!(edited["title"], "Deux");
    assert_eq!(edited["long_url"], "https://example.com/deux");
    for path in [path, "/v4/bitlinks/go.example%2Ftwo"] {
        assert_eq!(server.get(path).await.json(), edited);
    }
    let native = server
        .get("/api/v1/links/two?domain=go.example")
        .await
        .json();
    assert_eq!(native["title"], "Deux");
}

#[tokio::test]
async fn clicks_are_counted_by_unit() {
    let server = start().await;
    let wanted = json!({"long_url": "https://example.com", "keyword": "a"});
    server.post("/v4/bitlinks", &wanted).await;
    let hour = Duration::from_secs(3_600);
    server.clock.advance(hour * 50);
    let now = START.saturating_add(hour * 50);
    let at = [START, now.saturating_sub(hour * 24), now, now];
    let clicks = at.iter().enumerate();
    let clicks = clicks.map(|(number, at)| click(number as u64, *at, "a"));
    server.clicks.count(clicks.collect()).await;
    let all = server.get("/v4/bitlinks/bit.ly/a/clicks").await.json();
    assert_eq!(all["unit"], "day");
    assert_eq!(all["units"], -1);
    assert_eq!(all["unit_reference"], "2027-01-17T10:00:00+0000");
    assert_eq!(
        all["link_clicks"],
        json!([
            {"date": "2027-01-17T00:00:00+0000", "clicks": 2},
            {"date": "2027-01-16T00:00:00+0000", "clicks": 1},
            {"date": "2027-01-15T08:00:00+0000", "clicks": 1},
        ])
    );
    let get = async |query: &str| {
        let path = format!("/v4/bitlinks/s.example/a/clicks{query}");
        server.get(&path).await.json()
    };
    assert_eq!(get("/summary").await["total_clicks"], 4);
    assert_eq!(get("/summary?unit=day&units=2").await["total_clicks"], 3);
    let early = "?unit=hour&units=2&unit_reference=2027-01-15T08:30:00%2B0000";
    assert_eq!(
        get(early).await["link_clicks"],
        json!([
            {"date": "2027-01-15T08:00:00+0000", "clicks": 1},
            {"date": "2027-01-15T07:00:00+0000", "clicks": 0},
        ])
    );
    assert_eq!(
        get("?size=1").await["link_clicks"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for (query, field) in [
        ("?unit=minute", "UNIT"),
        ("?units=0", "UNITS"),
        ("?units=many", "UNITS"),
        ("?size=x", "SIZE"),
        ("?unit_reference=soon", "UNIT_REFERENCE"),
        ("/summary?unit_reference=soon", "UNIT_REFERENCE"),
    ] {
        let path = format!("/v4/bitlinks/s.example/a/clicks{query}");
        failure(
            &server.get(&path).await,
            400,
            &format!("INVALID_ARG_{field}"),
        );
    }
}

#[tokio::test]
async fn errors_have_the_form_of_bitly() {
    let server = start().await;
    let post = async |path: &str, body: &str| {
        let request = server.request("POST", path);
        server
            .send(request.body(full(body.to_owned())).unwrap())
            .await
    };
    let wrong = failure(
        &post("/v4/shorten", "{}").await,
        400,
        "INVALID_ARG_LONG_URL",
    );
    assert_eq!(wrong["errors"][0]["field"], "long_url");
    let loops = post("/v4/shorten", r#"{"long_url":"http://s.example/a"}"#).await;
    failure(&loops, 400, "INVALID_ARG_LONG_URL");
    for (body, message) in [
        (
            r#"{"long_url":"https://a.example","domain":"else.example"}"#,
            "INVALID_ARG_DOMAIN",
        ),
        (
            r#"{"long_url":"https://a.example","keyword":"a b"}"#,
            "INVALID_ARG_KEYWORD",
        ),
        (
            r#"{"long_url":"https://a.example","tags":["a,b"]}"#,
            "INVALID_ARG_TAGS",
        ),
        (
            r#"{"long_url":"https://a.example","deeplinks":[{}]}"#,
            "INVALID_ARG_DEEPLINKS",
        ),
        (r#"{"long_url":7}"#, "INVALID_ARG_LONG_URL"),
        ("[]", "INVALID_ARG_PAYLOAD"),
    ] {
        failure(&post("/v4/bitlinks", body).await, 400, message);
    }
    failure(&post("/v4/shorten", "{").await, 400, "INVALID_REQUEST");
    let taken = json!({"long_url": "https://a.example", "keyword": "taken"});
    assert_eq!(server.post("/v4/bitlinks", &taken).await.status, 201);
    let other = json!({"long_url": "https://b.example", "keyword": "taken"});
    failure(
        &server.post("/v4/bitlinks", &other).await,
        409,
        "ALREADY_EXISTS",
    );
    let archived = json!({"archived": true});
    let path = "/v4/bitlinks/s.example/taken";
    let refused = server.json("PATCH", path, None, &archived).await;
    failure(&refused, 400, "INVALID_ARG_ARCHIVED");
    for path in [
        "/v4/bitlinks/s.example/none",
        "/v4/bitlinks/else.example/taken",
        "/v4/bitlinks/s.example/none/clicks",
        "/v4/groups/other",
        "/v4/nothing",
        "/v4",
    ] {
        failure(&server.get(path).await, 404, "NOT_FOUND");
    }
    failure(&server.get("/v4/shorten").await, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(server.get("/v4/bitlinks/%ff%fe/a").await.status, 400);
    let missing = server
        .post("/v4/expand", &json!({"bitlink_id": "s.example/none"}))
        .await;
    failure(&missing, 404, "NOT_FOUND");
}

#[tokio::test]
async fn keys_are_asked_for_and_their_scopes_count() {
    let server = start().await;
    let reader = server.key(&[Scope::LinksRead], None).await;
    let send = async |method: &str, path: &str, token: Option<&str>| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match method {
            "GET" => empty(),
            _ => full(r#"{"long_url":"https://example.com"}"#),
        };
        server.send(request.body(body).unwrap()).await
    };
    for token in [None, Some("tg_00000000000000000000"), Some("x")] {
        failure(&send("GET", "/v4/groups", token).await, 403, "FORBIDDEN");
    }
    let groups = send("GET", "/v4/groups", Some(&reader)).await.json();
    let guid = groups["groups"][0]["guid"].as_str().unwrap();
    let group = send("GET", &format!("/v4/groups/{guid}"), Some(&reader)).await;
    assert_eq!(group.json(), groups["groups"][0]);
    for (method, path) in [
        ("POST", "/v4/shorten"),
        ("POST", "/v4/bitlinks"),
        ("PATCH", "/v4/bitlinks/s.example/a"),
        ("GET", "/v4/bitlinks/s.example/a/clicks"),
        ("GET", "/v4/bitlinks/s.example/a/clicks/summary"),
    ] {
        let refused = send(method, path, Some(&reader)).await;
        failure(&refused, 403, "FORBIDDEN");
    }
}

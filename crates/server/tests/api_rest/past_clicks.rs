//! Clicks that another shortener has counted.

use http::Request;
use serde_json::{Value, json};
use tollgate_access::Scope;

use crate::server::{Server, full};

const PATH: &str = "/api/v1/clicks/import";

async fn with_link() -> Server {
    let server = Server::start().await;
    let link = json!({"url": "https://example.com", "code": "a"});
    assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    server
}

fn clicks() -> Value {
    json!([
        {"at": "2019-05-06T07:08:09Z", "referrer": "https://www.news.example/x", "country": "de", "city": "Berlin", "bot": false},
        {"at": "2019-05-07T07:08:09Z", "user_agent": "curl/8.5.0", "address": "192.0.2.1"},
    ])
}

#[tokio::test]
async fn they_are_counted_once_and_shown() {
    let server = with_link().await;
    let body = json!({"source": "old", "links": [
        {"code": "a", "clicks": clicks(), "untimed": 5},
        {"code": "none", "untimed": 1},
        {"code": "a", "after": 100, "untimed": 1},
    ]});
    let answer = server.post(PATH, &body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let links = answer.json()["links"].clone();
    assert_eq!(links[0], json!({"code": "a", "counted": 7, "position": 7}));
    let kind = |place: usize| links[place]["problem"]["type"].clone();
    assert_eq!(kind(1), "urn:tollgate:problem:link-not-found");
    assert_eq!(kind(2), "urn:tollgate:problem:clicks-missing");
    let again = server.post(PATH, &body).await.json();
    assert_eq!(again["links"][0]["counted"], 0);

    let path = "/api/v1/links/a/stats?from=2019-05-01&to=2019-06-01&by=country,city,referrer";
    let stats = server.get(path).await.json();
    assert_eq!((&stats["total"], &stats["untimed"]), (&json!(2), &json!(5)));
    assert_eq!(
        stats["by"]["country"][0],
        json!({"value": "DE", "clicks": 1})
    );
    let people = server.get(&format!("{path}&bots=exclude")).await.json();
    assert_eq!(people["total"], 1);
    assert_eq!(people["by"]["city"][0]["value"], "Berlin, DE");
    // A link that is gone and has only clicks without a time still has these.
    assert_eq!(server.get("/api/v1/stats").await.json()["untimed"], 5);
    let filtered = server
        .get(&format!("{path}&filter=country=DE"))
        .await
        .json();
    assert_eq!(filtered.get("untimed"), None);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = with_link().await;
    let scopes = [Scope::LinksWrite, Scope::StatsRead];
    let key = server.key(&scopes, None).await;
    let body = json!({"source": "old", "links": []});
    let request = Request::post(PATH)
        .header("host", "admin")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(full(body.to_string()))
        .unwrap();
    let refused = server.send(request).await;
    refused.problem(403, "missing-scope");
    for (body, field) in [
        (json!({"source": "a/b", "links": []}), "source"),
        (json!({"source": "", "links": []}), "source"),
    ] {
        let problem = server.post(PATH, &body).await;
        let problem = problem.problem(422, "invalid-fields");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let bad =
        json!({"source": "old", "links": [{"code": "a", "clicks": [{"country": "Germany"}]}]});
    let answer = server.post(PATH, &bad).await.json();
    let errors = &answer["links"][0]["problem"]["errors"];
    assert_eq!(errors[0]["field"], "clicks[0].country");
}

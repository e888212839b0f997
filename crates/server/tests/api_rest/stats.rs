//! What was clicked.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_clicks::{ClickKind, Snippet};

use crate::clicks::click;
use crate::server::{START, Server, empty};

/// A server with links `a` (tagged), `b`, and clicks: nine on `a` in three hours, one on `b`, two on
/// codes that do not exist.
async fn clicked() -> Server {
    let server = Server::start().await;
    for (code, tags) in [("a", json!(["spring"])), ("b", json!([]))] {
        let link = json!({"url": "https://example.com", "code": code, "tags": tags});
        assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    }
    let hour = Duration::from_secs(3_600);
    let mut clicks = Vec::new();
    for number in 0..9 {
        let at = START.saturating_sub(hour * (number % 3) as u32);
        clicks.push(click(number, at, "a"));
    }
    let mut of_b = click(20, START, "b");
    of_b.referrer = None;
    of_b.user_agent = Snippet::of(b"curl/8.5.0", 64);
    clicks.push(of_b);
    for number in 30..32 {
        let mut orphan = click(number, START, "=gone");
        orphan.kind = ClickKind::Orphan;
        clicks.push(orphan);
    }
    server.clicks.count(clicks).await;
    server
}

#[tokio::test]
async fn a_link_is_counted_over_time_and_by_dimension() {
    let server = clicked().await;
    let path = "/api/v1/links/a/stats?bucket=hour&by=referrer,browser&by=language&compare=previous";
    let stats = server.get(path).await.json();
    assert_eq!(stats["total"], 9);
    assert_eq!(stats["unique"], 3);
    assert_eq!(stats["source"], "rollups");
    assert_eq!(stats["tz"], "UTC");
    assert_eq!(
        stats["by"]["referrer"],
        json!([{"value": "news.example", "clicks": 9}])
    );
    assert_eq!(
        stats["by"]["browser"],
        json!([{"value": "Firefox", "clicks": 9}])
    );
    assert_eq!(
        stats["by"]["language"],
        json!([{"value": "de", "clicks": 9}])
    );
    assert_eq!(stats["previous"]["total"], 0);
    let hours: Vec<u64> = stats["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["clicks"].as_u64().unwrap())
        .filter(|clicks| *clicks > 0)
        .collect();
    assert_eq!(hours, [3, 3, 3]);
}

#[tokio::test]
async fn many_links_are_counted_together() {
    let server = clicked().await;
    let total = async |path: &str| server.get(path).await.json()["total"].clone();
    assert_eq!(total("/api/v1/stats").await, 10);
    assert_eq!(total("/api/v1/stats?bots=exclude").await, 9);
    assert_eq!(total("/api/v1/stats?tag=spring").await, 9);
    assert_eq!(total("/api/v1/stats?tag=winter").await, 0);
    assert_eq!(total("/api/v1/stats?domain=go.example").await, 0);
    let orphans = server.get("/api/v1/stats/orphans?by=link").await.json();
    assert_eq!(orphans["total"], 2);
    assert_eq!(
        orphans["by"]["link"],
        json!([{"value": "=gone", "clicks": 2}])
    );
    let by_link = server
        .get("/api/v1/stats?by=link,domain&top=1")
        .await
        .json();
    let other = json!([{"value": "a", "clicks": 9}, {"value": "(other)", "clicks": 1}]);
    assert_eq!(by_link["by"]["link"], other);
    assert_eq!(
        by_link["by"]["domain"],
        json!([{"value": "(none)", "clicks": 10}])
    );
}

#[tokio::test]
async fn tables_for_spreadsheets() {
    let server = clicked().await;
    let table = async |path: &str| {
        let answer = server.get(path).await;
        assert!(
            answer.header("content-type").starts_with("text/csv"),
            "{path}"
        );
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let series = table("/api/v1/links/a/stats?format=csv").await;
    assert!(series.starts_with("start,clicks,unique\n"), "{series}");
    assert_eq!(
        series.lines().filter(|line| line.ends_with(",9,3")).count(),
        1,
        "{series}"
    );
    let values = table("/api/v1/links/a/stats?format=csv&by=browser").await;
    assert_eq!(values, "browser,clicks\nFirefox,9\n");
    let orphans = table("/api/v1/stats/orphans?format=csv&by=link").await;
    assert_eq!(orphans, "link,clicks\n'=gone,2\n");
    let clicks = table("/api/v1/links/a/clicks?format=csv").await;
    assert_eq!(clicks.lines().count(), 10);
    assert!(
        clicks.starts_with("id,at,domain,code,kind,bot,referrer_url,"),
        "{clicks}"
    );
    let two = server
        .get("/api/v1/links/a/stats?format=csv&by=browser,os")
        .await;
    assert_eq!(
        two.problem(400, "invalid-query")["errors"][0]["field"],
        "by"
    );
}

#[tokio::test]
async fn single_clicks_are_listed_page_by_page() {
    let server = clicked().await;
    let mut seen = Vec::new();
    let mut path = "/api/v1/links/a/clicks?limit=4".to_owned();
    loop {
        let page = server.get(&path).await.json();
        for click in page["clicks"].as_array().unwrap() {
            assert_eq!(click["code"], "a");
            assert_eq!(click["values"]["browser"], "Firefox");
            assert!(click.get("address").is_none());
            seen.push(click["id"].as_str().unwrap().to_owned());
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("/api/v1/links/a/clicks?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9);
    let people = server
        .get("/api/v1/links/b/clicks?bots=exclude")
        .await
        .json();
    assert_eq!(people["clicks"], json!([]));
}

#[tokio::test]
async fn live_clicks_are_streamed_until_the_end() {
    let server = clicked().await;
    let request = server.request("GET", "/api/v1/events?code=a");
    let (head, mut body) = server
        .open(request.body(empty()).unwrap())
        .await
        .into_parts();
    assert_eq!(head.headers["content-type"], "text/event-stream");
    server.clicks.until_somebody_listens().await;
    server
        .clicks
        .count(vec![click(40, START, "b"), click(41, START, "a")])
        .await;
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    assert!(
        text.contains("event: click") && text.contains("0000000000000007-41"),
        "{text}"
    );
    assert!(!text.contains("\"code\":\"b\""), "{text}");
    server.shutdown.cancel();
    assert!(body.frame().await.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = clicked().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=1969-01-01", "to"),
        ("tz=Mars/Olympus", "tz"),
        ("bucket=minute", "bucket"),
        ("from=1990-01-01&bucket=hour", "bucket"),
        ("by=colour", "by"),
        ("filter=country", "filter"),
        ("filter=country=DE&filter=country=FR", "filter"),
        ("bots=maybe", "bots"),
        ("top=0", "top"),
        ("compare=next", "compare"),
        ("format=xml", "format"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("colour=red", "colour"),
    ] {
        let answer = server.get(&format!("/api/v1/links/a/stats?{query}")).await;
        let problem = answer.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    let answer = server.get("/api/v1/links/a/clicks?cursor=x").await;
    assert_eq!(
        answer.problem(400, "invalid-query")["errors"][0]["field"],
        "cursor"
    );
    for path in ["/api/v1/links/none/stats", "/api/v1/links/none/clicks"] {
        server.get(path).await.problem(404, "link-not-found");
    }
    let gone = server
        .request("DELETE", "/api/v1/links/a")
        .body(empty())
        .unwrap();
    assert_eq!(server.send(gone).await.status, 204);
    assert_eq!(server.get("/api/v1/links/a/stats").await.json()["total"], 9);
}

#[tokio::test]
async fn keys_see_what_they_may() {
    let server = clicked().await;
    let ask = async |key: &str, path: &str| {
        let request = server.request("GET", path);
        let mut request = request.body(empty()).unwrap();
        let bearer = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        server.send(request).await
    };
    let paths = [
        "/api/v1/links/a/stats",
        "/api/v1/links/a/clicks",
        "/api/v1/stats",
        "/api/v1/stats/orphans",
        "/api/v1/events",
    ];
    let reader = server.key(&[Scope::LinksRead], None).await;
    for path in paths {
        ask(&reader, path).await.problem(403, "missing-scope");
    }
    let go = tollgate_links::Domain::parse("go.example").unwrap();
    let bound = server.key(&[Scope::StatsRead], Some(go)).await;
    assert_eq!(ask(&bound, "/api/v1/stats").await.json()["total"], 0);
    ask(&bound, "/api/v1/stats/orphans")
        .await
        .problem(403, "foreign-domain");
    ask(&bound, "/api/v1/links/a/stats")
        .await
        .problem(404, "link-not-found");
    let free = server.key(&[Scope::StatsRead], None).await;
    assert_eq!(ask(&free, "/api/v1/stats").await.json()["total"], 10);
}

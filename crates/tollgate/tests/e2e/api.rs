//! The API's manners: problems, listings, its description.

use serde_json::{Value, json};
use ureq::http::Request;

use crate::server::{Options, Server};

#[test]
fn every_error_is_a_problem_document() {
    let server = Server::start();
    let client = server.client();
    client
        .api("GET", "/api/v1/nothing")
        .problem(404, "no-route");
    let wrong_method = client.api("PUT", "/api/v1/links");
    wrong_method.problem(405, "method-not-allowed");
    assert!(wrong_method.header("allow").contains("POST"));
    client.link("absent").problem(404, "link-not-found");

    let post = |media: &str, body: &str| {
        let request = client.request("POST", "/api/v1/links");
        let request = request.header("content-type", media);
        client.http.send(request, body)
    };
    post("text/plain", "x").problem(415, "unsupported-media-type");
    let broken = post("application/json", "{\"url\":\n oops}").problem(400, "malformed-json");
    assert_eq!((&broken["line"], &broken["column"]), (&json!(2), &json!(2)));
    assert!(broken["request_id"].is_string());
    post("application/json", "").problem(400, "malformed-json");
    post("application/json", "[]").problem(422, "invalid-fields");
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(
        post("application/json", &nested).status,
        400 | 422
    ));
    client
        .api("GET", "/api/v1/links?limit=0")
        .problem(400, "invalid-query");
    client
        .api("GET", "/api/v1/links?cursor=garbage")
        .problem(400, "invalid-query");
    client
        .api("GET", "/api/v1/links?colour=red")
        .problem(400, "invalid-query");
}

#[test]
fn bodies_are_bounded() {
    let server = Options::default()
        .config("[admin]\nmax_body = \"4KiB\"")
        .start();
    let client = server.client();
    let draft = json!({"url": "https://a.example/", "title": "x".repeat(5_000)});
    client.draft(&draft).problem(413, "too-large");
}

#[test]
fn a_key_is_needed_everywhere() {
    let server = Server::start();
    let client = server.client();
    let anonymous = Request::get(format!("{}/api/v1/links", server.admin));
    let reply = client.http.send(anonymous, ());
    reply.problem(401, "unauthorized");
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
    let stranger = client.with_key("tg_notakeyofthisserveratall0000000000000000000");
    stranger.link("x").problem(401, "unauthorized");
    stranger
        .draft(&json!({"url": "https://a.example/"}))
        .problem(401, "unauthorized");
}

#[test]
fn a_listing_is_stable_while_links_are_made() {
    let server = Server::start();
    let client = server.client();
    let make = |at: usize| client.code(&json!({"url": format!("https://a.example/{at}")}));
    let before: Vec<String> = (0..25).map(make).collect();
    let mut seen = Vec::new();
    let mut path = "/api/v1/links?limit=7&order=created".to_owned();
    let mut newer = 100;
    loop {
        let page = client.api("GET", &path).expect(200).json();
        let links = page["links"].as_array().unwrap();
        seen.extend(links.iter().map(|l| l["code"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        if newer < 110 {
            make(newer);
            newer += 1;
        }
        let cursor = crate::http::encoded(cursor);
        path = format!("/api/v1/links?limit=7&order=created&cursor={cursor}");
    }
    assert_eq!(seen[..25], before[..]);
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len(), "no link is shown twice");
}

#[test]
fn links_are_found_by_prefix_and_tag() {
    let server = Server::start();
    let client = server.client();
    client.create(&json!({"url": "https://a.example/1", "code": "alpha", "tags": ["News"]}));
    client.create(&json!({"url": "https://b.example/2", "code": "beta", "title": "Alphabet"}));
    client.create(&json!({"url": "https://c.example/3", "code": "gamma", "tags": ["news", "x"]}));
    let codes = |query: &str| -> Vec<String> {
        let path = format!("/api/v1/links?order=code&{query}");
        let page = client.api("GET", &path).expect(200).json();
        let links = page["links"].as_array().unwrap().clone();
        links
            .iter()
            .map(|link| link["code"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(codes("q=alpha"), ["alpha", "beta"]);
    assert_eq!(codes("q=c.example"), ["gamma"]);
    assert_eq!(codes("tag=news"), ["alpha", "gamma"]);
    assert_eq!(codes("tag=NEWS&q=gam"), ["gamma"]);
    assert!(codes("tag=absent").is_empty());
}

#[test]
fn bulk_answers_line_by_line() {
    let server = Server::start();
    let client = server.client();
    let body = concat!(
        "{\"url\":\"https://a.example/\",\"code\":\"one\"}\n",
        "{\"url\":\"nowhere\"}\n",
        "\n",
        "{oops\n",
        "{\"url\":\"https://b.example/\",\"code\":\"one\"}\n",
        "{\"url\":\"https://c.example/\"}\n",
    );
    let request = client
        .request("POST", "/api/v1/links/bulk")
        .header("content-type", "application/x-ndjson");
    let reply = client.http.send(request, body).expect(200);
    assert!(
        reply
            .header("content-type")
            .starts_with("application/x-ndjson")
    );
    let answers: Vec<Value> = reply
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let statuses: Vec<u64> = answers
        .iter()
        .map(|answer| answer["status"].as_u64().unwrap())
        .collect();
    let lines: Vec<u64> = answers
        .iter()
        .map(|answer| answer["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [1, 2, 4, 5, 6], "the empty line is none");
    assert_eq!(answers[1]["problem"]["errors"][0]["field"], "url");
    assert_eq!(statuses, [201, 422, 400, 409, 201]);
    assert_eq!(answers[0]["link"]["code"], "one");

    let array = json!([{"url": "https://a.example/"}, {"url": "https://b.example/"}]);
    let reply = client.api_json("POST", "/api/v1/links/bulk", &array);
    assert_eq!(reply.expect(200).text().matches("short_url").count(), 2);
}

#[test]
fn the_api_describes_itself() {
    let server = Server::start();
    let description = server.client().open("/api/openapi.json").expect(200).json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/api/v1/links",
        "/api/v1/links/{code}",
        "/api/v1/links/bulk",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
}

//! The REST API of Shlink.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_clicks::{ClickKind, Snippet};
use tollgate_links::Domain;
use tollgate_server::compat::CompatOptions;

use crate::clicks::click;
use crate::server::{Answer, START, Server, full};

async fn start() -> Server {
    start_with(CompatOptions::default()).await
}

async fn start_with(compat: CompatOptions) -> Server {
    let compat = CompatOptions {
        shlink: true,
        ..compat
    };
    Server::compatible(compat).await
}

async fn ask_as(server: &Server, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/rest/v3{path}"))
        .header("host", "admin");
    if !key.is_empty() {
        request = request.header("x-api-key", key);
    }
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    server.send(request.body(full(body)).unwrap()).await
}

async fn ask(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    ask_as(server, &server.admin, method, path, &body).await
}

async fn get(server: &Server, path: &str) -> Value {
    let answer = ask(server, "GET", path, Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    answer.json()
}

async fn create(server: &Server, body: Value) -> Value {
    let answer = ask(server, "POST", "/short-urls", body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

/// An error in Shlink's form.
fn failure(answer: &Answer, status: u16, kind: &str) -> Value {
    let failure = answer.json();
    assert_eq!(answer.status, status, "{failure}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = match kind.contains(':') {
        true => kind.to_owned(),
        false => format!("https://shlink.io/api/error/{kind}"),
    };
    assert_eq!(failure["type"], kind, "{failure}");
    assert_eq!(failure["status"], status);
    for field in ["title", "detail"] {
        assert!(!failure[field].as_str().unwrap().is_empty(), "{failure}");
    }
    failure
}

/// Codes in the order of a list.
fn codes(list: &Value) -> String {
    let data = list["shortUrls"]["data"].as_array().unwrap();
    let codes: Vec<&str> = data
        .iter()
        .map(|url| url["shortCode"].as_str().unwrap())
        .collect();
    codes.join(" ")
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let server = Server::start().await;
    server
        .get("/rest/v3/short-urls")
        .await
        .problem(404, "no-route");
    server.get("/rest/health").await.problem(404, "no-route");
}

#[tokio::test]
async fn short_urls_are_made_shown_edited_and_deleted() {
    let server = start().await;
    let made = create(
        &server,
        json!({
            "longUrl": "https://example.com",
            "customSlug": "spring",
            "domain": "go.example",
            "tags": ["B", "a"],
            "title": "Spring",
            "validSince": "2027-01-01T00:00:00+01:00",
            "validUntil": "2028-01-01T00:00:00Z",
            "maxVisits": 7,
            "crawlable": false,
            "shortCodeLength": 5,
            "unknown": [1],
        }),
    )
    .await;
    let expected = json!({
        "shortCode": "spring",
        "shortUrl": "https://go.example/spring",
        "longUrl": "https://example.com/",
        "dateCreated": "2027-01-15T08:00:00+00:00",
        "visitsSummary": {"total": 0, "nonBots": 0, "bots": 0},
        "tags": ["a", "b"],
        "meta": {
            "validSince": "2026-12-31T23:00:00+00:00",
            "validUntil": "2028-01-01T00:00:00+00:00",
            "maxVisits": 7,
        },
        "domain": "go.example",
        "title": "Spring",
        "crawlable": true,
        "forwardQuery": true,
        "hasRedirectRules": false,
    });
    assert_eq!(made, expected);
    let path = "/short-urls/spring?domain=go.example";
    assert_eq!(get(&server, path).await, expected);
    let changes = json!({
        "longUrl": "https://example.com/2",
        "title": null,
        "tags": [],
        "validSince": null,
        "maxVisits": null,
        "forwardQuery": false,
    });
    let edited = ask(&server, "PATCH", path, changes).await.json();
    assert_eq!(edited["longUrl"], "https://example.com/2");
    assert_eq!(edited["title"], Value::Null);
    assert_eq!(edited["tags"], json!([]));
    assert_eq!(edited["forwardQuery"], false);
    assert_eq!(
        edited["meta"],
        json!({
            "validSince": null,
            "validUntil": "2028-01-01T00:00:00+00:00",
            "maxVisits": null,
        })
    );
    // Nothing is changed that is not named.
    assert_eq!(ask(&server, "PATCH", path, json!({})).await.json(), edited);
    let deleted = ask(&server, "DELETE", path, Value::Null).await;
    assert_eq!(deleted.status, 204);
    assert!(deleted.body.is_empty());
    let gone = ask(&server, "GET", path, Value::Null).await;
    let gone = failure(&gone, 404, "short-url-not-found");
    assert_eq!(gone["shortCode"], "spring");
    assert_eq!(gone["domain"], "go.example");
}

#[tokio::test]
async fn equal_short_urls_are_found_and_taken_slugs_told() {
    let server = start().await;
    let wanted = json!({"longUrl": "https://example.com", "findIfExists": true});
    let first = create(&server, wanted.clone()).await;
    assert_eq!(create(&server, wanted.clone()).await, first);
    let other = create(&server, json!({"longUrl": "https://example.com"})).await;
    assert_ne!(other["shortCode"], first["shortCode"]);
    create(
        &server,
        json!({"longUrl": "https://a.example", "customSlug": "one"}),
    )
    .await;
    let wanted = json!({"longUrl": "https://b.example", "customSlug": "one"});
    let taken = ask(&server, "POST", "/short-urls", wanted).await;
    let taken = failure(&taken, 400, "non-unique-slug");
    assert_eq!(taken["customSlug"], "one");
    let shorten = "/short-urls/shorten?longUrl=https://example.com&apiKey=";
    let path = format!("{shorten}{}&format=txt", server.admin);
    let text = ask_as(&server, "", "GET", &path, &Value::Null).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(text.body, first["shortUrl"].as_str().unwrap());
    let path = format!("{shorten}{}", server.admin);
    let shown = ask_as(&server, "", "GET", &path, &Value::Null).await;
    assert_eq!(shown.json(), first);
    let refused = ask_as(&server, "", "GET", shorten, &Value::Null).await;
    failure(&refused, 401, "missing-authentication");
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_cut_into_pages() {
    let server = start().await;
    for (code, body) in [
        ("a", json!({"tags": ["x"], "title": "Zebra"})),
        ("b", json!({"tags": ["x", "y"], "title": "apple"})),
        ("c", json!({"tags": ["z"], "domain": "go.example"})),
        (
            "d",
            json!({"maxVisits": 1, "validUntil": "2027-01-15T09:00:00Z"}),
        ),
    ] {
        let mut body = body;
        body["longUrl"] = format!("https://example.com/{}", 9 - code.as_bytes()[0] % 8).into();
        body["customSlug"] = code.into();
        create(&server, body).await;
        server.clock.advance(Duration::from_secs(60));
    }
    let mut by_program = click(9, START, "b");
    by_program.user_agent = Snippet::of(b"curl/8.5.0", 64);
    let clicks = vec![click(1, START, "b"), by_program, click(2, START, "a")];
    server.clicks.count(clicks).await;
    let list = async |query: &str| get(&server, &format!("/short-urls{query}")).await;
    let all = list("").await;
    assert_eq!(codes(&all), "d c b a");
    assert_eq!(
        all["shortUrls"]["pagination"],
        json!({
            "currentPage": 1,
            "pagesCount": 1,
            "itemsPerPage": 10,
            "itemsInCurrentPage": 4,
            "totalItems": 4,
        })
    );
    let second = list("?page=2&itemsPerPage=3").await;
    assert_eq!(codes(&second), "a");
    assert_eq!(second["shortUrls"]["pagination"]["pagesCount"], 2);
    assert_eq!(codes(&list("?page=3&itemsPerPage=3").await), "");
    assert_eq!(codes(&list("?itemsPerPage=-1").await), "d c b a");
    for (query, expected) in [
        ("?orderBy=dateCreated-ASC", "a b c d"),
        ("?orderBy=shortCode-DESC", "d c b a"),
        ("?orderBy=shortCode", "a b c d"),
        ("?orderBy=longUrl-ASC", "d c b a"),
        ("?orderBy=title-DESC", "b a d c"),
        ("?orderBy=visits-DESC", "b a d c"),
        ("?orderBy=nonBotVisits-ASC", "d c b a"),
        ("?orderBy=visits-DESC&itemsPerPage=1&page=2", "a"),
        ("?tags[]=x", "b a"),
        ("?tags[]=x&tags[]=z", "c b a"),
        ("?tags[]=x&tags[]=y&tagsMode=all", "b"),
        ("?excludeTags[]=x", "d c"),
        (
            "?excludeTags[]=x&excludeTags[]=y&excludeTagsMode=all",
            "d c a",
        ),
        ("?domain=go.example", "c"),
        ("?domain=DEFAULT", "d b a"),
        ("?searchTerm=ZEBRA", "a"),
        ("?searchTerm=go.ex", "c"),
        ("?searchTerm=y", "b"),
        ("?searchTerm=example.com/7", "b"),
        (
            "?startDate=2027-01-15T08:01:00Z&endDate=2027-01-15T08:02:00Z",
            "c b",
        ),
        ("?excludeMaxVisitsReached=true", "d c b a"),
        ("?excludePastValidUntil=true", "d c b a"),
    ] {
        assert_eq!(codes(&list(query).await), expected, "{query}");
    }
    server.clock.advance(Duration::from_secs(3_600));
    assert_eq!(codes(&list("?excludePastValidUntil=true").await), "c b a");
    assert_eq!(
        codes(&list("?excludePastValidUntil=false").await),
        "d c b a"
    );
    for (query, element) in [
        ("?orderBy=colour", "orderBy"),
        ("?orderBy=visits-UP", "orderBy"),
        ("?page=x", "page"),
        ("?itemsPerPage=0", "itemsPerPage"),
        ("?startDate=soon", "startDate"),
        ("?tagsMode=some", "tagsMode"),
        ("?tags[]=", "tags"),
        ("?page=9223372036854775807&itemsPerPage=1000&tags[]=x", ""),
    ] {
        let answer = ask(&server, "GET", &format!("/short-urls{query}"), Value::Null).await;
        if element.is_empty() {
            assert_eq!(codes(&answer.json()), "");
            continue;
        }
        let wrong = failure(&answer, 400, "invalid-data");
        assert_eq!(wrong["invalidElements"], json!([element]), "{query}");
    }
    let foreign = ask(
        &server,
        "GET",
        "/short-urls?domain=else.example",
        Value::Null,
    )
    .await;
    assert_eq!(
        failure(&foreign, 404, "domain-not-found")["authority"],
        "else.example"
    );
}

#[tokio::test]
async fn large_stores_answer_what_they_have_an_index_for() {
    let server = start_with(CompatOptions {
        most_links: 3,
        ..CompatOptions::default()
    })
    .await;
    for code in ["one", "two", "three", "four"] {
        let url = format!("https://www.example.com/{code}/page");
        let body = json!({"longUrl": url, "customSlug": code, "tags": [code]});
        create(&server, body).await;
        server.clock.advance(Duration::from_secs(1));
    }
    let list = async |query: &str| {
        let path = format!("/short-urls?itemsPerPage=2{query}");
        ask(&server, "GET", &path, Value::Null).await
    };
    let first = list("").await.json();
    assert_eq!(codes(&first), "four three");
    assert_eq!(first["shortUrls"]["pagination"]["totalItems"], 4);
    assert_eq!(
        codes(&list("&orderBy=shortCode-ASC").await.json()),
        "four one"
    );
    assert_eq!(
        codes(&list("&tags[]=two&orderBy=visits-DESC").await.json()),
        "two"
    );
    for found in ["&searchTerm=TWO", "&searchTerm=https://www.example.com/two"] {
        assert_eq!(codes(&list(found).await.json()), "two");
    }
    assert_eq!(codes(&list("&searchTerm=page").await.json()), "");
    assert_eq!(codes(&list("&page=9").await.json()), "");
    for refused in ["&page=2", "&orderBy=visits-DESC", "&excludeTags[]=two"] {
        failure(&list(refused).await, 400, "invalid-data");
    }
    for path in ["/tags", "/tags/stats"] {
        let answer = ask(&server, "GET", path, Value::Null).await;
        failure(&answer, 400, "invalid-data");
    }
}

/// Links `a` (tagged) and `b`, with visits.
async fn visited() -> Server {
    let server = start().await;
    for (code, tags) in [("a", json!(["x"])), ("b", json!([]))] {
        let body = json!({"longUrl": "https://example.com", "customSlug": code, "tags": tags});
        create(&server, body).await;
    }
    let hour = Duration::from_secs(3_600);
    let mut clicks = Vec::new();
    for number in 0..5 {
        clicks.push(click(
            number,
            START.saturating_sub(hour * number as u32),
            "a",
        ));
    }
    let mut by_program = click(20, START, "b");
    by_program.referrer = None;
    by_program.user_agent = Snippet::of(b"curl/8.5.0", 64);
    clicks.push(by_program);
    for number in 30..32 {
        let mut orphan = click(number, START, "gone");
        orphan.kind = ClickKind::Orphan;
        clicks.push(orphan);
    }
    server.clicks.count(clicks).await;
    server
}

#[tokio::test]
async fn visits_are_listed_wherever_they_belong() {
    let server = visited().await;
    let total = async |path: &str| {
        let visits = get(&server, path).await;
        let here = visits["visits"]["data"].as_array().unwrap().len();
        let pagination = &visits["visits"]["pagination"];
        assert_eq!(pagination["itemsInCurrentPage"], here);
        (here, pagination["totalItems"].as_u64().unwrap())
    };
    for (path, expected) in [
        ("/short-urls/a/visits", 5),
        ("/short-urls/b/visits", 1),
        ("/short-urls/b/visits?excludeBots=true", 0),
        ("/tags/x/visits", 5),
        ("/tags/x/visits?domain=go.example", 0),
        ("/tags/x/visits?domain=DEFAULT", 5),
        ("/domains/DEFAULT/visits", 6),
        ("/domains/s.example/visits", 6),
        ("/domains/go.example/visits", 0),
        ("/visits/non-orphan", 6),
        ("/visits/non-orphan?domain=go.example", 0),
        ("/visits/orphan", 2),
        ("/visits/orphan?type=invalid_short_url", 2),
        ("/visits/orphan?type=base_url", 0),
        ("/visits/orphan?domain=go.example", 0),
        ("/short-urls/a/visits?startDate=2027-01-15T07:00:00Z", 2),
        ("/short-urls/a/visits?endDate=2027-01-15T06:00:00Z", 3),
        (
            "/short-urls/a/visits?startDate=2027-01-15T07:00:01Z&endDate=2027-01-15T07:59:59Z",
            0,
        ),
        (
            "/short-urls/a/visits?startDate=2027-01-16&endDate=2027-01-15",
            0,
        ),
    ] {
        assert_eq!(total(path).await, (expected, expected as u64), "{path}");
    }
    assert_eq!(total("/short-urls/a/visits?itemsPerPage=2").await, (2, 5));
    assert_eq!(
        total("/short-urls/a/visits?itemsPerPage=2&page=3").await,
        (1, 5)
    );
    assert_eq!(
        total("/short-urls/a/visits?itemsPerPage=2&page=4").await,
        (0, 5)
    );
    let visits = get(&server, "/short-urls/b/visits").await;
    assert_eq!(
        visits["visits"]["data"][0],
        json!({
            "referer": "",
            "date": "2027-01-15T08:00:00+00:00",
            "userAgent": "curl/8.5.0",
            "visitLocation": null,
            "potentialBot": true,
            "visitedUrl": "http://s.example/b",
            "redirectUrl": null,
        })
    );
    let orphans = get(&server, "/visits/orphan").await;
    assert_eq!(orphans["visits"]["data"][0]["type"], "invalid_short_url");
    assert_eq!(
        orphans["visits"]["data"][0]["visitedUrl"],
        "http://s.example/gone"
    );
    assert_eq!(
        get(&server, "/visits").await["visits"],
        json!({
            "nonOrphanVisits": {"total": 6, "nonBots": 5, "bots": 1},
            "orphanVisits": {"total": 2, "nonBots": 2, "bots": 0},
        })
    );
    let deleted = ask(&server, "DELETE", "/short-urls/a/visits", Value::Null).await;
    assert_eq!(deleted.json(), json!({"deletedVisits": 5}));
    assert_eq!(total("/short-urls/a/visits").await, (0, 0));
    let answer = ask(&server, "DELETE", "/visits/orphan", Value::Null).await;
    failure(&answer, 501, "about:blank");
    for (path, status, kind) in [
        ("/short-urls/none/visits", 404, "short-url-not-found"),
        ("/tags/none/visits", 404, "tag-not-found"),
        ("/domains/else.example/visits", 404, "domain-not-found"),
        ("/visits/orphan?type=odd", 400, "invalid-data"),
        ("/short-urls/a/visits?startDate=soon", 400, "invalid-data"),
        (
            "/short-urls/a/visits?startDate=1900-01-01",
            400,
            "invalid-data",
        ),
        ("/short-urls/a/visits?page=900000", 400, "invalid-data"),
    ] {
        let answer = ask(&server, "GET", path, Value::Null).await;
        failure(&answer, status, kind);
    }
}

#[tokio::test]
async fn tags_are_counted_renamed_and_deleted() {
    let server = visited().await;
    let body = json!({"longUrl": "https://example.com", "customSlug": "c", "tags": ["x", "y"]});
    create(&server, body).await;
    assert_eq!(
        get(&server, "/tags").await["tags"]["data"],
        json!(["x", "y"])
    );
    assert_eq!(
        get(&server, "/tags?searchTerm=Y").await["tags"]["data"],
        json!(["y"])
    );
    let stats = get(&server, "/tags/stats?orderBy=visits-DESC").await;
    assert_eq!(
        stats["tags"]["data"],
        json!([
            {"tag": "x", "shortUrlsCount": 2, "visitsSummary": {"total": 5, "nonBots": 5, "bots": 0}},
            {"tag": "y", "shortUrlsCount": 1, "visitsSummary": {"total": 0, "nonBots": 0, "bots": 0}},
        ])
    );
    let rename = async |old: &str, new: &str| {
        let body = json!({"oldName": old, "newName": new});
        ask(&server, "PUT", "/tags", body).await
    };
    failure(&rename("none", "z").await, 404, "tag-not-found");
    let conflict = failure(&rename("x", "y").await, 409, "tag-conflict");
    assert_eq!(
        (&conflict["oldName"], &conflict["newName"]),
        (&json!("x"), &json!("y"))
    );
    let wrong = failure(&rename("x", "a,b").await, 400, "invalid-data");
    assert_eq!(wrong["invalidElements"], json!(["newName"]));
    assert_eq!(rename("x", "Z").await.status, 204);
    assert_eq!(
        get(&server, "/tags").await["tags"]["data"],
        json!(["y", "z"])
    );
    assert_eq!(
        get(&server, "/short-urls/c").await["tags"],
        json!(["y", "z"])
    );
    let deleted = ask(&server, "DELETE", "/tags?tags[]=z&tags[]=none", Value::Null).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(get(&server, "/tags").await["tags"]["data"], json!(["y"]));
}

#[tokio::test]
async fn redirect_rules_go_back_and_forth() {
    let server = start().await;
    create(
        &server,
        json!({"longUrl": "https://example.com", "customSlug": "r"}),
    )
    .await;
    let path = "/short-urls/r/redirect-rules";
    assert_eq!(
        get(&server, path).await,
        json!({"defaultLongUrl": "https://example.com/", "redirectRules": []})
    );
    let condition = |kind: &str, key: Value, value: Value| json!({"type": kind, "matchKey": key, "matchValue": value});
    let rules = json!([
        {
            "longUrl": "https://example.com/android",
            "conditions": [
                condition("device", Value::Null, json!("android")),
                condition("language", Value::Null, json!("pt-BR")),
            ],
        },
        {
            "longUrl": "https://example.com/query",
            "conditions": [
                condition("query-param", json!("a"), json!("b")),
                condition("any-value-query-param", json!("c"), Value::Null),
                condition("after-date", Value::Null, json!("2027-01-01T00:00:00+00:00")),
            ],
        },
    ]);
    let mut expected = rules.clone();
    for place in 0..2 {
        expected[place]["priority"] = (place + 1).into();
    }
    let set = ask(&server, "POST", path, json!({"redirectRules": rules}))
        .await
        .json();
    assert_eq!(set["redirectRules"], expected);
    assert_eq!(get(&server, path).await, set);
    assert_eq!(
        get(&server, "/short-urls/r").await["hasRedirectRules"],
        true
    );
    let native = server.get("/api/v1/links/r").await.json();
    assert_eq!(
        native["rules"][0]["if"][0],
        json!({"type": "os", "is": "android"})
    );
    for rules in [
        json!([{"longUrl": "nowhere", "conditions": []}]),
        json!([{"longUrl": "https://a.example", "conditions": "foo"}]),
        json!([{"longUrl": "https://a.example", "conditions": [condition("browser", Value::Null, json!("edge"))]}]),
        json!([{"longUrl": "https://a.example", "conditions": [condition("language", Value::Null, json!("not a tag"))]}]),
        json!([{"conditions": []}]),
        json!({}),
    ] {
        let answer = ask(&server, "POST", path, json!({"redirectRules": rules})).await;
        let wrong = failure(&answer, 400, "invalid-data");
        assert_eq!(
            wrong["invalidElements"],
            json!(["redirectRules"]),
            "{rules}"
        );
    }
    assert_eq!(
        get(&server, path).await,
        set,
        "a refused edit changes nothing"
    );
    let missing = ask(
        &server,
        "GET",
        "/short-urls/none/redirect-rules",
        Value::Null,
    )
    .await;
    failure(&missing, 404, "short-url-not-found");
}

#[tokio::test]
async fn domains_health_and_what_is_not_there() {
    let server = start().await;
    let none = json!({
        "baseUrlRedirect": null,
        "regular404Redirect": null,
        "invalidShortUrlRedirect": null,
    });
    assert_eq!(
        get(&server, "/domains").await["domains"],
        json!({
            "data": [
                {"domain": "s.example", "isDefault": true, "redirects": none},
                {"domain": "go.example", "isDefault": false, "redirects": none},
            ],
            "defaultRedirects": none,
        })
    );
    let redirects = async |body: Value| ask(&server, "PATCH", "/domains/redirects", body).await;
    let cleared = json!({"domain": "go.example", "baseUrlRedirect": null});
    assert_eq!(redirects(cleared).await.json(), none);
    let wanted = json!({"domain": "go.example", "baseUrlRedirect": "https://example.com"});
    failure(&redirects(wanted).await, 501, "about:blank");
    let unknown = json!({"domain": "else.example"});
    failure(&redirects(unknown).await, 404, "domain-not-found");
    for path in ["/rest/health", "/rest/v1/health", "/rest/v3/health"] {
        let request = Request::get(path)
            .header("host", "admin")
            .body(full(""))
            .unwrap();
        let health = server.send(request).await.json();
        assert_eq!(health["status"], "pass");
        assert!(health["version"].as_str().unwrap().starts_with("4."));
    }
    let mercure = ask(&server, "GET", "/mercure-info", Value::Null).await;
    failure(&mercure, 501, "mercure-not-configured");
    failure(
        &ask(&server, "GET", "/nothing", Value::Null).await,
        404,
        "not-found",
    );
    let wrong = ask(&server, "PUT", "/short-urls", Value::Null).await;
    failure(&wrong, 405, "urn:tollgate:problem:method-not-allowed");
    let strange = ask(&server, "GET", "/short-urls/%ff%fe", Value::Null).await;
    failure(&strange, 400, "invalid-data");
}

#[tokio::test]
async fn keys_are_asked_for_and_their_scopes_count() {
    let server = start().await;
    let of = async |key: &str, method: &str, path: &str| {
        ask_as(
            &server,
            key,
            method,
            path,
            &json!({"longUrl": "https://a.example"}),
        )
        .await
    };
    let missing = failure(
        &of("", "GET", "/short-urls").await,
        401,
        "missing-authentication",
    );
    assert_eq!(missing["title"], "Invalid authorization");
    for key in ["x", "tg_00000000000000000000"] {
        failure(&of(key, "GET", "/short-urls").await, 401, "invalid-api-key");
    }
    create(
        &server,
        json!({"longUrl": "https://a.example", "customSlug": "a"}),
    )
    .await;
    let reader = server.key(&[Scope::LinksRead], None).await;
    assert_eq!(of(&reader, "GET", "/short-urls").await.status, 200);
    for (method, path) in [
        ("POST", "/short-urls"),
        ("PATCH", "/short-urls/a"),
        ("DELETE", "/short-urls/a"),
        ("POST", "/short-urls/a/redirect-rules"),
        ("GET", "/short-urls/a/visits"),
        ("DELETE", "/short-urls/a/visits"),
        ("GET", "/tags/stats"),
        ("PUT", "/tags"),
        ("DELETE", "/tags?tags[]=a"),
        ("GET", "/tags/a/visits"),
        ("GET", "/domains/DEFAULT/visits"),
        ("PATCH", "/domains/redirects"),
        ("GET", "/visits"),
        ("GET", "/visits/orphan"),
        ("GET", "/visits/non-orphan"),
    ] {
        let refused = of(&reader, method, path).await;
        failure(&refused, 403, "urn:tollgate:problem:missing-scope");
    }
    let domain = Domain::parse("go.example").unwrap();
    let scopes = [Scope::LinksRead, Scope::LinksWrite, Scope::StatsRead];
    let bound = server.key(&scopes, Some(domain)).await;
    let made = of(&bound, "POST", "/short-urls").await.json();
    assert_eq!(made["domain"], "go.example");
    let list = of(&bound, "GET", "/short-urls").await.json();
    assert_eq!(list["shortUrls"]["pagination"]["totalItems"], 1);
    let domains = of(&bound, "GET", "/domains").await.json();
    assert_eq!(domains["domains"]["data"].as_array().unwrap().len(), 1);
    assert_eq!(of(&bound, "GET", "/visits").await.status, 200);
    for path in [
        "/short-urls?domain=DEFAULT",
        "/visits/orphan",
        "/short-urls/a?domain=DEFAULT",
    ] {
        let refused = of(&bound, "GET", path).await;
        failure(&refused, 403, "urn:tollgate:problem:foreign-domain");
    }
}

#[tokio::test]
async fn bodies_are_checked_field_by_field() {
    let server = start().await;
    for (body, element) in [
        (json!({}), "longUrl"),
        (json!({"longUrl": 7}), "longUrl"),
        (json!({"longUrl": "nowhere"}), "longUrl"),
        (json!({"longUrl": "http://s.example/a"}), "longUrl"),
        (
            json!({"longUrl": "https://a.example", "customSlug": "a/b"}),
            "customSlug",
        ),
        (
            json!({"longUrl": "https://a.example", "pathPrefix": "x-"}),
            "pathPrefix",
        ),
        (
            json!({"longUrl": "https://a.example", "shortCodeLength": 3}),
            "shortCodeLength",
        ),
        (
            json!({"longUrl": "https://a.example", "domain": "else.example"}),
            "domain",
        ),
        (
            json!({"longUrl": "https://a.example", "validSince": "soon"}),
            "validSince",
        ),
        (
            json!({"longUrl": "https://a.example", "validUntil": "2001-01-01"}),
            "validUntil",
        ),
        (
            json!({"longUrl": "https://a.example", "maxVisits": 0}),
            "maxVisits",
        ),
        (
            json!({"longUrl": "https://a.example", "maxVisits": -1}),
            "maxVisits",
        ),
        (
            json!({"longUrl": "https://a.example", "tags": ["a,b"]}),
            "tags",
        ),
    ] {
        let answer = ask(&server, "POST", "/short-urls", body.clone()).await;
        let wrong = failure(&answer, 400, "invalid-data");
        assert_eq!(wrong["invalidElements"], json!([element]), "{body}");
    }
    for body in ["{", "[]", "null", ""] {
        let request = Request::post("/rest/v3/short-urls")
            .header("host", "admin")
            .header("x-api-key", &server.admin)
            .body(full(body))
            .unwrap();
        failure(&server.send(request).await, 400, "invalid-data");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_ask() {
    let server = start().await;
    let preflight = Request::options("/rest/v3/short-urls")
        .header("host", "admin")
        .header("origin", "https://app.shlink.io")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-api-key")
        .body(full(""))
        .unwrap();
    let allowed = server.send(preflight).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("X-Api-Key")
    );
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(
            allowed
                .header("access-control-allow-methods")
                .contains(method)
        );
    }
    for path in ["/rest/v3/health", "/rest/v3/short-urls", "/rest/v3/nothing"] {
        let request = Request::get(path)
            .header("host", "admin")
            .header("origin", "https://app.shlink.io")
            .body(full(""))
            .unwrap();
        let answer = server.send(request).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
    let native = server
        .request("GET", "/api/v1/links")
        .header("origin", "https://a.example");
    let native = server.send(native.body(full("")).unwrap()).await;
    assert_eq!(native.header("access-control-allow-origin"), "");
}

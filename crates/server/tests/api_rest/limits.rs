//! The limit service over HTTP.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tollgate_access::Scope;

use crate::queue_places::places;
use crate::server::{Answer, Server, empty, full};

const CHECK: &str = "/api/v1/limits/check";
const AUTHORIZE: &str = "/api/v1/limits/authorize";
const POLICIES: &str = "/api/v1/limits/policies";

async fn check(server: &Server, domain: &str, by: &[(&str, &str)], hits: u64) -> Answer {
    let descriptors: Vec<Value> = by
        .iter()
        .map(|(key, value)| json!([{"key": key, "value": value}]))
        .collect();
    let body = json!({"domain": domain, "descriptors": descriptors, "hits": hits});
    server.post(CHECK, &body).await
}

/// Asks as a proxy that has a key of its own.
async fn authorize(server: &Server, query: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder()
        .uri(format!("{AUTHORIZE}{query}"))
        .header("host", "admin")
        .header("x-tollgate-key", &server.admin);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(empty()).unwrap()).await
}

async fn put(server: &Server, domain: &str, yaml: &str) -> Answer {
    let request = server
        .request("PUT", &format!("{POLICIES}/{domain}"))
        .header("content-type", "application/yaml");
    server
        .send(request.body(full(yaml.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn a_limit_is_counted_down_told_and_reset() {
    let server = Server::start().await;
    for left in [2, 1, 0] {
        let answer = check(&server, "shop", &[("user", "u1")], 1).await;
        let body = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(body["allowed"], true);
        let status = &body["statuses"][0];
        assert_eq!(status["policy"], "per_user");
        assert_eq!(
            (&status["limit"], &status["window_ms"]),
            (&json!(3), &json!(60_000))
        );
        assert_eq!(status["remaining"], left);
        assert_eq!(answer.header("ratelimit-policy"), r#""per_user";q=3;w=60"#);
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"per_user\";r={left};t="))
        );
    }
    let refused = check(&server, "shop", &[("user", "u1")], 1).await;
    assert_eq!(refused.status, 200, "the question was answered");
    let body = refused.json();
    assert_eq!(body["allowed"], false);
    assert_eq!(body["statuses"][0]["outcome"], "over_limit");
    let retry = body["statuses"][0]["retry_after_ms"].as_u64().unwrap();
    let header: u64 = refused.header("retry-after").parse().unwrap();
    assert_eq!(header, retry.div_ceil(1000));
    assert_eq!(
        check(&server, "shop", &[("user", "u2")], 1).await.json()["allowed"],
        true
    );
    server.clock.advance(Duration::from_millis(retry));
    assert_eq!(
        check(&server, "shop", &[("user", "u1")], 1).await.json()["allowed"],
        true
    );
}

#[tokio::test]
async fn a_request_refused_by_one_limit_costs_nothing_on_the_others() {
    let server = Server::start().await;
    let both = [("user", "u1"), ("plan", "free")];
    for allowed in [true, true, false, false] {
        let answer = check(&server, "shop", &both, 1).await.json();
        assert_eq!(answer["allowed"], allowed);
    }
    let alone = check(&server, "shop", &[("user", "u1")], 0).await.json();
    assert_eq!(alone["statuses"][0]["remaining"], 1);
}

#[tokio::test]
async fn what_no_policy_is_for_is_allowed_and_counted() {
    let server = Server::start().await;
    let answer = check(&server, "nowhere", &[("user", "u1")], 1).await.json();
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["statuses"][0]["outcome"], "unmatched");
    let answer = check(&server, "shop", &[("plan", "gold")], 1).await.json();
    assert_eq!(
        answer["statuses"][0],
        json!({"allowed": true, "outcome": "unmatched"})
    );
    let stats = server.limits.service.stats();
    assert_eq!((stats.unknown_domain, stats.unmatched), (1, 1));
}

#[tokio::test]
async fn shadow_mode_only_says_what_it_would_have_done() {
    let server = Server::start().await;
    for would_refuse in [Value::Null, json!(true)] {
        let answer = check(&server, "shop", &[("watched", "x")], 1).await.json();
        assert_eq!(answer["allowed"], true);
        assert_eq!(answer["statuses"][0]["would_refuse"], would_refuse);
    }
}

#[tokio::test]
async fn those_who_are_refused_most_are_told_first() {
    let server = Server::start().await;
    for (user, times) in [("a", 5), ("b", 9), ("c", 2)] {
        for _ in 0..times {
            let _ = check(&server, "shop", &[("user", user)], 1).await;
        }
    }
    let list = server.get("/api/v1/limits/denied?limit=5").await.json();
    let expected = json!([
        {"domain": "shop", "policy": "per_user", "count": 6, "error": 0,
         "descriptor": [{"key": "user", "value": "b"}]},
        {"domain": "shop", "policy": "per_user", "count": 2, "error": 0,
         "descriptor": [{"key": "user", "value": "a"}]},
    ]);
    assert_eq!(list["denied"], expected);
    let bad = server.get("/api/v1/limits/denied?limit=0").await;
    bad.problem(400, "invalid-query");
}

#[tokio::test]
async fn questions_that_make_no_sense_name_the_field() {
    let server = Server::start().await;
    let entry = json!([{"key": "a", "value": "b"}]);
    for (body, field) in [
        (json!({"domain": "", "descriptors": [entry]}), "domain"),
        (json!({"domain": "x", "descriptors": []}), "descriptors"),
        (
            json!({"domain": "x", "descriptors": [entry, []]}),
            "descriptors[1]",
        ),
        (
            json!({"domain": "x", "descriptors": [entry], "hits": 1_u64 << 60}),
            "hits",
        ),
        (
            json!({"domain": "x", "descriptors": [[{"key": "k".repeat(5_000), "value": ""}]]}),
            "descriptors[0]",
        ),
    ] {
        let problem = server
            .post(CHECK, &body)
            .await
            .problem(422, "invalid-fields");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let unknown = json!({"domain": "x", "descriptors": [entry], "cost": 1});
    assert_eq!(server.post(CHECK, &unknown).await.status, 422);
}

#[tokio::test]
async fn a_key_needs_the_scope() {
    let server = Server::start().await;
    let weak = server.key(&[Scope::LinksRead], None).await;
    let strong = server.key(&[Scope::LimitsCheck], None).await;
    let ask = |key: String, method: &'static str, path: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .header("authorization", format!("Bearer {key}"));
        server.send(request.body(empty()).unwrap())
    };
    ask(weak.clone(), "GET", POLICIES)
        .await
        .problem(403, "missing-scope");
    ask(weak, "GET", AUTHORIZE)
        .await
        .problem(403, "missing-scope");
    assert_eq!(ask(strong.clone(), "GET", POLICIES).await.status, 200);
    assert_eq!(ask(strong.clone(), "GET", AUTHORIZE).await.status, 200);
    let delete = ask(strong, "DELETE", "/api/v1/limits/policies/shop").await;
    delete.problem(403, "missing-scope");
}

#[tokio::test]
async fn a_proxy_is_told_to_refuse_with_a_whole_429() {
    let server = Server::start().await;
    let client = [("x-forwarded-for", "203.0.113.9")];
    for left in [1, 0] {
        let answer = authorize(&server, "", &client).await;
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"per_address\";r={left};t="))
        );
    }
    let refused = authorize(&server, "", &client).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(
        refused.header("ratelimit-policy"),
        r#""per_address";q=2;w=60"#
    );
    let problem = refused.json();
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["violated-policies"], json!(["per_address"]));
    assert_eq!(authorize(&server, "?deny=403", &client).await.status, 403);
    let other = [("x-forwarded-for", "203.0.113.10")];
    assert_eq!(authorize(&server, "", &other).await.status, 200);
}

#[tokio::test]
async fn a_proxy_may_name_the_domain_and_what_to_count_by() {
    let server = Server::start().await;
    let yaml = "domain: api\ndescriptors:\n- key: x-tenant\n  descriptors:\n  - key: method\n    \
                rate_limit: {unit: hour, requests_per_unit: 1}\n";
    assert_eq!(put(&server, "api", yaml).await.status, 204);
    let query = "?domain=api&by=header:X-Tenant,method";
    let a = [("x-tenant", "a"), ("x-forwarded-method", "POST")];
    assert_eq!(authorize(&server, query, &a).await.status, 200);
    assert_eq!(authorize(&server, query, &a).await.status, 429);
    let get = [("x-tenant", "a"), ("x-forwarded-method", "GET")];
    assert_eq!(authorize(&server, query, &get).await.status, 200);
    assert_eq!(
        authorize(&server, query, &[]).await.status,
        200,
        "nothing to count by"
    );
    for bad in ["?by=colour", "?by=header:", "?deny=200", "?nonsense=1"] {
        authorize(&server, bad, &[])
            .await
            .problem(400, "invalid-query");
    }
    let request = Request::builder().uri(AUTHORIZE).header("host", "admin");
    let answer = server.send(request.body(empty()).unwrap()).await;
    answer.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_proxy_that_gives_up_waiting_gives_the_place_back() {
    let server = Server::start().await;
    let yaml = "domain: slow\ndescriptors:\n- key: path\n  rate_limit: {unit: day, \
                requests_per_unit: 1, burst: 3, on_exceed: queue}\n";
    assert_eq!(put(&server, "slow", yaml).await.status, 204);
    let query = "?domain=slow&by=path";
    let path = [("x-forwarded-uri", "/a")];
    assert_eq!(authorize(&server, query, &path).await.status, 200);
    let places =
        async |wanted| places(&server.limits.service, "slow", ("path", "/a"), wanted).await;
    places(2).await;
    tokio::select! {
        answer = authorize(&server, query, &path) => panic!("{}", answer.status),
        () = places(1) => {}
    }
    places(2).await;
}

#[tokio::test]
async fn policies_are_shown_set_kept_and_taken_back() {
    let server = Server::start().await;
    let list = server.get(POLICIES).await.json();
    let domain = |list: &Value, name: &str| {
        let mut domains = list["domains"].as_array().unwrap().iter();
        domains.find(|d| d["domain"] == name).cloned().unwrap()
    };
    let shop = domain(&list, "shop");
    assert_eq!(shop["origin"], "file");
    assert_eq!(shop["policies"][0]["name"], "per_user");
    assert_eq!(shop["policies"][0]["algorithm"], "fixed_window");
    assert_eq!(domain(&list, "tollgate")["origin"], "built_in");

    let yaml = "domain: shop\ndescriptors:\n- key: user\n  rate_limit: {unit: minute, requests_per_unit: 1}\n";
    assert_eq!(put(&server, "shop", yaml).await.status, 204);
    let text = server.get(&format!("{POLICIES}/shop")).await;
    assert_eq!(text.header("content-type"), "application/yaml");
    assert_eq!(text.body, yaml);
    assert_eq!(
        domain(&server.get(POLICIES).await.json(), "shop")["origin"],
        "api"
    );
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.json()["allowed"],
        true
    );
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.json()["allowed"],
        false
    );
    let policy = &domain(&server.get(POLICIES).await.json(), "shop")["policies"][0];
    let counts = ["allowed", "denied", "would_deny", "errors"].map(|name| policy[name].clone());
    assert_eq!(counts, [1, 1, 0, 0]);
    assert!(policy["p50_us"].as_u64() <= policy["p99_us"].as_u64());
    assert!(policy["p99_us"].is_u64(), "{policy}");
    let kept = server.policies.path().join("kept/shop.yaml");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), yaml);

    let delete = server.request("DELETE", &format!("{POLICIES}/shop"));
    assert_eq!(server.send(delete.body(empty()).unwrap()).await.status, 204);
    assert!(!kept.exists());
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.json()["allowed"],
        true
    );
    let delete = server.request("DELETE", &format!("{POLICIES}/shop"));
    let answer = server.send(delete.body(empty()).unwrap()).await;
    answer.problem(404, "policies-not-found");
    let absent = server.get(&format!("{POLICIES}/absent")).await;
    absent.problem(404, "policies-not-found");
}

#[tokio::test]
async fn policies_that_are_wrong_change_nothing() {
    let server = Server::start().await;
    let wrong = "domain: shop\ndescriptors:\n- key: user\n  rate_limit: {unit: fortnight, requests_per_unit: 1}\n";
    let problem = put(&server, "shop", wrong)
        .await
        .problem(422, "invalid-fields");
    assert_eq!(problem["line"], 4, "{problem}");
    for (domain, yaml) in [
        ("other", "domain: shop\n"),
        ("shop", "domain: shop\n---\ndomain: more\n"),
        ("shop", ""),
    ] {
        assert_eq!(put(&server, domain, yaml).await.status, 422, "{yaml:?}");
    }
    let json = server
        .json("PUT", &format!("{POLICIES}/shop"), None, &json!({}))
        .await;
    json.problem(415, "unsupported-media-type");
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 3).await.json()["allowed"],
        true
    );
    assert!(!server.policies.path().join("kept").exists());
}

#[tokio::test]
async fn a_changed_file_is_put_in_force_and_a_broken_one_is_not() {
    let server = Server::start().await;
    let file = server.policies.path().join("limits.yaml");
    let yaml = |n: u32| {
        format!(
            "domain: shop\ndescriptors:\n- key: user\n  rate_limit: {{unit: minute, requests_per_unit: {n}}}\n"
        )
    };
    let book = &server.limits.book;
    assert!(book.reload().unwrap().is_empty(), "nothing has changed");
    std::fs::write(&file, yaml(1)).unwrap();
    assert_eq!(book.reload().unwrap().len(), 1);
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 2).await.json()["allowed"],
        false
    );
    std::fs::write(
        &file,
        "domain: shop\ndescriptors: [{key: user, rate_limit: {unit: never}}]",
    )
    .unwrap();
    let error = book.reload().unwrap_err().to_string();
    assert!(error.contains("limits.yaml:2:"), "{error}");
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.json()["allowed"],
        true
    );
    std::fs::remove_file(&file).unwrap();
    assert!(
        book.reload().is_err(),
        "a file that is gone takes no limits away"
    );
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.json()["allowed"],
        false
    );
    std::fs::write(&file, yaml(9)).unwrap();
    assert_eq!(book.reload().unwrap().len(), 1);
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 8).await.json()["allowed"],
        true
    );
}

#[tokio::test]
async fn a_key_that_is_over_its_own_limit_may_still_ask_for_others() {
    let server = Server::start().await;
    let yaml = "domain: tollgate\ndescriptors:\n- key: api_key\n  \
                rate_limit: {name: api_requests, unit: hour, requests_per_unit: 3}\n";
    assert_eq!(put(&server, "tollgate", yaml).await.status, 204);
    while server.get("/api/v1/links").await.status == 200 {}
    let refused = server.get("/api/v1/links").await;
    assert_eq!(refused.json()["violated-policies"], json!(["api_requests"]));
    assert_eq!(
        check(&server, "shop", &[("user", "a")], 1).await.status,
        200
    );
    assert_eq!(authorize(&server, "", &[]).await.status, 200);
}

#[tokio::test]
async fn the_api_guards_itself() {
    let server = Server::start().await;
    let yaml = "domain: tollgate\ndescriptors:\n- key: create\n  descriptors:\n  - key: api_key\n    \
                rate_limit: {name: creations, unit: hour, requests_per_unit: 2}\n";
    assert_eq!(put(&server, "tollgate", yaml).await.status, 204);
    let draft = json!({"url": "https://a.example/"});
    for _ in 0..2 {
        assert_eq!(server.post("/api/v1/links", &draft).await.status, 201);
    }
    let refused = server.post("/api/v1/links", &draft).await;
    assert_eq!(refused.status, 429);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(refused.json()["violated-policies"], json!(["creations"]));
    let bulk = server.post("/api/v1/links/bulk", &json!([draft])).await;
    assert_eq!(bulk.status, 429);
    assert_eq!(
        server.get("/api/v1/links").await.status,
        200,
        "other requests go on"
    );
}

//! Links are made: codes of every strategy, aliases, refusals, repetitions.

use serde_json::json;

use crate::server::{Options, Server};

#[test]
fn every_strategy_makes_codes_that_redirect() {
    let server = Server::start();
    let client = server.client();
    for strategy in ["counter", "hash", "snowflake", "pool", "random"] {
        let target = format!("https://example.com/{strategy}?q=1#top");
        let link = client.create(&json!({"url": target, "strategy": strategy}));
        assert_eq!(link["origin"], strategy);
        assert_eq!(link["state"], "live");
        let code = link["code"].as_str().unwrap();
        assert_eq!(link["short_url"], format!("{}/{code}", server.edge));
        let reply = client.visit(code).expect(302);
        assert_eq!(reply.location(), target);
        assert!(reply.body.is_empty(), "a redirect has no body");
    }
}

#[test]
fn the_default_strategy_and_length_come_from_the_configuration() {
    let server = Options::default()
        .config("[links]\nstrategy = \"random\"\ncode_length = 9")
        .start();
    let link = server
        .client()
        .create(&json!({"url": "https://a.example/"}));
    assert_eq!(link["origin"], "random");
    assert_eq!(link["code"].as_str().unwrap().len(), 9);
}

#[test]
fn aliases_may_be_in_any_script_and_are_compared_composed() {
    let server = Server::start();
    let client = server.client();
    for alias in ["spring-sale", "größe", "東京_2026", "v1.2"] {
        let link = client.create(&json!({"url": "https://a.example/", "code": alias}));
        assert_eq!(link["code"], alias);
        assert_eq!(link["origin"], "alias");
        assert_eq!(client.visit(alias).status, 302, "{alias}");
    }
    // The same word with combining characters names the same link.
    assert_eq!(client.visit("gro\u{308}ße").status, 302);
    let again = json!({"url": "https://b.example/", "code": "gro\u{308}ße"});
    client.draft(&again).problem(409, "code-taken");
}

#[test]
fn case_can_be_made_to_not_matter() {
    let server = Options::default()
        .config("[links]\ncase_insensitive = true")
        .start();
    let client = server.client();
    client.create(&json!({"url": "https://a.example/", "code": "Sale"}));
    assert_eq!(client.visit("SALE").status, 302);
    let again = json!({"url": "https://b.example/", "code": "sALE"});
    client.draft(&again).problem(409, "code-taken");
    let made = client.code(&json!({"url": "https://c.example/"}));
    assert_eq!(made, made.to_lowercase());
}

#[test]
fn wrong_fields_are_all_named_at_once() {
    let server = Server::start();
    let client = server.client();
    let problem = client
        .draft(&json!({"url": "ftp://a.example/", "redirect": 200, "max_clicks": 0}))
        .problem(422, "invalid-fields");
    let mut fields: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["max_clicks", "redirect", "url"], "{problem}");
}

#[test]
fn dangerous_targets_and_codes_are_refused() {
    let server = Server::start();
    let client = server.client();
    let host = server.edge.trim_start_matches("http://");
    for (field, draft) in [
        ("url", json!({"url": "javascript:alert(1)"})),
        ("url", json!({"url": "https://user:secret@a.example/"})),
        ("url", json!({"url": "https://a.example/\r\nSet-Cookie: x"})),
        ("url", json!({"url": format!("http://{host}/abc")})),
        (
            "url",
            json!({"url": format!("https://a.example/{}", "x".repeat(8_200))}),
        ),
        ("url", json!({"url": ""})),
        ("code", json!({"url": "https://a.example/", "code": "a/b"})),
        ("code", json!({"url": "https://a.example/", "code": ""})),
        (
            "code",
            json!({"url": "https://a.example/", "code": "x".repeat(129)}),
        ),
        (
            "code",
            json!({"url": "https://a.example/", "code": "robots.txt"}),
        ),
        (
            "domain",
            json!({"url": "https://a.example/", "domain": "unknown.example"}),
        ),
        (
            "expires_at",
            json!({"url": "https://a.example/", "expires_at": "tomorrow"}),
        ),
        (
            "tags",
            json!({"url": "https://a.example/", "tags": ["a,b"]}),
        ),
        (
            "rules",
            json!({"url": "https://a.example/", "rules": [{"if": [], "url": "no"}]}),
        ),
        ("utl", json!({"url": "https://a.example/", "utl": "x"})),
    ] {
        let problem = client.draft(&draft).problem(422, "invalid-fields");
        let named = problem["errors"][0]["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{draft} names {named}");
    }
}

#[test]
fn reuse_finds_the_equal_link_and_no_other() {
    let server = Server::start();
    let client = server.client();
    let first = client.create(&json!({"url": "https://a.example/x", "reuse": true}));
    let same = client
        .draft(&json!({"url": "HTTPS://A.example:443/x", "reuse": true}))
        .expect(200)
        .json();
    assert_eq!(first["code"], same["code"]);
    let other = json!({"url": "https://a.example/x", "reuse": true, "redirect": 301});
    assert_ne!(first["code"], client.create(&other)["code"]);
    let without = client.create(&json!({"url": "https://a.example/x"}));
    assert_ne!(first["code"], without["code"]);
}

#[test]
fn a_request_sent_twice_under_one_key_makes_one_link() {
    let server = Server::start();
    let client = server.client();
    let draft = json!({"url": "https://a.example/", "title": "once"});
    let send = |key: &str, draft| {
        client.api_with("POST", "/api/v1/links", &[("idempotency-key", key)], draft)
    };
    let first = send("order-1", &draft).expect(201).json();
    let second = send("order-1", &draft);
    assert!(matches!(second.status, 200 | 201), "{}", second.text());
    assert_eq!(second.json()["code"], first["code"]);
    assert_ne!(
        send("order-2", &draft).expect(201).json()["code"],
        first["code"]
    );
    let another = json!({"url": "https://b.example/"});
    send("order-1", &another).problem(422, "idempotency-mismatch");
    let listed = client.api("GET", "/api/v1/links").expect(200).json();
    assert_eq!(listed["links"].as_array().unwrap().len(), 2);
}

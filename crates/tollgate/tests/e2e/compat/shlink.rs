//! `@shlinkio/shlink-js-sdk` from npm, the client that Shlink's web client is made with.

use std::process::Command;

use serde_json::{Value, json};

use super::{Caller, HERE, click, start};

fn sdk(url: &str, key: &str) -> Caller {
    let modules = std::env::var("SHLINK_CLIENT")
        .expect("SHLINK_CLIENT says where npm installed it: see scripts/test");
    let mut command = Command::new("node");
    command
        .arg(format!("{HERE}/client.mjs"))
        .args([&modules, url, key]);
    Caller::start(&mut command)
}

/// Both ways in which it speaks HTTP.
#[test]
#[ignore = "needs a client from npm: scripts/test e2e"]
fn the_client_of_shlink_goes_all_its_ways() {
    for way in ["fetch", "node"] {
        round_trip(way);
    }
}

fn round_trip(way: &str) {
    let server = start("shlink");
    let client = server.client();
    let mut sdk = sdk(&server.admin, &server.key);
    let mut call = |method: &str, parameters: Value| {
        let mut call = vec![json!(format!("{way}.{method}"))];
        call.extend(parameters.as_array().unwrap().clone());
        sdk.call(&call.into())
    };

    let health = call("health", json!([]));
    assert_eq!(health["status"], "pass", "{health}");

    // Made, found, edited.
    let wanted = json!({
        "longUrl": "https://example.com/spring?a=1",
        "customSlug": "spring",
        "tags": ["sale", "spring"],
        "title": "Spring",
        "maxVisits": 100,
        "findIfExists": true,
    });
    let made = call("createShortUrl", json!([wanted]));
    assert_eq!(made["shortUrl"], client.edge("spring"), "{made}");
    assert_eq!(made["meta"]["maxVisits"], 100);
    assert_eq!(made["tags"], json!(["sale", "spring"]));
    assert_eq!(call("createShortUrl", json!([wanted])), made);
    let other = json!({"longUrl": "https://example.com/other", "tags": ["sale"]});
    let other = call("createShortUrl", json!([other]));
    let other_code = other["shortCode"].as_str().unwrap();
    let spring = json!({"shortCode": "spring"});
    assert_eq!(call("getShortUrl", json!([spring])), made);
    let changes =
        json!({"title": "Summer", "maxVisits": null, "validUntil": "2099-01-01T00:00:00+00:00"});
    let edited = call("updateShortUrl", json!([spring, changes]));
    assert_eq!(edited["title"], "Summer", "{edited}");
    assert_eq!(edited["meta"]["maxVisits"], Value::Null);
    assert_eq!(edited["meta"]["validUntil"], "2099-01-01T00:00:00+00:00");

    // Followed.
    let answer = client.visit("spring");
    assert_eq!(answer.location(), "https://example.com/spring?a=1");
    click(&client, other_code, 3);
    client.visit("nothing-here").expect(404);
    crate::server::eventually("all visits", || {
        let overview = call("getVisitsOverview", json!([]));
        let seen = (
            &overview["nonOrphanVisits"]["total"],
            &overview["orphanVisits"]["total"],
        );
        (seen == (&json!(4), &json!(1))).then_some(())
    });

    // Listed.
    let list = call(
        "listShortUrls",
        json!([{"orderBy": {"field": "visits", "dir": "DESC"}}]),
    );
    assert_eq!(list["data"][0]["shortCode"], other_code, "{list}");
    assert_eq!(list["data"][0]["visitsSummary"]["total"], 3);
    assert_eq!(list["pagination"]["totalItems"], 2);
    let query = json!({
        "searchTerm": "summ", "tags": ["sale", "spring"], "tagsMode": "all", "page": "1",
        "itemsPerPage": 5, "excludeMaxVisitsReached": true, "excludePastValidUntil": true,
        "domain": "DEFAULT", "startDate": "2020-01-01T00:00:00+00:00",
    });
    let list = call("listShortUrls", json!([query]));
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["data"][0]["shortCode"], "spring");
    assert_eq!(list["pagination"]["itemsPerPage"], 5);

    // Visits.
    for (method, parameters, total) in [
        (
            "getShortUrlVisits",
            json!([{"shortCode": other_code}, {"itemsPerPage": 2}]),
            3,
        ),
        ("getTagVisits", json!(["sale"]), 4),
        ("getTagVisits", json!(["spring", {"domain": "DEFAULT"}]), 1),
        ("getDomainVisits", json!(["DEFAULT"]), 4),
        ("getNonOrphanVisits", json!([]), 4),
        ("getOrphanVisits", json!([{"type": "invalid_short_url"}]), 1),
    ] {
        let visits = call(method, parameters);
        assert_eq!(
            visits["pagination"]["totalItems"], total,
            "{method}: {visits}"
        );
        let visit = &visits["data"][0];
        assert!(
            visit["date"].is_string() && visit["potentialBot"].is_boolean(),
            "{visit}"
        );
    }
    let orphans = call("getOrphanVisits", json!([]));
    assert_eq!(
        orphans["data"][0]["visitedUrl"],
        client.edge("nothing-here")
    );

    // Tags.
    assert_eq!(
        call("listTags", json!([]))["data"],
        json!(["sale", "spring"])
    );
    let stats = call("tagsStats", json!([]));
    assert_eq!(stats["data"][0]["tag"], "sale", "{stats}");
    assert_eq!(stats["data"][0]["shortUrlsCount"], 2);
    assert_eq!(stats["data"][0]["visitsSummary"]["total"], 4);
    let renaming = json!({"oldName": "sale", "newName": "offer"});
    assert_eq!(call("editTag", json!([renaming])), renaming);
    assert_eq!(
        call("deleteTags", json!([["spring"]])),
        json!({"tags": ["spring"]})
    );
    assert_eq!(call("listTags", json!([]))["data"], json!(["offer"]));

    // Domains and rules.
    let domains = call("listDomains", json!([]));
    assert_eq!(domains["data"][0]["isDefault"], true, "{domains}");
    let domain = json!({"domain": domains["data"][0]["domain"], "baseUrlRedirect": null});
    let redirects = call("editDomainRedirects", json!([domain]));
    assert_eq!(redirects["baseUrlRedirect"], Value::Null, "{redirects}");
    let conditions = json!([{"type": "language", "matchKey": null, "matchValue": "pt"}]);
    let rules = json!([{"longUrl": "https://example.com/pt", "conditions": conditions}]);
    let set = call(
        "setShortUrlRedirectRules",
        json!([spring, {"redirectRules": rules}]),
    );
    assert_eq!(set["redirectRules"][0]["priority"], 1, "{set}");
    assert_eq!(call("getShortUrlRedirectRules", json!([spring])), set);
    crate::server::eventually("the rule", || {
        let visit = client.visit_with("spring", &[("accept-language", "pt-BR")]);
        (visit.location() == "https://example.com/pt").then_some(())
    });

    // Errors, as its own types tell them.
    let raised = |answer: Value| answer["raised"]["type"].as_str().map(str::to_owned);
    let taken = json!({"longUrl": "https://example.com", "customSlug": "spring"});
    for (method, parameters, kind) in [
        ("createShortUrl", json!([taken]), "non-unique-slug"),
        (
            "createShortUrl",
            json!([{"longUrl": "nowhere"}]),
            "invalid-data",
        ),
        (
            "getShortUrl",
            json!([{"shortCode": "none"}]),
            "short-url-not-found",
        ),
        ("getTagVisits", json!(["none"]), "tag-not-found"),
        (
            "getDomainVisits",
            json!(["else.example"]),
            "domain-not-found",
        ),
        (
            "editTag",
            json!([{"oldName": "none", "newName": "x"}]),
            "tag-not-found",
        ),
        ("mercureInfo", json!([]), "mercure-not-configured"),
    ] {
        let answer = call(method, parameters);
        let expected = format!("https://shlink.io/api/error/{kind}");
        assert_eq!(raised(answer.clone()), Some(expected), "{method}: {answer}");
    }

    // Gone.
    let deleted = call("deleteShortUrlVisits", json!([{"shortCode": other_code}]));
    assert_eq!(deleted, json!({"deletedVisits": 3}));
    assert_eq!(call("deleteShortUrl", json!([spring])), Value::Null);
    client.link("spring").expect(404);
    let mut stranger = self::sdk(&server.admin, "tg_00000000000000000000");
    let refused = stranger.call(&json!([format!("{way}.listTags")]));
    let kind = "https://shlink.io/api/error/invalid-api-key";
    assert_eq!(raised(refused).as_deref(), Some(kind));
}

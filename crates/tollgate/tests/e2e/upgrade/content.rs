//! What every fixture holds: something of each kind.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::eventually;

const STRATEGIES: [&str; 5] = ["counter", "hash", "snowflake", "pool", "random"];
const TOKEN: (&str, &str) = ("idempotency-key", "kept");
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Makes it.
pub(super) fn make(client: &Client) {
    client.create(&json!({"url": "https://before.example/", "code": "first", "title": "Grün", "tags": ["a", "b"]}));
    client
        .patch("first", &json!({"url": "https://first.example/?a=b"}))
        .expect(200);
    client.create(&json!({"url": "https://gone.example/", "code": "gone"}));
    client.delete("gone").expect(204);
    client
        .create(&json!({"url": "https://secret.example/", "code": "secret", "password": "sesame"}));
    client.create(&json!({
        "url": "https://ruled.example/", "code": "ruled", "starts_at": "2020-01-01T00:00:00Z",
        "expires_at": "2200-01-01T00:00:00Z", "redirect": 307, "forward_query": true,
        "rules": [{"url": "https://de.example/", "if": [{"type": "language", "is": "de"}]}],
    }));
    client.create(&json!({"url": "https://limited.example/", "code": "limited", "max_clicks": 3}));
    assert_eq!(client.visit("limited").status, 302);
    for strategy in STRATEGIES {
        client
            .create(&json!({"url": format!("https://{strategy}.example/"), "strategy": strategy}));
    }
    let draft = json!({"url": "https://token.example/", "code": "token"});
    client
        .api_with("POST", "/api/v1/links", &[TOKEN], &draft)
        .expect(201);

    client.secret(&json!({"name": "kept", "scopes": ["links:read", "stats:read"], "domain": null}));
    let revoked =
        json!({"name": "revoked", "scopes": ["links:read"], "expires_at": "2200-01-01T00:00:00Z"});
    let revoked = client
        .api_json("POST", "/api/v1/keys", &revoked)
        .expect(201)
        .json();
    let path = format!("/api/v1/keys/{}", revoked["id"].as_str().unwrap());
    assert!(client.api("DELETE", &path).status < 300);

    let webhook =
        json!({"url": "https://hooks.example/", "events": ["link.created", "link.deleted"]});
    client
        .api_json("POST", "/api/v1/webhooks", &webhook)
        .expect(201);

    let headers = [
        ("user-agent", FIREFOX),
        ("referer", "https://news.example/"),
    ];
    for _ in 0..5 {
        assert_eq!(client.visit_with("first", &headers).status, 302);
    }
    assert_eq!(client.visit("nowhere").status, 404);
    eventually("all clicks counted", || {
        (client.metric("tollgate_clicks_counted_total") == 7.0).then_some(())
    });
}

/// Checks that it is there, by all that reads it, and that the rest goes on from it.
pub(super) fn check(client: &Client) {
    links(client);
    keys(client);
    let hooks = client.api("GET", "/api/v1/webhooks").expect(200).json();
    assert!(
        hooks.to_string().contains("https://hooks.example/"),
        "{hooks}"
    );
    let audit = client.api("GET", "/api/v1/audit?action=key.revoke");
    let audit = audit.expect(200).json();
    assert!(audit.to_string().contains("key.revoke"), "{audit}");
    // At last: this visits links, and makes new ones.
    statistics(client);
    visits(client);
    new_links(client);
}

fn links(client: &Client) {
    let first = client.link("first").expect(200).json();
    assert_eq!(first["url"], "https://first.example/?a=b");
    assert_eq!(first["title"], "Grün");
    assert_eq!(first["tags"], json!(["a", "b"]));
    assert_eq!(first["version"], 2);
    let history = client
        .api("GET", "/api/v1/links/first/history")
        .expect(200)
        .json();
    assert!(
        history.to_string().contains("https://before.example/"),
        "{history}"
    );
    assert_eq!(client.link("gone").status, 404);
    let ruled = client.link("ruled").expect(200).json();
    assert_eq!(ruled["expires_at"], "2200-01-01T00:00:00Z");
    assert_eq!(listed(client, "tag=b"), ["first"]);
    assert_eq!(listed(client, "q=https://ruled"), ["ruled"]);
    assert_eq!(
        listed(client, "").len(),
        10,
        "five aliases and one of each strategy"
    );
}

fn listed(client: &Client, query: &str) -> Vec<String> {
    let page = client
        .api("GET", &format!("/api/v1/links?limit=100&{query}"))
        .expect(200)
        .json();
    let links = page["links"].as_array().unwrap();
    links
        .iter()
        .map(|link| link["code"].as_str().unwrap().to_owned())
        .collect()
}

fn keys(client: &Client) {
    let keys = client
        .api("GET", "/api/v1/keys?limit=100")
        .expect(200)
        .json();
    let named = |name: &str| -> Value {
        let mut keys = keys["keys"].as_array().unwrap().iter();
        keys.find(|key| key["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {keys:?}"))
            .clone()
    };
    assert_eq!(named("kept")["scopes"], json!(["links:read", "stats:read"]));
    assert!(named("kept").get("revoked_at").is_none_or(Value::is_null));
    assert!(named("revoked")["revoked_at"].is_string());
}

fn statistics(client: &Client) {
    let period = "from=2020-01-01&to=2100-01-01&bucket=month";
    let path = format!("/api/v1/links/first/stats?{period}&by=browser&by=referrer");
    let stats = client.api("GET", &path).expect(200).json();
    assert_eq!(stats["total"], 5, "{stats}");
    assert!(stats["by"].to_string().contains("Firefox"), "{stats}");
    let clicks = client
        .api("GET", "/api/v1/links/first/clicks")
        .expect(200)
        .json();
    assert_eq!(clicks["clicks"].as_array().unwrap().len(), 5, "{clicks}");
}

fn visits(client: &Client) {
    assert_eq!(
        client.visit("first").location(),
        "https://first.example/?a=b"
    );
    assert_eq!(client.unlock("secret", "wrong").status, 403);
    assert_eq!(
        client.unlock("secret", "sesame").location(),
        "https://secret.example/"
    );
    let ruled = client.visit_with("ruled", &[("accept-language", "de")]);
    assert_eq!(
        (ruled.status, ruled.location()),
        (307, "https://de.example/")
    );
    let limited = [(); 3].map(|()| client.visit("limited").status);
    assert_eq!(limited, [302, 302, 410]);
    for strategy in STRATEGIES {
        let target = format!("https://{strategy}.example/");
        let codes = listed(client, &format!("q={target}"));
        assert_eq!(client.visit(&codes[0]).location(), target);
    }
}

fn new_links(client: &Client) {
    let draft = json!({"url": "https://token.example/", "code": "token"});
    let replayed = client
        .api_with("POST", "/api/v1/links", &[TOKEN], &draft)
        .expect(201);
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    let before = listed(client, "");
    for strategy in STRATEGIES {
        let code = client.code(&json!({"url": "https://new.example/", "strategy": strategy}));
        assert!(!before.contains(&code), "{strategy}");
        client.delete(&code).expect(204);
    }
    client.patch("first", &json!({"title": "Neu"})).expect(200);
    client.patch("first", &json!({"title": "Grün"})).expect(200);
}

//! The API of YOURLS.

use std::fmt::Write as _;

use http::Request;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_access::Scope;
use tollgate_links::Domain;
use tollgate_server::compat::{CompatOptions, YourlsOptions};

use crate::clicks::click;
use crate::server::{Answer, START, Server, empty, full};

/// What a client of YOURLS had as its signature.
const SIGNATURE: &str = "1002a612b4";

async fn start_with(yourls: YourlsOptions) -> Server {
    start_bounded(yourls, CompatOptions::default().most_links).await
}

async fn start_bounded(yourls: YourlsOptions, most_links: usize) -> Server {
    let compat = CompatOptions {
        yourls: Some(yourls),
        most_links,
        ..CompatOptions::default()
    };
    Server::compatible(compat).await
}

async fn start() -> Server {
    start_with(YourlsOptions::default()).await
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Asks by a GET without any key.
async fn ask_as_nobody(server: &Server, pairs: &[(&str, &str)]) -> Answer {
    let path = format!("/yourls-api.php?{}", encoded(pairs));
    let request = Request::get(path).header("host", "admin");
    server.send(request.body(empty()).unwrap()).await
}

/// Asks by the signature of the admin key.
async fn ask(server: &Server, pairs: &[(&str, &str)]) -> Answer {
    let mut all = vec![("signature", &*server.admin)];
    all.extend(pairs);
    ask_as_nobody(server, &all).await
}

async fn json(server: &Server, pairs: &[(&str, &str)]) -> Value {
    let mut all = vec![("format", "json")];
    all.extend(pairs);
    let answer = ask(server, &all).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let fields = answer.json();
    assert_eq!(fields["statusCode"], answer.status.as_str(), "{fields}");
    fields
}

async fn shorten(server: &Server, url: &str, keyword: &str) -> Value {
    let pairs = [("action", "shorturl"), ("url", url), ("keyword", keyword)];
    json(server, &pairs).await
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let server = Server::start().await;
    let answer = ask(&server, &[("action", "version")]).await;
    answer.problem(404, "no-route");
}

#[tokio::test]
async fn links_are_made_and_found_again() {
    let server = start().await;
    let pairs = [
        ("action", "shorturl"),
        ("url", "https://example.com/a b"),
        ("keyword", "spring"),
        ("title", "Spring <sale>"),
    ];
    let made = json(&server, &pairs).await;
    assert_eq!(
        made,
        json!({
            "status": "success",
            "code": "",
            "errorCode": "",
            "statusCode": "200",
            "message": "https://example.com/a%20b added to database",
            "title": "Spring <sale>",
            "shorturl": "http://s.example/spring",
            "url": {
                "keyword": "spring",
                "shorturl": "http://s.example/spring",
                "url": "https://example.com/a%20b",
                "title": "Spring <sale>",
                "date": "2027-01-15 08:00:00",
                "ip": "",
            },
        })
    );
    for short in ["spring", "http://s.example/spring", "s.example/spring"] {
        let found = json(&server, &[("action", "expand"), ("shorturl", short)]).await;
        assert_eq!(found["longurl"], "https://example.com/a%20b", "{found}");
        assert_eq!(found["keyword"], "spring");
        assert_eq!(found["message"], "success");
    }
    let native = server.get("/api/v1/links/spring").await.json();
    assert_eq!(native["title"], "Spring <sale>");
    // A code is made where none is given, and a scheme.
    let made = json(&server, &[("action", "shorturl"), ("url", "example.com")]).await;
    assert_eq!(made["url"]["url"], "http://example.com/");
    assert_eq!(made["title"], "http://example.com/");
}

#[tokio::test]
async fn what_is_in_the_way_is_told_in_the_words_of_yourls() {
    let server = start().await;
    shorten(&server, "https://example.com", "one").await;
    let taken = shorten(&server, "https://example.com/other", "one").await;
    assert_eq!(taken["status"], "fail");
    assert_eq!(taken["code"], "error:keyword");
    assert_eq!(
        taken["message"],
        "Short URL one already exists in database or is reserved"
    );
    let exists = shorten(&server, "https://example.com", "").await;
    assert_eq!(exists["code"], "error:url");
    assert_eq!(exists["shorturl"], "http://s.example/one");
    assert_eq!(exists["url"]["keyword"], "one");
    let strange = shorten(&server, "https://example.com/other", "a/b").await;
    assert_eq!(strange["code"], "error:keyword");
    let reserved = shorten(&server, "https://example.com/other", "robots.txt").await;
    assert_eq!(reserved["code"], "error:keyword");
    for (url, code) in [
        ("", "error:nourl"),
        ("javascript:alert(1)", "error:nourl"),
        ("http://s.example/one", "error:noloop"),
    ] {
        let refused = shorten(&server, url, "").await;
        assert_eq!(refused["code"], code, "{url}");
        assert_eq!(refused["status"], "fail");
        assert_eq!(refused["errorCode"], "400");
    }
    let missing = json(&server, &[("action", "expand"), ("shorturl", "none")]).await;
    assert_eq!(missing["errorCode"], "404");
    assert_eq!(missing["keyword"], "none");
    assert_eq!(missing["message"], "Error: short URL not found");
    for pairs in [
        &[("action", "shred")][..],
        &[],
        &[("action", "stats"), ("limit", "ten")],
    ] {
        assert_eq!(json(&server, pairs).await["errorCode"], "400");
    }
}

#[tokio::test]
async fn clicks_are_counted_for_links_and_in_all() {
    let server = start().await;
    for code in ["a", "b", "c"] {
        shorten(&server, &format!("https://example.com/{code}"), code).await;
    }
    let clicks = [(1, "b"), (2, "b"), (3, "c")];
    let clicks = clicks.map(|(number, code)| click(number, START, code));
    server.clicks.count(clicks.into()).await;
    let stats = json(&server, &[("action", "url-stats"), ("shorturl", "b")]).await;
    assert_eq!(
        stats["link"],
        json!({
            "shorturl": "http://s.example/b",
            "url": "https://example.com/b",
            "title": "https://example.com/b",
            "timestamp": "2027-01-15 08:00:00",
            "ip": "",
            "clicks": "2",
        })
    );
    let sums = json!({"total_links": "3", "total_clicks": "3"});
    let all = json(&server, &[("action", "db-stats")]).await;
    assert_eq!(all["db-stats"], sums);
    let order = async |filter: &str, limit: &str, start: &str| {
        let pairs = [
            ("action", "stats"),
            ("filter", filter),
            ("limit", limit),
            ("start", start),
        ];
        let stats = json(&server, &pairs).await;
        assert_eq!(stats["stats"], sums);
        let mut order = String::new();
        for place in 1.. {
            let link = &stats["links"][format!("link_{place}")];
            let Some(url) = link["url"].as_str() else {
                break;
            };
            write!(
                order,
                "{}{}",
                &url[url.len() - 1..],
                link["clicks"].as_str().unwrap()
            )
            .unwrap();
        }
        order
    };
    assert_eq!(order("top", "2", "").await, "b2c1");
    assert_eq!(order("top", "9", "1").await, "c1a0");
    assert_eq!(order("bottom", "9", "").await, "a0c1b2");
    assert_eq!(order("last", "2", "0").await, "c1b2");
    assert_eq!(order("last", "2", "2").await, "a0");
    assert_eq!(order("rand", "9", "").await.len(), 6);
    assert_eq!(order("top", "0", "").await, "");
}

#[tokio::test]
async fn more_links_than_can_be_compared_are_still_listed() {
    let server = start_bounded(YourlsOptions::default(), 2).await;
    for code in ["a", "b", "c"] {
        shorten(&server, &format!("https://example.com/{code}"), code).await;
    }
    let of = async |filter: &str| {
        let pairs = [("action", "stats"), ("limit", "2"), ("filter", filter)];
        json(&server, &pairs).await
    };
    for filter in ["top", "bottom", "rand"] {
        assert_eq!(of(filter).await["errorCode"], "400");
    }
    let last = of("last").await;
    assert_eq!(last["links"]["link_2"]["shorturl"], "http://s.example/b");
    assert_eq!(last["stats"]["total_links"], "3");
}

#[tokio::test]
async fn every_format_says_the_same() {
    let server = start().await;
    shorten(&server, "https://example.com/?a=1&b=2", "x").await;
    let expand = [("action", "expand"), ("shorturl", "x")];
    let of = async |format: &[(&str, &str)]| {
        let mut all = format.to_vec();
        all.extend(expand);
        let answer = ask(&server, &all).await;
        let media = answer.header("content-type").to_owned();
        (media, String::from_utf8(answer.body.to_vec()).unwrap())
    };
    let (media, xml) = of(&[]).await;
    assert_eq!(media, "application/xml; charset=utf-8");
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><root>"));
    assert!(
        xml.contains("<longurl>https://example.com/?a=1&amp;b=2</longurl>"),
        "{xml}"
    );
    assert_eq!(of(&[("format", "xml")]).await.1, xml);
    let (media, simple) = of(&[("format", "simple")]).await;
    assert_eq!(media, "text/plain; charset=utf-8");
    assert_eq!(simple, "https://example.com/?a=1&b=2");
    let (media, script) = of(&[("format", "jsonp"), ("callback", "app.shown")]).await;
    assert_eq!(media, "application/javascript; charset=utf-8");
    assert!(
        script.starts_with("app.shown({") && script.ends_with("})"),
        "{script}"
    );
    for format in [
        &[("format", "jsonp"), ("callback", "alert(1);x")][..],
        &[("format", "jsonp")],
        &[("format", "yaml")],
    ] {
        let (media, body) = of(format).await;
        assert_eq!(media, "application/xml; charset=utf-8");
        assert!(body.contains("<errorCode>400</errorCode>"), "{body}");
    }
}

#[tokio::test]
async fn parameters_come_in_forms_too() {
    let server = start().await;
    let pairs = [
        ("signature", &*server.admin),
        ("action", "version"),
        ("db", "1"),
        ("format", "json"),
    ];
    let form = server.send(
        Request::post("/yourls-api.php?action=nothing")
            .header("host", "admin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(full(encoded(&pairs)))
            .unwrap(),
    );
    let version = form.await.json();
    assert_eq!(version["db_version"], "507");
    let mut parts = String::new();
    for (name, value) in pairs {
        write!(
            parts,
            "--zzz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
        .unwrap();
    }
    let sent = |body: String| {
        server.send(
            Request::post("/yourls-api.php")
                .header("host", "admin")
                .header("content-type", "multipart/form-data; boundary=zzz")
                .body(full(body))
                .unwrap(),
        )
    };
    assert_eq!(sent(format!("{parts}--zzz--\r\n")).await.json(), version);
    let broken = sent(parts).await;
    assert_eq!(broken.status, 400);
    assert_eq!(
        broken.header("content-type"),
        "application/xml; charset=utf-8"
    );
    let foreign = Request::post("/yourls-api.php")
        .header("host", "admin")
        .header("content-type", "application/json")
        .body(full("{}"))
        .unwrap();
    assert_eq!(server.send(foreign).await.status, 415);
}

#[tokio::test]
async fn only_holders_of_keys_are_answered() {
    let server = start().await;
    let version = ("action", "version");
    for pairs in [
        &[version][..],
        &[version, ("signature", "tg_00000000000000000000")],
        &[version, ("signature", "short")],
        &[version, ("username", "admin"), ("password", "wrong")],
        &[version, ("password", &server.admin)],
        // The time can be signed with what the configuration says alone.
        &[
            version,
            ("signature", &server.admin),
            ("timestamp", "1800000000"),
        ],
    ] {
        let mut all = vec![("format", "json")];
        all.extend(pairs);
        let refused = ask_as_nobody(&server, &all).await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.json()["message"], "Please log in");
        assert_eq!(refused.json()["errorCode"], "403");
    }
    let named = [version, ("username", "any"), ("password", &server.admin)];
    assert_eq!(ask_as_nobody(&server, &named).await.status, 200);
    let reader = server.key(&[Scope::LinksRead], None).await;
    for action in ["shorturl", "stats", "db-stats", "url-stats"] {
        let pairs = [
            ("signature", &*reader),
            ("action", action),
            ("url", "https://example.com"),
        ];
        assert_eq!(ask_as_nobody(&server, &pairs).await.status, 403, "{action}");
    }
}

#[tokio::test]
async fn the_time_may_be_signed_with_a_signature_that_stands_for_a_key() {
    let server = start_with(YourlsOptions {
        signature: Some(SIGNATURE.into()),
        key: Some("tg_aaaaaaaaaaaaaaaaaaaaaa".into()),
    })
    .await;
    let signed = |at: i64| {
        let digest = Sha256::digest(format!("{at}{SIGNATURE}"));
        digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let ask = async |at: i64| {
        let (at, signature) = (at.to_string(), signed(at));
        let pairs = [
            ("action", "version"),
            ("timestamp", &*at),
            ("signature", &signature),
            ("hash", "sha256"),
        ];
        ask_as_nobody(&server, &pairs).await.status.as_u16()
    };
    let now = START.as_millis() / 1_000;
    assert_eq!(ask(now).await, 403, "there is no such key yet");
    let secret = tollgate_access::Secret::parse("tg_aaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let new = tollgate_access::NewKey {
        name: "old clients".into(),
        scopes: [Scope::LinksRead].into_iter().collect(),
        domain: None,
        expires_at: None,
    };
    let key = server.keys.import(new, secret).await.unwrap().key;
    assert_eq!(ask(now).await, 200);
    assert_eq!(ask(now - 43_199).await, 200);
    assert_eq!(ask(now - 43_200).await, 403);
    assert_eq!(ask(now + 43_200).await, 403);
    let plain = [("action", "version"), ("signature", SIGNATURE)];
    assert_eq!(ask_as_nobody(&server, &plain).await.status, 200);
    // It is that key, with its scopes, until it is revoked.
    let write = [
        ("action", "shorturl"),
        ("url", "https://example.com"),
        ("signature", SIGNATURE),
    ];
    assert_eq!(ask_as_nobody(&server, &write).await.status, 403);
    server.keys.revoke(&key.id).await.unwrap();
    assert_eq!(ask(now).await, 403);
    assert_eq!(ask_as_nobody(&server, &plain).await.status, 403);
}

#[tokio::test]
async fn a_key_of_a_domain_sees_that_domain() {
    let server = start().await;
    let domain = Domain::parse("go.example").unwrap();
    let scopes = [Scope::LinksRead, Scope::LinksWrite, Scope::StatsRead];
    let key = server.key(&scopes, Some(domain)).await;
    shorten(&server, "https://example.com/1", "one").await;
    let ask = async |pairs: &[(&str, &str)]| {
        let mut all = vec![("format", "json"), ("signature", &*key)];
        all.extend(pairs);
        ask_as_nobody(&server, &all).await.json()
    };
    let made = ask(&[
        ("action", "shorturl"),
        ("url", "https://example.com/2"),
        ("keyword", "two"),
    ]);
    assert_eq!(made.await["shorturl"], "https://go.example/two");
    let stats = ask(&[("action", "stats"), ("limit", "5"), ("filter", "last")]).await;
    assert_eq!(stats["stats"]["total_links"], "1");
    assert_eq!(stats["links"].as_object().unwrap().len(), 1);
    let foreign = ask(&[("action", "expand"), ("shorturl", "http://s.example/one")]).await;
    assert_eq!(foreign["errorCode"], "403");
    let own = ask(&[("action", "expand"), ("shorturl", "two")]).await;
    assert_eq!(own["longurl"], "https://example.com/2");
}

//! Other targets for some visitors.

use std::collections::BTreeMap;

use serde_json::json;

use crate::server::{Options, Server};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like \
                       Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                       Gecko) Chrome/140.0.0.0 Safari/537.36";

#[test]
fn the_first_rule_that_fits_wins() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({
        "url": "https://a.example/",
        "rules": [
            {"if": [{"type": "os", "is": "ios"}], "url": "https://ios.example/"},
            {"if": [{"type": "device", "is": "mobile"}], "url": "https://mobile.example/"},
            {"if": [{"type": "language", "is": "pt"}], "url": "https://pt.example/"},
            {"if": [{"type": "query", "name": "ref", "value": "ad"}], "url": "https://ad.example/"},
            {"if": [{"type": "date", "until": "2000-01-01T00:00:00Z"}], "url": "https://past.example/"},
        ],
    }));
    let location = |path: &str, headers: &[(&str, &str)]| {
        let reply = client.visit_with(path, headers).expect(302);
        assert_eq!(reply.header("cache-control"), "no-store");
        reply.location().to_owned()
    };
    let agent = |agent| location(&code, &[("user-agent", agent)]);
    assert_eq!(agent(IPHONE), "https://ios.example/");
    assert_eq!(agent(ANDROID), "https://mobile.example/");
    assert_eq!(agent(WINDOWS), "https://a.example/");
    let portuguese = [
        ("user-agent", WINDOWS),
        ("accept-language", "pt-BR,en;q=0.5"),
    ];
    assert_eq!(location(&code, &portuguese), "https://pt.example/");
    let from_ad = format!("{code}?ref=ad");
    assert_eq!(
        location(&from_ad, &[("user-agent", WINDOWS)]),
        "https://ad.example/"
    );
}

#[test]
fn a_share_of_visitors_is_sticky() {
    let server = Options::default()
        .config("[edge]\ntrusted_proxies = [\"127.0.0.1\"]")
        .start();
    let client = server.client();
    let code = client.code(&json!({
        "url": "https://a.example/",
        "rules": [{"if": [{"type": "percent", "share": 30}], "url": "https://b.example/"}],
    }));
    let visit = |visitor: u32| {
        let address = format!("198.51.{}.{}", visitor / 256, visitor % 256);
        let reply = client.visit_with(&code, &[("x-forwarded-for", &address)]);
        reply.expect(302).location().to_owned()
    };
    let first: BTreeMap<u32, String> = (0..400).map(|v| (v, visit(v))).collect();
    let share = first
        .values()
        .filter(|l| *l == "https://b.example/")
        .count();
    // 30 % of 400 are 120, with a standard deviation of 9.
    assert!((70..=170).contains(&share), "{share} of 400");
    for (visitor, location) in &first {
        assert_eq!(&visit(*visitor), location);
    }
}

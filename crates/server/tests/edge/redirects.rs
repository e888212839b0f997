use std::num::NonZeroU64;
use std::sync::Arc;

use tollgate_clock::UnixMillis;
use tollgate_links::{Condition, Device, Domain, RedirectKind, Rule, TargetUrl};
use tollgate_server::edge::{EdgeOptions, RootPage};
use tollgate_server::qr::{Logo, QrStyle};

use crate::client::Client;
use crate::edge::{Edge, NOW, options};

fn after_now(ms: i64) -> Option<UnixMillis> {
    Some(UnixMillis::from_millis(NOW.as_millis() + ms))
}

#[test]
fn a_redirect_is_lean_and_the_same_from_store_and_memory() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    let mut client = edge.client();
    for _ in 0..2 {
        let response = client.get("/abc");
        assert_eq!(response.status, 302);
        assert_eq!(response.location(), "https://example.com/abc");
        let mut names: Vec<&str> = response.headers.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["cache-control", "content-length", "date", "location"]
        );
        assert_eq!(response.header("content-length"), Some("0"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    let text = edge.metrics.encode();
    for tier in ["store", "memory"] {
        let series = format!(
            "tollgate_edge_request_duration_seconds_count{{outcome=\"redirect\",tier=\"{tier}\"}} 1"
        );
        assert!(text.contains(&series), "{series} is not in {text}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    let mut client = edge.client();
    let comparable = |mut response: crate::client::Response| {
        // An empty answer to HEAD may leave its length out (RFC 9110, 8.6).
        let is_bare = |name: &str, value: &str| name == "content-length" && value == "0";
        response
            .headers
            .retain(|(name, value)| name != "date" && !is_bare(name, value));
        response.body.clear();
        response
    };
    for path in ["/abc", "/absent", "/", "/abc+", "/robots.txt"] {
        let head = client.request("HEAD", path);
        let get = client.get(path);
        assert_eq!(comparable(head), comparable(get), "{path}");
    }
}

#[test]
fn each_link_has_its_status_and_permanent_ones_may_be_kept() {
    let edge = Edge::start();
    let kinds = [
        (
            "a",
            RedirectKind::MovedPermanently,
            301,
            "public, max-age=86400",
        ),
        ("b", RedirectKind::Found, 302, "no-store"),
        ("c", RedirectKind::Temporary, 307, "no-store"),
        ("d", RedirectKind::Permanent, 308, "public, max-age=86400"),
    ];
    for (code, kind, status, cache_control) in kinds {
        edge.link(code, |spec| spec.redirect = Some(kind));
        let response = edge.client().get(&format!("/{code}"));
        assert_eq!(response.status, status);
        assert_eq!(response.header("cache-control"), Some(cache_control));
    }
    edge.link("soon", |spec| {
        spec.redirect = Some(RedirectKind::Permanent);
        spec.expires_at = after_now(90_000);
    });
    let response = edge.client().get("/soon");
    assert_eq!(response.header("cache-control"), Some("public, max-age=90"));
}

#[test]
fn codes_come_encoded_in_any_way_and_with_a_slash() {
    let edge = Edge::start();
    edge.link("café", |_| ());
    let mut client = edge.client();
    // Composed, decomposed, lower case hexadecimal, with a slash.
    for path in ["/caf%C3%A9", "/cafe%CC%81", "/caf%c3%a9", "/caf%C3%A9/"] {
        assert_eq!(client.get(path).status, 302, "{path}");
    }
    for path in ["/caf%E9", "/caf%C3%A9/x", "/caf", "//caf%C3%A9", "/%00"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

#[test]
fn absent_pending_and_gone_links_have_pages() {
    let edge = Edge::start();
    edge.link("pending", |spec| spec.starts_at = after_now(1_000));
    edge.link("expired", |spec| spec.expires_at = after_now(0));
    let mut client = edge.client();
    let absent = client.get("/absent");
    let pending = client.get("/pending");
    assert_eq!((absent.status, pending.status), (404, 404));
    assert_eq!(absent.body, pending.body, "a code to come must not show");
    let expired = client.get("/expired");
    assert_eq!(expired.status, 410);
    for response in [&absent, &pending, &expired] {
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(
            response.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
    }
    edge.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(client.get("/pending").status, 302);
}

#[test]
fn clicks_are_counted_exactly_by_get_and_head() {
    let edge = Edge::start();
    edge.link("few", |spec| spec.max_clicks = NonZeroU64::new(10));
    assert_eq!(edge.client().get("/few+").status, 200, "takes none");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|i| {
                let edge = &edge;
                scope.spawn(move || {
                    let mut client = edge.client();
                    let method = if i % 2 == 0 { "GET" } else { "HEAD" };
                    [(); 5].map(|()| {
                        let response = client.request(method, "/few");
                        if method == "HEAD" && response.status == 410 {
                            assert_eq!(response.body, "");
                        }
                        response.status
                    })
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    let redirects = statuses.iter().filter(|&&status| status == 302).count();
    let gone = statuses.iter().filter(|&&status| status == 410).count();
    assert_eq!((redirects, gone), (10, 30), "{statuses:?}");
    assert_eq!(edge.client().get("/few+").status, 410);
}

#[test]
fn a_preview_shows_the_target_and_spends_nothing() {
    let edge = Edge::start();
    edge.link("abc", |spec| spec.title = Some("<b>Sale</b>".to_owned()));
    let response = edge.client().get("/abc+");
    assert_eq!(response.status, 200);
    assert!(response.body.contains("https://example.com/abc"));
    assert!(response.body.contains("https://go.example.com/abc"));
    assert!(response.body.contains("&lt;b&gt;Sale"));
    edge.link("shy", |spec| spec.max_clicks = NonZeroU64::new(1));
    let response = edge.client().get("/shy%2B");
    assert_eq!(response.status, 200);
    assert!(!response.body.contains("https://example.com/shy"));
    assert_eq!(edge.client().get("/absent+").status, 404);
}

#[test]
fn a_qr_code_says_the_short_url_and_spends_nothing() {
    let edge = Edge::start();
    edge.link("abc", |spec| spec.max_clicks = NonZeroU64::new(1));
    let mut client = edge.client();
    for path in ["/abc.qr", "/abc/qr", "/abc.qr?format=svg&level=h&color=00f"] {
        let response = client.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some("image/svg+xml"));
        assert_eq!(
            response.header("cache-control"),
            Some("public, max-age=86400")
        );
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let style = QrStyle::from_query(query, None).unwrap();
        let drawn = style.draw("https://go.example.com/abc").unwrap();
        assert_eq!(response.body.as_bytes(), drawn, "{path}");
    }
    let wrong = client.get("/abc.qr?size=9999");
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("size is wrong"), "{}", wrong.body);
    assert_eq!(client.get("/absent.qr").status, 404);
    assert_eq!(client.get("/abc").status, 302);
    assert_eq!(client.get("/abc").status, 410);
    assert_eq!(client.get("/abc.qr").status, 410);
}

#[test]
fn a_qr_code_has_the_logo_of_the_configuration_if_it_is_asked_for() {
    let path = "/abc.qr?logo=true";
    let plain = Edge::start();
    plain.link("abc", |_| {});
    let none = plain.client().get(path);
    assert_eq!(none.status, 400);
    assert!(none.body.contains("edge.qr_logo"), "{}", none.body);
    assert_eq!(none.header("cache-control"), Some("no-store"));

    let logo = Arc::new(Logo::parse(include_bytes!("../shared/logo.png")).unwrap());
    let edge = Edge::with(EdgeOptions {
        qr_logo: Some(Arc::clone(&logo)),
        ..options()
    });
    edge.link("abc", |_| {});
    let mut client = edge.client();
    let without = client.get("/abc.qr");
    assert_eq!(without, plain.client().get("/abc.qr"));
    let response = client.get(path);
    assert_eq!(response.status, 200);
    let style = QrStyle::from_query("logo=true", Some(&logo)).unwrap();
    let drawn = style.draw("https://go.example.com/abc").unwrap();
    assert_eq!(response.body.as_bytes(), drawn);
    assert!(response.body.contains("data:image/png;base64,"));
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=86400")
    );
    for (response, shows_data) in [(&without, false), (&response, true)] {
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert_eq!(policy.contains("img-src data:"), shows_data, "{policy}");
    }
    let low = client.get("/abc.qr?logo=true&level=m");
    assert_eq!(low.status, 400);
    assert!(low.body.contains("level is wrong"), "{}", low.body);
}

#[test]
fn the_service_has_a_few_paths_of_its_own() {
    let edge = Edge::start();
    let mut client = edge.client();
    assert_eq!(client.get("/").status, 200);
    let robots = client.get("/robots.txt");
    assert_eq!(robots.status, 200);
    assert!(robots.body.starts_with("User-agent: *\n"));
    assert_eq!(
        robots.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(client.get("/favicon.ico").status, 204);

    let mut options = options();
    options.root = RootPage::Redirect(TargetUrl::from_stored("https://example.com/home"));
    let edge = Edge::with(options);
    let root = edge.client().get("/");
    assert_eq!(root.status, 302);
    assert_eq!(root.location(), "https://example.com/home");
}

#[test]
fn other_methods_are_told_which_ones_work() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    for (method, path, allow) in [
        ("PUT", "/abc", "GET, HEAD, POST"),
        ("DELETE", "/absent", "GET, HEAD, POST"),
        ("POST", "/abc", "GET, HEAD"),
        ("POST", "/abc+", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("OPTIONS", "*", "GET, HEAD"),
        ("BREW", "/robots.txt", "GET, HEAD"),
    ] {
        let response = edge.client().request(method, path);
        assert_eq!(response.status, 405, "{method} {path}");
        assert_eq!(response.header("allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(edge.client().request("POST", "/absent").status, 404);
}

#[test]
fn the_host_names_the_domain() {
    let edge = Edge::start();
    let other = Domain::parse("other.example").unwrap();
    edge.link("abc", |_| ());
    edge.link_on(other, "abc", |spec| {
        spec.target = TargetUrl::from_stored("https://example.org/");
    });
    let ask = |target: &str, host: &str| {
        Client::connect(edge.address)
            .send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
            .receive()
            .location()
            .to_owned()
    };
    assert_eq!(ask("/abc", "go.example.com"), "https://example.com/abc");
    assert_eq!(ask("/abc", "stranger.example"), "https://example.com/abc");
    assert_eq!(ask("/abc", "OTHER.example:8080"), "https://example.org/");
    // RFC 9112, 3.2.2: the absolute form wins.
    assert_eq!(
        ask("http://other.example/abc", "go.example.com"),
        "https://example.org/"
    );
}

#[test]
fn rules_and_the_query_decide_where_it_leads() {
    let mut options = options();
    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let edge = Edge::with(options);
    let rule = |condition, target: &str| Rule {
        conditions: vec![condition],
        target: target.to_owned(),
    };
    edge.link("app", |spec| {
        spec.rules = vec![rule(
            Condition::Device { is: Device::Mobile },
            "https://m.example.com/",
        )];
    });
    let phone = "user-agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) \
                 AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 \
                 Safari/604.1\r\n";
    let mut client = edge.client();
    assert_eq!(
        client.get_with("/app", phone).location(),
        "https://m.example.com/"
    );
    assert_eq!(client.get("/app").location(), "https://example.com/app");

    edge.link("query", |spec| spec.forward_query = true);
    assert_eq!(
        client.get("/query?a=1").location(),
        "https://example.com/query?a=1"
    );

    edge.link("split", |spec| {
        spec.rules = vec![rule(
            Condition::Percent { share: 50 },
            "https://b.example.com/",
        )];
    });
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..40 {
        let visitor = format!("x-forwarded-for: 192.0.2.{i}\r\n");
        let first = client.get_with("/split", &visitor).location().to_owned();
        let again = client.get_with("/split", &visitor);
        assert_eq!(
            again.location(),
            first,
            "a visitor always goes the same way"
        );
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "all 40 visitors go one way");
}

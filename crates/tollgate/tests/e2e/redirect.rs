//! Redirects: their statuses, what caches may keep, and what else the edge answers.

use serde_json::json;
use ureq::http::Request;

use crate::server::{Options, Server};

#[test]
fn each_kind_has_its_status_and_cache_control() {
    let server = Server::start();
    let client = server.client();
    for (kind, cache_control) in [
        (301, "public, max-age=86400"),
        (302, "no-store"),
        (307, "no-store"),
        (308, "public, max-age=86400"),
    ] {
        let code = client.code(&json!({"url": "https://a.example/", "redirect": kind}));
        let reply = client.visit(&code).expect(kind);
        assert_eq!(reply.location(), "https://a.example/");
        assert_eq!(reply.header("cache-control"), cache_control, "{kind}");
    }
}

#[test]
fn the_default_kind_comes_from_the_configuration() {
    let server = Options::default().config("[links]\nredirect = 307").start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    assert_eq!(client.visit(&code).status, 307);
}

#[test]
fn a_permanent_redirect_is_not_kept_past_the_links_end() {
    let server = Server::start();
    let client = server.client();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let code = client.code(
        &json!({"url": "https://a.example/", "redirect": 301, "expires_at": soon.to_string()}),
    );
    let reply = client.visit(&code).expect(301);
    let age = reply
        .header("cache-control")
        .strip_prefix("public, max-age=");
    let seconds: u64 = age.unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&seconds), "{seconds}");
}

#[test]
fn head_answers_as_get_does() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let reply = client.http.send(Request::head(client.edge(&code)), ());
    assert_eq!(reply.status, 302);
    assert_eq!(reply.location(), "https://a.example/");
}

#[test]
fn nothing_else_is_public() {
    let server = Server::start();
    let client = server.client();
    for path in ["nothing", "a/b", "api/v1/links", "metrics", "health/live"] {
        let reply = client.visit_with(path, &[]);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(
            reply
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
    let code = client.code(&json!({"url": "https://a.example/"}));
    for method in ["POST", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri(client.edge(&code));
        let reply = client.http.send(request, ());
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("allow").contains("GET"), "{method}");
    }
}

#[test]
fn the_query_is_merged_where_that_is_wanted() {
    let server = Server::start();
    let client = server.client();
    let target = "https://a.example/?utm_source=mail&x=1#part";
    let merged = client.code(&json!({"url": target, "forward_query": true}));
    let reply = client.visit_with(&format!("{merged}?utm_source=ad&y=2"), &[]);
    let location = reply.expect(302).location().to_owned();
    assert_eq!(location.matches("utm_source=").count(), 1, "{location}");
    assert!(
        location.contains("y=2") && location.contains("x=1"),
        "{location}"
    );
    assert!(location.ends_with("#part"), "{location}");

    let plain = client.code(&json!({"url": target}));
    let reply = client.visit_with(&format!("{plain}?y=2"), &[]);
    assert_eq!(reply.location(), target);
}

#[test]
fn the_root_can_lead_elsewhere() {
    let landing = Server::start();
    assert_eq!(landing.client().visit("").status, 200);
    let server = Options::default()
        .config("[edge]\nroot = \"https://www.example.com/\"")
        .start();
    let reply = server.client().visit("").expect(302);
    assert_eq!(reply.location(), "https://www.example.com/");
}

#[test]
fn http2_without_tls_is_spoken_too() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let output = std::process::Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "-o", "/dev/null"])
        .args(["-w", "%{http_version} %{http_code} %{redirect_url}"])
        .arg(client.edge(&code))
        .output()
        .expect("curl");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "2 302 https://a.example/");
}

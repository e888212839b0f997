//! Every path of the dashboard and of the other APIs, taken from where they are registered: what is shown to whom, with
//! which headers, and which forms are taken.

use http::Request;
use tollgate_server::compat::CompatOptions;

use crate::dashboard::sign_in;
use crate::server::{Answer, Server, full};

const DASHBOARD: &str = include_str!("../../src/dashboard/mod.rs");
const SHLINK: &str = include_str!("../../src/compat/shlink/mod.rs");
const BITLY: &str = include_str!("../../src/compat/bitly/mod.rs");

/// A path, and the methods it knows.
#[derive(Debug)]
struct Route {
    path: String,
    methods: Vec<&'static str>,
}

/// The routes that a source registers.
fn routes(source: &str) -> Vec<Route> {
    let calls = source.split(".route(").skip(1);
    let routes: Vec<Route> = calls
        .map(|call| {
            let (mut depth, mut end) = (1, call.len());
            for (at, sign) in call.char_indices() {
                depth += match sign {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                if depth == 0 {
                    end = at;
                    break;
                }
            }
            let (path, handlers) = call[..end].split_once(',').unwrap();
            let path = match path.trim() {
                "single_sign_on::PATH" => "/sign-in/provider",
                "BACK_PATH" => "/sign-in/back",
                path => path.trim_matches('"'),
            };
            assert!(
                path.starts_with('/'),
                "a path that is not known here: {path}"
            );
            let known = [
                ("get(", "GET"),
                ("post(", "POST"),
                ("put(", "PUT"),
                ("patch(", "PATCH"),
                ("delete(", "DELETE"),
            ];
            let methods = known.into_iter().filter(|(call, _)| {
                let mut found = handlers.match_indices(call);
                // Not the end of a name.
                found.any(|(at, _)| {
                    !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            });
            let methods: Vec<&str> = methods.map(|(_, method)| method).collect();
            assert!(
                !methods.is_empty() || path.ends_with("/health"),
                "{path}: {handlers}"
            );
            Route {
                path: path.to_owned(),
                methods,
            }
        })
        .collect();
    assert!(routes.len() > 5);
    routes
}

/// A path with something in its places.
fn filled(path: &str, key: &str) -> String {
    path.replace("{code}", "page")
        .replace("{domain}", "shop")
        .replace("{tag}", "x")
        .replace("{id}", key)
        .replace("{message}", "msg_1")
        .replace("{group}", "x")
        .replace("{*bitlink}", "s.example/page")
}

async fn ask(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "admin");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(full(body.to_owned())).unwrap();
    server.send(request).await
}

/// What is there for those who have not signed in.
const OPEN: [&str; 4] = [
    "/assets/{version}/{name}",
    "/sign-in",
    "/sign-in/provider",
    "/sign-in/back",
];

#[tokio::test]
async fn every_page_asks_who_one_is_and_has_the_headers_that_protect_it() {
    let server = Server::start().await;
    let link = serde_json::json!({"url": "https://a.example/", "code": "page"});
    assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    let key = server.keys.list(None, 1).await.unwrap().remove(0);
    let visitor = sign_in(&server, &server.admin).await;
    let mut pages = 0;
    for route in routes(DASHBOARD) {
        if !route.methods.contains(&"GET") || route.path.starts_with("/assets/") {
            continue;
        }
        let path = filled(&route.path, key.id.as_str());
        let stranger = ask(&server, "GET", &path, &[], "").await;
        if !OPEN.contains(&&*route.path) {
            assert_eq!(stranger.status, 303, "{path}");
            assert!(
                stranger.header("location").starts_with("/sign-in"),
                "{path}"
            );
        }
        let forged = ask(
            &server,
            "GET",
            &path,
            &[(
                "cookie",
                "tollgate_session=00000000000000000000000000000000",
            )],
            "",
        )
        .await;
        assert_eq!(forged.status, stranger.status, "{path}");
        let shown = ask(&server, "GET", &path, &[("cookie", &visitor.cookie)], "").await;
        for answer in [&stranger, &shown] {
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert!(!answer.header("cache-control").contains("public"), "{path}");
            if !answer.header("content-type").starts_with("text/html") {
                continue;
            }
            pages += 1;
            let policy = answer.header("content-security-policy");
            for part in [
                "default-src 'none'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'self'",
            ] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert!(
                !policy.contains("unsafe") && !policy.contains('*'),
                "{path}: {policy}"
            );
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(
                answer.header("cross-origin-opener-policy"),
                "same-origin",
                "{path}"
            );
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            let page = String::from_utf8(answer.body.to_vec()).unwrap();
            // What the policy would stop is not there in the first place.
            for wrong in [
                "<style",
                " style=",
                " onclick=",
                " onload=",
                "javascript:",
                "<script>",
            ] {
                assert!(!page.contains(wrong), "{path}: {wrong}");
            }
            for form in page.split("<form").skip(1) {
                let form = form.split("</form>").next().unwrap();
                let posts = form.split('>').next().unwrap().contains("method=\"post\"");
                let signs_in = form.contains("action=\"/sign-in\"");
                assert_eq!(
                    posts && !signs_in,
                    form.contains("name=\"csrf\""),
                    "{path}: {form}"
                );
            }
        }
    }
    assert!(pages > 20, "{pages}");
}

#[tokio::test]
async fn every_form_is_taken_from_a_page_of_the_session_alone() {
    let server = Server::start().await;
    let key = server.keys.list(None, 1).await.unwrap().remove(0);
    let visitor = sign_in(&server, &server.admin).await;
    let (own, other) = (
        visitor.csrf().await,
        sign_in(&server, &server.admin).await.csrf().await,
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cookie = ("cookie", &*visitor.cookie);
    let mut forms = 0;
    for route in routes(DASHBOARD) {
        if !route.methods.contains(&"POST") || route.path == "/sign-in" {
            continue;
        }
        forms += 1;
        let path = filled(&route.path, key.id.as_str());
        for token in ["", "x", &*other, &own[1..]] {
            let body = format!("csrf={token}&url=https%3A%2F%2Fa.example%2F");
            let refused = ask(&server, "POST", &path, &[form, cookie], &body).await;
            assert_eq!(refused.status, 403, "{path} with {token:?}");
        }
        let right = format!("csrf={own}&url=https%3A%2F%2Fa.example%2F");
        for from in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            let refused = ask(&server, "POST", &path, &[form, cookie, from], &right).await;
            assert_eq!(refused.status, 403, "{path} with {from:?}");
        }
        // Without a session the token is nothing.
        let refused = ask(&server, "POST", &path, &[form], &right).await;
        assert_eq!(refused.status, 303, "{path}");
        // A form has its media type: JSON that a page of somebody else sends as text is none.
        let text = ask(
            &server,
            "POST",
            &path,
            &[("content-type", "text/plain"), cookie],
            &right,
        )
        .await;
        assert_eq!(text.status, 415, "{path}");
    }
    assert!(forms >= 18, "{forms}");
    // Still signed in, and nothing was made, revoked or sent.
    assert_eq!(visitor.get("/system").await.status, 200);
    let listed = server.get("/api/v1/audit?limit=1000").await.json();
    let entries = listed["entries"].as_array().unwrap().iter();
    for entry in entries {
        assert_eq!(entry["action"], "session.begin", "{entry}");
    }
}

#[tokio::test]
async fn every_route_of_other_apis_needs_a_key() {
    let compat = CompatOptions {
        shlink: true,
        bitly: true,
        ..CompatOptions::default()
    };
    let server = Server::compatible(compat).await;
    let mut asked = 0;
    for (prefix, source) in [("/rest/v3", SHLINK), ("/v4", BITLY)] {
        for route in routes(source) {
            let path = filled(&route.path, "x");
            // Health says nothing of links, and is asked by load balancers.
            if path.ends_with("/health") {
                continue;
            }
            let path = match path.strip_prefix(prefix) {
                Some(_) => path,
                None => format!("{prefix}{path}"),
            };
            for method in &route.methods {
                asked += 1;
                for key in ["", "tg_00000000000000000000000000000000"] {
                    let bearer = format!("Bearer {key}");
                    let headers = [
                        ("x-api-key", key),
                        ("authorization", &*bearer),
                        ("content-type", "application/json"),
                    ];
                    let headers = if key.is_empty() {
                        &headers[2..]
                    } else {
                        &headers[..]
                    };
                    let refused = ask(&server, method, &path, headers, "{}").await;
                    // Bitly's API answers 403 to who is not known.
                    assert!(
                        matches!(refused.status.as_u16(), 401 | 403),
                        "{method} {path} {key:?}: {} {:?}",
                        refused.status,
                        refused.body
                    );
                }
            }
        }
    }
    assert!(asked > 25, "{asked}");
    let entries = server.get("/api/v1/audit").await.json();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn signing_in_leads_to_no_page_of_somebody_else() {
    let server = Server::start().await;
    for next in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "%2f%2fevil.example",
        ".//evil.example",
        "@evil.example",
        "\u{0}//evil.example",
    ] {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("key", &server.admin)
            .append_pair("next", next)
            .finish();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let answer = ask(&server, "POST", "/sign-in", &[form], &body).await;
        server.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(answer.status, 303, "{next:?}");
        let base = url::Url::parse("http://admin/sign-in").unwrap();
        let to = base.join(answer.header("location")).unwrap();
        assert_eq!(to.host_str(), Some("admin"), "{next:?} leads to {to}");
        assert_eq!(to.scheme(), "http", "{next:?} leads to {to}");
        let query: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = ask(&server, "GET", &format!("/sign-in?next={query}"), &[], "").await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(
            !page.contains("value=\"//") && !page.contains("evil.example"),
            "{next:?}"
        );
    }
}

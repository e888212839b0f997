//! Signing in and out, and who may not use a session.

use std::time::Duration;

use http::Request;
use serde_json::json;

use super::{PAGES, form, sign_in, try_to_sign_in};
use crate::server::{Server, empty, full};

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in() {
    let server = Server::start().await;
    for path in PAGES {
        let answer = server.send(
            Request::get(path)
                .header("host", "a")
                .body(empty())
                .unwrap(),
        );
        let answer = answer.await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/sign-in"), "{path}");
    }
    // An API key in a header signs nobody in: a form of another site could not send one anyway.
    assert_eq!(server.get("/links").await.status, 303);
    let form = server.get("/sign-in?next=//evil.example").await;
    assert_eq!(form.status, 200);
    assert!(!form.page().contains("evil.example"));

    let wrong = "tg_0000000000000000000000000000000000";
    let refused = try_to_sign_in(&server, wrong, &[]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.page().contains("role=\"alert\""));
    assert_eq!(refused.header("set-cookie"), "");
    assert!(!refused.page().contains(wrong), "keys are not shown again");
}

#[tokio::test]
async fn a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let server = Server::start().await;
    let answer = try_to_sign_in(&server, &server.admin, &[]).await;
    assert_eq!(answer.header("location"), "/links?q=a");
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(&*server.admin));
    let tls = [("x-forwarded-proto", "https")];
    let answer = try_to_sign_in(&server, &server.admin, &tls).await;
    assert!(answer.header("set-cookie").ends_with("; Secure"));

    let visitor = sign_in(&server, &server.admin).await;
    let page = visitor.get("/").await;
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
}

#[tokio::test]
async fn sessions_end_by_time_by_signing_out_and_with_their_key() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    assert_eq!(visitor.get("/system").await.status, 200);
    server.clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(
        visitor.get("/system").await.status,
        303,
        "not used for long"
    );

    let visitor = sign_in(&server, &server.admin).await;
    let out = visitor.post("/sign-out", &[]).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(visitor.get("/system").await.status, 303);

    let new = tollgate_access::NewKey::admin("second");
    let key = server.keys.create(new).await.unwrap();
    let visitor = sign_in(&server, key.secret.expose()).await;
    assert_eq!(visitor.get("/system").await.status, 200);
    server.keys.revoke(&key.key.id).await.unwrap();
    assert_eq!(visitor.get("/system").await.status, 303);

    let visitor = sign_in(&server, &server.admin).await;
    let part = Request::get("/new/check?code=a").header("hx-request", "true");
    let part = part.header("cookie", "tollgate_session=gone");
    let part = server.send(part.body(empty()).unwrap()).await;
    assert_eq!(part.header("hx-redirect"), "/sign-in", "parts of pages too");
    assert_eq!(visitor.get("/new/check?code=a").await.status, 200);
}

#[tokio::test]
async fn forms_that_others_made_are_refused() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let csrf = visitor.csrf().await;
    let other = sign_in(&server, &server.admin).await.csrf().await;
    assert_ne!(csrf, other, "each session has its own");
    let url = ("url", "https://a.example");
    for fields in [
        vec![url],
        vec![url, ("csrf", "")],
        vec![url, ("csrf", &*other)],
    ] {
        let refused = visitor.send("/new", &fields).await;
        assert_eq!(refused.status, 403, "{fields:?}");
        assert!(refused.page().contains("not sent by"));
    }
    // Even with the token, if the browser says where it comes from.
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = Request::post("/new")
            .header("host", "admin")
            .header("cookie", &visitor.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value);
        let body = full(form(&[url, ("csrf", &*csrf)]));
        assert_eq!(server.send(request.body(body).unwrap()).await.status, 403);
        let refused = try_to_sign_in(&server, &server.admin, &[(name, value)]).await;
        assert_eq!(refused.status, 403);
    }
    let request = Request::post("/new")
        .header("cookie", &visitor.cookie)
        .header("content-type", "text/plain");
    let body = full(form(&[url, ("csrf", &*csrf)]));
    assert_eq!(server.send(request.body(body).unwrap()).await.status, 415);
    assert_eq!(server.get("/api/v1/links").await.json()["links"], json!([]));

    for path in [
        "/links",
        "/new",
        "/limits/try",
        "/limits/of/shop",
        "/limits/of/shop/shadow",
        "/limits/of/shop/delete",
        "/keys",
        "/keys/x/revoke",
        "/links/x/edit",
        "/links/x/delete",
        "/webhooks",
        "/webhooks/x/pause",
        "/webhooks/x/ping",
        "/webhooks/x/rotate",
        "/webhooks/x/resend/y",
        "/webhooks/x/delete",
        "/sign-out",
    ] {
        assert_eq!(visitor.send(path, &[]).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn tries_to_sign_in_are_bounded() {
    let server = Server::start().await;
    let mut refused = 0;
    for _ in 0..40 {
        let answer = try_to_sign_in(&server, "tg_wrong", &[]).await;
        if answer.status == 429 {
            refused += 1;
            assert!(answer.page().contains("too many tries"));
            assert_ne!(answer.header("retry-after"), "");
        }
    }
    assert!((1..=30).contains(&refused), "{refused}");
    let right = try_to_sign_in(&server, &server.admin, &[]).await;
    assert_eq!(right.status, 429, "right keys are not told apart meanwhile");
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(
        try_to_sign_in(&server, &server.admin, &[]).await.status,
        303
    );
}

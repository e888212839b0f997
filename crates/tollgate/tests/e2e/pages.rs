//! The pages people see, and the password form as a browser without scripts uses it.

use serde_json::json;
use ureq::http::Request;

use crate::server::Server;

#[test]
fn a_password_is_asked_for_and_checked() {
    let server = Server::start();
    let client = server.client();
    let target = "https://a.example/secret";
    let code = client.code(&json!({"url": target, "password": "grün & blau"}));
    let link = client.link(&code);
    assert_eq!(link.json()["has_password"], true);
    assert!(!link.text().contains("argon2") && !link.text().contains("grün"));

    let form = client.visit(&code).expect(403);
    assert!(form.text().contains("<form method=\"post\">"));
    assert!(!form.text().contains("<script") && !form.text().contains(target));
    assert_eq!(form.header("cache-control"), "no-store");
    assert!(
        form.header("content-security-policy")
            .contains("default-src 'none'")
    );

    let wrong = client.unlock(&code, "gelb").expect(403);
    assert!(wrong.text().contains("<form") && !wrong.text().contains(target));
    let right = client.unlock(&code, "grün & blau").expect(303);
    assert_eq!(right.location(), target);
    assert_eq!(right.header("cache-control"), "no-store");

    let not_a_form = Request::post(client.edge(&code)).header("content-type", "text/plain");
    assert_eq!(client.http.send(not_a_form, "password=x").status, 415);
    client.patch(&code, &json!({"password": null})).expect(200);
    assert_eq!(client.visit(&code).status, 302);
}

#[test]
fn a_preview_shows_where_a_link_leads_and_takes_no_click() {
    let server = Server::start();
    let client = server.client();
    let target = "https://a.example/?a=1&b=<x>";
    let code = client.code(&json!({"url": target, "title": "<b>Sale</b>"}));
    let page = client.visit_with(&format!("{code}+"), &[]).expect(200);
    assert!(
        page.text().contains("https://a.example/?a=1&amp;b=%3Cx%3E"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("&lt;b&gt;Sale"), "titles are escaped");

    let hidden = client.code(&json!({"url": target, "max_clicks": 1}));
    let page = client.visit_with(&format!("{hidden}+"), &[]).expect(200);
    assert!(!page.text().contains("a.example"));
    assert_eq!(
        client.visit(&hidden).status,
        302,
        "the click is still there"
    );
    assert_eq!(client.visit_with("nothing+", &[]).status, 404);
}

#[test]
fn crawlers_are_told_what_to_leave_alone() {
    let server = Server::start();
    let robots = server.client().visit("robots.txt").expect(200);
    assert!(robots.header("content-type").starts_with("text/plain"));
    assert!(robots.text().contains("User-agent: *"));
}

use std::num::NonZeroU64;

use tollgate_links::{LinkSpec, PasswordHasher};

use crate::edge::Edge;

fn protect(spec: &mut LinkSpec) {
    spec.password = Some(PasswordHasher::default().hash("grün & blau").unwrap());
}

#[test]
fn a_password_is_asked_for_checked_and_rewarded() {
    let edge = Edge::start();
    edge.link("locked", protect);
    let mut client = edge.client();
    let form = client.get("/locked");
    assert_eq!(form.status, 403);
    assert!(
        form.body.contains("<form method=\"post\">"),
        "{}",
        form.body
    );
    assert!(!form.body.contains("https://example.com/locked"));
    let policy = form.header("content-security-policy").unwrap();
    assert!(
        !policy.contains("form-action"),
        "it would stop the redirect after the form: {policy}"
    );
    let preview = client.get("/locked+").body;
    assert!(!preview.contains("https://example.com/locked"), "{preview}");

    let wrong = client.post_form("/locked", "password=red");
    assert_eq!(wrong.status, 403);
    assert!(wrong.body.contains("Try again"));

    let right = client.post_form("/locked", "password=gr%C3%BCn+%26+blau");
    assert_eq!(right.status, 303);
    assert_eq!(right.location(), "https://example.com/locked");
    assert_eq!(right.header("cache-control"), Some("no-store"));
    assert_eq!(
        client.get("/locked").status,
        403,
        "it is asked for each time"
    );

    let text = edge.metrics.encode();
    for outcome in ["password", "wrong_password"] {
        assert!(
            text.contains(&format!("_count{{outcome=\"{outcome}\"")),
            "{text}"
        );
    }
}

#[test]
fn clicks_are_only_taken_by_the_right_password() {
    let edge = Edge::start();
    edge.link("once", |spec| {
        protect(spec);
        spec.max_clicks = NonZeroU64::new(1);
    });
    let mut client = edge.client();
    assert_eq!(client.get("/once").status, 403);
    assert_eq!(client.post_form("/once", "password=red").status, 403);
    let right = "password=gr%C3%BCn+%26+blau";
    assert_eq!(client.post_form("/once", right).status, 303);
    assert_eq!(client.post_form("/once", right).status, 410);
    assert_eq!(client.get("/once").status, 410);
}

#[test]
fn forms_that_are_none_are_refused() {
    let edge = Edge::start();
    edge.link("locked", protect);
    let post = |headers: &str, body: &str| {
        edge.client()
            .send(format!(
                "POST /locked HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}"
            ))
            .receive()
            .status
    };
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let json = "content-type: application/json\r\ncontent-length: 2\r\n";
    assert_eq!(post(json, "{}"), 415);
    assert_eq!(post(&format!("{form}content-length: 1\r\n"), "x"), 400);
    let large = "x".repeat(5_000);
    assert_eq!(
        post(&format!("{form}content-length: 5000\r\n"), &large),
        413
    );
    let chunked = format!("{form}transfer-encoding: chunked\r\n");
    let chunks = format!("1388\r\n{large}\r\n0\r\n\r\n");
    assert_eq!(post(&chunked, &chunks), 413);
}

//! Links made and changed by forms.

use std::sync::Arc;

use serde_json::json;
use tollgate_server::admin::AdminOptions;
use tollgate_server::qr::Logo;

use super::sign_in;
use crate::server::Server;

#[tokio::test]
async fn a_link_is_made_found_edited_and_deleted() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    assert!(visitor.page("/links").await.contains("Make the first link"));
    let wrong = visitor
        .post(
            "/new",
            &[("url", "ftp://a"), ("max_clicks", "x"), ("title", "Kept")],
        )
        .await;
    assert_eq!(wrong.status, 422);
    let page = wrong.page();
    assert!(
        page.contains("aria-invalid=\"true\"") && page.contains("value=\"Kept\""),
        "{page}"
    );

    let fields = [
        ("url", "https://a.example/x"),
        ("code", "spring"),
        ("title", "Spring"),
        ("tags", "news, 2026"),
        ("expires_at", "2030-01-31T12:00"),
        ("redirect", "307"),
        (
            "rules",
            r#"[{"if":[{"type":"os","is":"ios"}],"url":"https://b.example/"}]"#,
        ),
    ];
    assert!(
        visitor
            .page("/new/check?code=spring")
            .await
            .contains("free")
    );
    let made = visitor.post("/new", &fields).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location")),
        (303, "/links/spring")
    );
    assert!(
        visitor
            .page("/new/check?code=spring")
            .await
            .contains("taken")
    );
    assert!(
        visitor
            .page("/new/check?code=api")
            .await
            .contains("class=\"error\"")
    );
    let link = server.get("/api/v1/links/spring").await.json();
    assert_eq!(link["expires_at"], "2030-01-31T12:00:00Z");
    assert_eq!(
        (&link["tags"], &link["redirect"]),
        (&json!(["2026", "news"]), &json!(307))
    );
    assert_eq!(link["rules"][0]["url"], "https://b.example/");
    let page = visitor.page("/links/spring").await;
    assert!(page.contains("http://s.example/spring was made."), "{page}");
    assert!(
        !visitor.page("/links/spring").await.contains("was made."),
        "told once"
    );
    assert_eq!(visitor.post("/new", &fields).await.status, 409);

    let edited = [
        ("url", "https://c.example/"),
        ("version", "1"),
        ("tags", "news"),
    ];
    assert_eq!(
        visitor.post("/links/spring/edit", &edited).await.status,
        303
    );
    let link = server.get("/api/v1/links/spring").await.json();
    assert_eq!(link["url"], "https://c.example/");
    assert_eq!((&link["title"], &link["rules"]), (&json!(null), &json!([])));
    let late = visitor.post("/links/spring/edit", &edited).await;
    assert_eq!(late.status, 412);
    assert!(late.page().contains("Somebody else has edited"));

    assert!(visitor.page("/links?q=spr").await.contains("/links/spring"));
    assert!(
        visitor
            .page("/links?tag=nothing")
            .await
            .contains("No link is like this")
    );
    for (query, media) in [("", "image/svg+xml"), ("?format=png", "image/png")] {
        let qr = visitor.get(&format!("/links/spring/qr{query}")).await;
        assert_eq!(
            (qr.status.as_u16(), qr.header("content-type")),
            (200, media)
        );
    }
    assert_eq!(visitor.get("/links/spring/qr?format=gif").await.status, 400);
    assert!(
        visitor
            .page("/links/spring/delete")
            .await
            .contains("Delete /spring?")
    );
    assert_eq!(visitor.post("/links/spring/delete", &[]).await.status, 303);
    assert_eq!(visitor.get("/links/spring").await.status, 404);
}

#[tokio::test]
async fn several_links_are_changed_at_once() {
    let server = Server::start().await;
    for code in ["a-1", "b-2", "c-3"] {
        let draft = json!({"url": "https://a.example", "code": code, "tags": ["old"]});
        assert_eq!(server.post("/api/v1/links", &draft).await.status, 201);
    }
    let visitor = sign_in(&server, &server.admin).await;
    let two = [("link", "/a-1"), ("link", "/b-2")];
    let tagged = [&two[..], &[("action", "add_tag"), ("with_tag", "new")]].concat();
    assert_eq!(visitor.post("/links", &tagged).await.status, 303);
    let link = server.get("/api/v1/links/a-1").await.json();
    assert_eq!(link["tags"], json!(["new", "old"]));
    let taken = [&two[..], &[("action", "remove_tag"), ("with_tag", "old")]].concat();
    visitor.post("/links", &taken).await;
    assert_eq!(
        server.get("/api/v1/links/b-2").await.json()["tags"],
        json!(["new"])
    );

    let delete = [&two[..], &[("action", "delete")]].concat();
    let asked = visitor.post("/links", &delete).await;
    assert!(asked.page().contains("Delete 2 links?"));
    assert_eq!(server.get("/api/v1/links/a-1").await.status, 200);
    let sure = [&delete[..], &[("link", "/nothing"), ("sure", "yes")]].concat();
    assert_eq!(visitor.post("/links", &sure).await.status, 303);
    assert!(
        visitor
            .page("/links")
            .await
            .contains("2 deleted. 1 failed: /nothing")
    );
    assert_eq!(server.get("/api/v1/links/a-1").await.status, 404);
    assert_eq!(server.get("/api/v1/links/c-3").await.status, 200);
    assert_eq!(
        visitor.post("/links", &[("action", "delete")]).await.status,
        422
    );
}

#[tokio::test]
async fn the_page_of_a_link_shows_the_logo_if_there_is_one() {
    let logo = Logo::parse(include_bytes!("../../shared/logo.png")).unwrap();
    let with_logo = AdminOptions {
        qr_logo: Some(Arc::new(logo)),
        ..AdminOptions::default()
    };
    for (options, has_logo) in [(AdminOptions::default(), false), (with_logo, true)] {
        let server = Server::with(options).await;
        let visitor = sign_in(&server, &server.admin).await;
        let fields = [("url", "https://a.example/"), ("code", "spring")];
        assert_eq!(visitor.post("/new", &fields).await.status, 303);
        let answer = visitor.get("/links/spring").await;
        // An image has a policy of its own, and the page's stays as it is.
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("img-src 'self';"), "{policy}");
        let page = answer.page();
        assert_eq!(page.contains("PNG with logo"), has_logo, "{page}");
        assert_eq!(page.contains("/qr?logo=true\""), has_logo, "{page}");

        let image = visitor.get("/links/spring/qr?logo=true").await;
        assert_eq!(image.status, if has_logo { 200 } else { 400 });
        let policy = image.header("content-security-policy");
        assert_eq!(policy.contains("img-src data:"), has_logo, "{policy}");
        let text = String::from_utf8_lossy(&image.body);
        let is_embedded = text.contains("href=\"data:image/png;base64,");
        assert_eq!(is_embedded, has_logo);
    }
}

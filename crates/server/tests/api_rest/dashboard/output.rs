//! What pages hold, and how large they are.

use http::Request;
use serde_json::json;
use tollgate_clicks::Snippet;
use tollgate_server::admin::AdminOptions;

use super::{PAGES, form, sign_in};
use crate::clicks::click;
use crate::server::{START, Server, empty};

#[tokio::test]
async fn what_others_wrote_is_shown_as_text() {
    const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let server = Server::start().await;
    let draft = json!({
        "url": "https://a.example/?q=<script>", "code": "x", "title": SCRIPT, "tags": ["<b>&\"'"],
        "rules": [{"if": [{"type": "query", "name": SCRIPT}], "url": "https://b.example/"}],
    });
    assert_eq!(server.post("/api/v1/links", &draft).await.status, 201);
    let mut click = click(1, START, "x");
    click.referrer = Snippet::of(SCRIPT.as_bytes(), 512);
    click.user_agent = Snippet::of(SCRIPT.as_bytes(), 512);
    server.clicks.count(vec![click]).await;
    let key = tollgate_access::NewKey::admin("<i>name</i>");
    let key = server.keys.create(key).await.unwrap();
    let hook = json!({"url": "https://a.example/<script>", "events": ["link.created"], "description": SCRIPT});
    let hook = server.post("/api/v1/webhooks", &hook).await;
    assert_eq!(hook.status, 201);
    let ask =
        json!({"domain": "shop", "descriptors": [[{"key": "user", "value": SCRIPT}]], "hits": 9});
    assert_eq!(server.post("/api/v1/limits/check", &ask).await.status, 200);

    let visitor = sign_in(&server, key.secret.expose()).await;
    let hook = format!("/webhooks/{}", hook.json()["id"].as_str().unwrap());
    let mut pages = PAGES.map(str::to_owned).to_vec();
    pages.extend([
        hook,
        "/links/x".to_owned(),
        "/links/x/edit".to_owned(),
        "/links/x/delete".to_owned(),
    ]);
    pages.push(format!(
        "/links?{}",
        form(&[("q", SCRIPT), ("tag", SCRIPT)])
    ));
    let mut seen = 0;
    for path in pages {
        let page = visitor.page(&path).await;
        for bad in ["<script>alert", "<img src=x", "<b>&", "<i>name", "\"'><"] {
            assert!(!page.contains(bad), "{path}: {bad}");
        }
        seen += usize::from(page.contains("&lt;script&gt;alert(1)"));
        let scripts = page.matches("<script").count();
        assert_eq!(
            scripts,
            page.matches("<script src=\"/assets/").count(),
            "{path}"
        );
        assert!(
            !page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick=")
        );
    }
    assert!(seen >= 6, "{seen}");
    let domains = visitor.page("/domains").await;
    assert!(domains.contains("30 days\">1</td>"), "{domains}");
    let asked = form(&[("code", SCRIPT)]);
    let part = visitor.page(&format!("/new/check?{asked}")).await;
    assert!(!part.contains("<script>"), "{part}");
}

#[tokio::test]
async fn the_first_page_is_small_and_its_files_are_kept() {
    const MOST: usize = 100 * 1024;
    let server = Server::start().await;
    let links = (0..60).map(
        |n| json!({"url": format!("https://a.example/{n}"), "title": "A title of usual length"}),
    );
    for link in links {
        assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
    }
    let visitor = sign_in(&server, &server.admin).await;
    for path in PAGES {
        let page = visitor.page(path).await;
        let mut bytes = page.len();
        for part in page.split("/assets/").skip(1) {
            let file = format!("/assets/{}", part.split('"').next().unwrap());
            let request = Request::get(&*file).header("accept-encoding", "br, gzip");
            let file = server.send(request.body(empty()).unwrap()).await;
            assert_eq!(file.header("content-encoding"), "gzip");
            assert!(file.header("cache-control").contains("immutable"));
            bytes += file.body.len();
        }
        eprintln!("{path}: {bytes} bytes");
        assert!(bytes < MOST, "{path}: {bytes}");
    }
    let page = visitor.page("/").await;
    let file = page.split_once("<script src=\"").unwrap().1;
    let file = file.split('"').next().unwrap();
    let plain = server.get(file).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.header("content-type").starts_with("text/javascript"));
    server
        .get("/assets/0/htmx.min.js")
        .await
        .problem(404, "no-route");
    for part in page.split("href=\"/").skip(1) {
        let path = format!("/{}", part.split('"').next().unwrap());
        let status = visitor.get(&path).await.status;
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let options = AdminOptions {
        dashboard: false,
        ..AdminOptions::default()
    };
    let server = Server::with(options).await;
    assert!(server.get("/").await.page().contains("/api/docs/"));
    server.get("/sign-in").await.problem(404, "no-route");
    server.get("/links").await.problem(404, "no-route");
}

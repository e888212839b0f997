//! What a real browser makes of the pages.

use serde_json::json;

use crate::devtools::Page;
use crate::server::Server;

#[test]
#[ignore = "needs chromium"]
fn a_password_is_typed_and_leads_on_without_scripts() {
    let server = Server::start();
    let client = server.client();
    let target = format!("{}/health/live", server.admin);
    let code = client.code(&json!({"url": target, "password": "grün & blau"}));
    let mut page = Page::open(false);
    page.go(&client.edge(&code));
    let html = page.shows("type=\"password\"");
    assert!(!html.contains("role=\"alert\""), "{html}");
    page.type_and_enter("[type=password]", "gelb");
    page.shows("role=\"alert\"");
    page.type_and_enter("[type=password]", "grün & blau");
    page.shows("\"status\"");
    assert!(page.requests().contains(&target), "{:?}", page.requests());
    only_from(&page, &[&server.edge, &server.admin]);
}

#[test]
#[ignore = "needs chromium"]
fn a_preview_shows_titles_as_text() {
    let server = Server::start();
    let client = server.client();
    let title = "<script>document.title = 'run'</script>";
    let code = client.code(&json!({"url": "https://a.example/?q=1", "title": title}));
    let mut page = Page::open(true);
    page.go(&client.edge(&format!("{code}+")));
    let html = page.shows("https://a.example/?q=1");
    assert!(html.contains("&lt;script&gt;document.title"), "{html}");
    assert!(!html.contains("<title>run</title>"), "{html}");
    only_from(&page, &[&server.edge]);
}

#[test]
#[ignore = "needs chromium"]
fn the_viewer_of_the_api_needs_no_network() {
    let server = Server::start();
    let mut page = Page::open(true);
    page.go(&format!("{}/api/docs/", server.admin));
    page.shows("/api/v1/links/{code}/history");
    let description = format!("{}/api/openapi.json", server.admin);
    assert!(
        page.requests().contains(&description),
        "{:?}",
        page.requests()
    );
    only_from(&page, &[&server.admin]);
}

/// The page asked nobody else for anything.
pub(crate) fn only_from(page: &Page, hosts: &[&str]) {
    for url in page.requests() {
        let ours = hosts.iter().any(|host| url.starts_with(host));
        assert!(ours || url.starts_with("data:"), "it asks for {url}");
    }
}

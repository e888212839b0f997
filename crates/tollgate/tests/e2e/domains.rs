//! Several domains, told apart by the Host header.

use serde_json::json;

use crate::server::Options;

#[test]
fn each_domain_has_its_own_codes() {
    let server = Options::default()
        .config(
            "[links]\nbase_url = \"https://go.example.com\"\n\
             domains = [\"https://lnk.example\", \"https://bücher.example\"]",
        )
        .start();
    let client = server.client();
    for (domain, target) in [
        (json!(null), "https://a.example/"),
        (json!("lnk.example"), "https://b.example/"),
        (json!("bücher.example"), "https://c.example/"),
    ] {
        let mut draft = json!({"url": target, "code": "same"});
        if !domain.is_null() {
            draft["domain"] = domain;
        }
        client.create(&draft);
    }
    for (host, target) in [
        ("go.example.com", "https://a.example/"),
        ("lnk.example", "https://b.example/"),
        ("LNK.example:8080", "https://b.example/"),
        ("xn--bcher-kva.example", "https://c.example/"),
        ("unknown.example", "https://a.example/"),
    ] {
        let reply = client.visit_with("same", &[("host", host)]).expect(302);
        assert_eq!(reply.location(), target, "{host}");
    }
    let link = client.api("GET", "/api/v1/links/same?domain=lnk.example");
    assert_eq!(link.json()["short_url"], "https://lnk.example/same");
    let link = client.link("same").json();
    assert_eq!(link["short_url"], "https://go.example.com/same");
    let gone = client.api("DELETE", "/api/v1/links/same?domain=lnk.example");
    assert_eq!(gone.status, 204);
    let reply = client.visit_with("same", &[("host", "lnk.example")]);
    assert_eq!(reply.status, 404);
    assert_eq!(client.visit("same").status, 302);
}

#[test]
fn a_link_cannot_lead_back_to_a_domain_of_ours() {
    let server = Options::default()
        .config(
            "[links]\nbase_url = \"https://go.example.com\"\ndomains = [\"https://lnk.example\"]",
        )
        .start();
    for own in ["https://go.example.com/x", "http://LNK.example/x"] {
        let reply = server.client().draft(&json!({"url": own}));
        reply.problem(422, "invalid-fields");
    }
}

//! What keys allow, and forms for policies, keys and webhooks.

use serde_json::json;
use tollgate_access::Scope;

use super::sign_in;
use crate::server::Server;

#[tokio::test]
async fn a_key_decides_what_is_seen_and_done() {
    let server = Server::start().await;
    // No word that can come up in a token of random digits.
    let draft = json!({"url": "https://a.example", "code": "spring"});
    assert_eq!(server.post("/api/v1/links", &draft).await.status, 201);
    let reader = server.key(&[Scope::LinksRead], None).await;
    let reader = sign_in(&server, &reader).await;
    let page = reader.page("/links").await;
    assert!(
        page.contains("spring")
            && !page.contains("href=\"/new\"")
            && !page.contains("href=\"/keys\"")
    );
    for path in [
        "/keys",
        "/webhooks",
        "/limits",
        "/new",
        "/links/spring/edit",
        "/links/spring/delete",
    ] {
        let refused = reader.get(path).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.page().contains("scope"), "{path}");
    }
    let refused = reader.post("/links/spring/delete", &[]).await;
    assert_eq!(refused.status, 403);
    let refused = reader.post("/new", &[("url", "https://b.example")]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(server.get("/api/v1/links/spring").await.status, 200);
    let live = reader.get("/live").await;
    live.problem(403, "missing-scope");

    let elsewhere = tollgate_links::Domain::parse("go.example").unwrap();
    let scopes = [Scope::LinksRead, Scope::LinksWrite];
    let bound = server.key(&scopes, Some(elsewhere)).await;
    let bound = sign_in(&server, &bound).await;
    assert!(!bound.page("/links").await.contains("spring"));
    assert_eq!(
        bound.get("/links/spring?domain=s.example").await.status,
        403
    );
    assert!(!bound.page("/domains").await.contains("s.example"));
    assert!(
        bound
            .page("/new/check?code=spring&domain=s.example")
            .await
            .contains("free")
    );

    // Whoever may ask for decisions sees policies, but changes none.
    let asker = server.key(&[Scope::LimitsCheck], None).await;
    let asker = sign_in(&server, &asker).await;
    assert!(asker.page("/limits").await.contains("per_user"));
    assert!(
        !asker
            .page("/limits/of/shop")
            .await
            .contains("value=\"save\"")
    );
    let refused = asker
        .post("/limits/of/shop", &[("yaml", "domain: shop")])
        .await;
    assert_eq!(refused.status, 403);
    let fields = [("path", "user"), ("shadow", "true")];
    assert_eq!(
        asker.post("/limits/of/shop/shadow", &fields).await.status,
        403
    );
}

#[tokio::test]
async fn policies_are_edited_switched_and_tried() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    assert!(visitor.page("/limits").await.contains("per_user"));
    let yaml = "domain: shop\r\ndescriptors:\r\n  - key: user\r\n    # one\r\n    rate_limit: {unit: hour, requests_per_unit: 1}\r\n";
    let wrong = visitor.post("/limits/of/shop", &[("yaml", "domain: shop\ndescriptors:\n  - key: user\n    rate_limit: {unit: eon, requests_per_unit: 1}\n"), ("do", "save")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.page().contains("Line 4"), "{}", wrong.page());
    let checked = visitor
        .post("/limits/of/shop", &[("yaml", yaml), ("do", "check")])
        .await;
    assert!(checked.page().contains("This is right: 1 limits."));
    assert!(
        visitor.page("/limits").await.contains("per_user"),
        "nothing was saved"
    );
    assert_eq!(
        visitor
            .post("/limits/of/shop", &[("yaml", yaml), ("do", "save")])
            .await
            .status,
        303
    );

    let ask = [
        ("domain", "shop"),
        ("descriptors", "user=anna"),
        ("hits", ""),
    ];
    assert!(
        visitor
            .post("/limits/try", &ask)
            .await
            .page()
            .contains("200 OK")
    );
    let over = visitor.post("/limits/try", &ask).await.page();
    assert!(over.contains("429 Too Many Requests"), "{over}");
    let shadow = [("path", "user"), ("shadow", "true")];
    assert_eq!(
        visitor.post("/limits/of/shop/shadow", &shadow).await.status,
        303
    );
    assert!(
        visitor
            .post("/limits/try", &ask)
            .await
            .page()
            .contains("would refuse")
    );
    let text = server.get("/api/v1/limits/policies/shop").await;
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    assert_eq!(
        text,
        yaml.replace("\r\n", "\n")
            .replace("    rate", "    shadow_mode: true\n    rate")
    );
    let unknown = [("path", "nobody"), ("shadow", "true")];
    assert_eq!(
        visitor
            .post("/limits/of/shop/shadow", &unknown)
            .await
            .status,
        409
    );

    let new = [
        ("new", "yes"),
        (
            "yaml",
            "domain: other\ndescriptors:\n  - key: x\n    rate_limit: {unit: hour, requests_per_unit: 1}\n",
        ),
        ("do", "save"),
    ];
    assert_eq!(visitor.post("/limits/of/new", &new).await.status, 303);
    assert!(visitor.page("/limits").await.contains("domain-other"));
    assert!(
        visitor
            .page("/limits/of/other/delete")
            .await
            .contains("Take back")
    );
    assert_eq!(
        visitor.post("/limits/of/other/delete", &[]).await.status,
        303
    );
    assert!(!visitor.page("/limits").await.contains("domain-other"));
}

#[tokio::test]
async fn keys_and_webhooks_are_made_and_ended() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let none = visitor.post("/keys", &[("name", "news")]).await;
    assert_eq!(none.status, 422);
    assert!(none.page().contains("at least one scope"));
    let made = visitor
        .post(
            "/keys",
            &[
                ("name", "news"),
                ("scopes", "links:read"),
                ("scopes", "stats:read"),
            ],
        )
        .await;
    let page = made.page();
    let secret = page.split_once("<code class=\"secret\">").unwrap().1;
    let secret = secret.split('<').next().unwrap();
    assert_eq!(
        sign_in(&server, secret).await.get("/links").await.status,
        200
    );
    assert!(!visitor.page("/keys").await.contains(secret), "shown once");
    let keys = server.get("/api/v1/keys").await.json();
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let id = keys.find(|key| key["name"] == "news").unwrap();
    let id = id["id"].as_str().unwrap();
    assert!(
        visitor
            .page(&format!("/keys/{id}/revoke"))
            .await
            .contains("Revoke the key")
    );
    assert_eq!(
        visitor
            .post(&format!("/keys/{id}/revoke"), &[])
            .await
            .status,
        303
    );
    assert!(visitor.page("/keys").await.contains("revoked"));

    let wrong = visitor
        .post("/webhooks", &[("url", "nowhere"), ("thresholds", "a")])
        .await;
    assert_eq!(wrong.status, 422);
    let made = visitor
        .post(
            "/webhooks",
            &[
                ("url", "https://a.example/hook"),
                ("events", "link.created"),
            ],
        )
        .await;
    assert!(made.page().contains("whsec_"));
    let id = server.get("/api/v1/webhooks").await.json()["webhooks"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/webhooks/{id}");
    assert_eq!(visitor.post(&format!("{path}/ping"), &[]).await.status, 303);
    assert!(visitor.page(&path).await.contains("A ping is queued."));
    assert_eq!(
        visitor.post(&format!("{path}/pause"), &[]).await.status,
        303
    );
    assert!(visitor.page(&path).await.contains("paused"));
    assert!(
        visitor
            .post(&format!("{path}/rotate"), &[])
            .await
            .page()
            .contains("whsec_")
    );
    assert_eq!(
        visitor.post(&format!("{path}/delete"), &[]).await.status,
        303
    );
    assert_eq!(visitor.get(&path).await.status, 404);
}

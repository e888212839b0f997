//! The page that puts a log through policies.

use super::{Server, sign_in};

const POLICIES: &str = "domain: shop\r\ndescriptors:\r\n  - key: remote_address\r\n    rate_limit: {name: shop_addresses, unit: day, requests_per_unit: 2}\r\n  - key: path\r\n    shadow_mode: true\r\n    rate_limit: {name: per_path, unit: day, requests_per_unit: 4}\r\n";

fn log(lines: usize) -> String {
    (0..lines)
        .map(|n| {
            let path = if n == 0 { "<b>" } else { "/a" };
            format!(
                "192.0.2.{} - - [10/Oct/2025:13:55:{n:02} +0000] \"GET {path} HTTP/1.1\" 200 5\r\n",
                n % 2
            )
        })
        .collect()
}

fn fields<'a>(log: &'a str, what: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("yaml", POLICIES),
        ("log", log),
        ("by", "remote_address path"),
        ("good", "192.0.2.1"),
        ("share", "0.9"),
        ("do", what),
    ]
}

#[tokio::test]
async fn a_log_is_replayed_and_kept_as_a_forecast() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let page = visitor.page("/replay").await;
    assert!(
        page.contains("domain: shop"),
        "begins with what is in force"
    );
    let text = log(10) + "nonsense <i>\r\n";
    let shown = visitor
        .post("/replay", &fields(&text, "replay"))
        .await
        .page();
    // Six of ten: two of each address pass.
    assert!(shown.contains("<small>60.0 %</small>"), "{shown}");
    assert!(shown.contains("of 5 requests, 60.0 %"), "{shown}");
    assert!(shown.contains("remote_address=192.0.2.0"), "{shown}");
    assert!(
        shown.contains("nonsense &lt;i&gt;") && !shown.contains("<b>"),
        "{shown}"
    );
    let before = visitor.page("/limits").await;
    assert!(!before.contains("Forecast"), "{before}");
    assert!(
        !before.contains("shop_addresses"),
        "nothing is put in force"
    );

    let put = [("yaml", POLICIES), ("do", "save")];
    assert_eq!(visitor.post("/limits/of/shop", &put).await.status, 303);
    let kept = visitor.post("/replay", &fields(&text, "keep")).await;
    assert_eq!(kept.status, 303);
    let limits = visitor.page("/limits").await;
    assert!(limits.contains("Forecast"), "{limits}");
    assert!(
        limits.contains("data-label=\"Forecast\">60.0 %"),
        "{limits}"
    );
    assert!(limits.contains("data-label=\"Share\">–"), "{limits}");
    let ask = [
        ("domain", "shop"),
        ("descriptors", "remote_address=x"),
        ("hits", ""),
    ];
    for _ in 0..4 {
        visitor.post("/limits/try", &ask).await;
    }
    let limits = visitor.page("/limits").await;
    assert!(limits.contains("data-label=\"Share\">50.0 %"), "{limits}");
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_field_and_nothing_is_lost() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let text = log(3);
    for (field, value, reason) in [
        ("yaml", "domain: x\nnonsense: 1\n", "Line 2"),
        ("yaml", "", "of one domain"),
        ("by", "user", "nothing to count by"),
        ("by", " ", "at least one"),
        ("good", "user_agent~", "good"),
        ("share", "x", "such as 0.999"),
        ("share", "1.001", "such as 0.999"),
        ("log", " ", "some lines"),
    ] {
        let mut fields = fields(&text, "replay");
        for (name, given) in &mut fields {
            if *name == field {
                *given = value;
            }
        }
        let answer = visitor.post("/replay", &fields).await;
        assert_eq!(answer.status, 422, "{field}={value}");
        let page = answer.page();
        assert!(page.contains(reason), "{field}={value}: {page}");
        assert!(
            field == "log" || page.contains("10/Oct/2025:13:55:02"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn a_key_that_may_not_see_policies_may_not_replay() {
    let server = Server::start().await;
    let key = server.key(&[tollgate_access::Scope::LinksRead], None).await;
    let visitor = sign_in(&server, &key).await;
    assert_eq!(visitor.get("/replay").await.status, 403);
    let answer = visitor.post("/replay", &fields("x", "replay")).await;
    assert_eq!(answer.status, 403);
}

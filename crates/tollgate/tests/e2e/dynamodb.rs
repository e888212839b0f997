//! Links that servers share in a table of DynamoDB, and what visitors see while it is away. The engine comes from npm:
//! `scripts/test` runs most of these in a stage of their own.

use crate::server::{new_home, tollgate};

#[test]
fn a_table_that_is_not_named_is_told() {
    let home = new_home();
    for (url, told) in [
        ("dynamodb://eu-central-1", "this names no table of DynamoDB"),
        ("dynamodb://key:sesame@here/links", "holds no credentials"),
        ("dynamodb://here/links?endpoint=host", "http:// or https://"),
    ] {
        // A build without the client says so instead.
        if !cfg!(feature = "dynamodb") && url.contains("links") {
            continue;
        }
        let refused = tollgate()
            .env("TOLLGATE_LINKS__STORE", url)
            .args(["migrate", "--data-dir"])
            .arg(home.path().join("data"))
            .output()
            .unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && text.contains(told), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[cfg(not(feature = "dynamodb"))]
#[test]
fn a_build_without_the_client_says_so() {
    let home = new_home();
    let refused = tollgate()
        .env("TOLLGATE_LINKS__STORE", "dynamodb://here/links")
        .args(["migrate", "--data-dir"])
        .arg(home.path().join("data"))
        .output()
        .unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("build with --features dynamodb"), "{text}");
}

#[cfg(feature = "dynamodb")]
mod engine {
    use serde_json::json;

    use crate::client::Client;
    use crate::private_dynalite::{KEY_ID, PrivateDynalite, SECRET};
    use crate::server::{Options, Server, eventually};

    /// Where a visitor is sent.
    fn target(client: &Client, code: &str) -> Option<String> {
        let reply = client.visit(code);
        (reply.status == 302).then(|| reply.location().to_owned())
    }

    fn options(engine: &PrivateDynalite) -> Options {
        Options::default()
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .config(&format!(
                "[links]\nstore = \"{}\"\n[links.memory_cache]\nttl = \"1h\"\nfollow = \"200ms\"",
                engine.url("tollgate")
            ))
    }

    #[test]
    #[ignore = "needs dynalite: scripts/test e2e"]
    fn servers_share_their_links_and_their_edits() {
        let engine = PrivateDynalite::start();
        let servers: Vec<Server> = std::thread::scope(|scope| {
            let starting = [(); 2].map(|()| scope.spawn(|| options(&engine).start()));
            starting
                .into_iter()
                .map(|server| server.join().unwrap())
                .collect()
        });
        let [one, other] = [servers[0].client(), servers[1].client()];
        let mut codes = Vec::new();
        for strategy in ["counter", "hash", "snowflake", "pool", "random"] {
            for client in [&one, &other] {
                let url = format!("https://{strategy}.example/{}", codes.len());
                let code = client.code(&json!({"url": url, "strategy": strategy}));
                assert_eq!(target(&other, &code).as_deref(), Some(url.as_str()));
                codes.push(code);
            }
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), 10);
        // Clicks of a limited link are counted by both together.
        let limited = one.code(&json!({"url": "https://b.example/", "max_clicks": 3}));
        let passed = (0..8).filter(|at| {
            let client = if at % 2 == 0 { &one } else { &other };
            target(client, &limited).is_some()
        });
        assert_eq!(passed.count(), 3);

        let code = &codes[0];
        one.patch(code, &json!({"url": "https://new.example/"}))
            .expect(200);
        eventually("the other server's cache to forget", || {
            (target(&other, code)? == "https://new.example/").then_some(())
        });
        one.delete(code).expect(204);
        eventually("the other server's cache to forget", || {
            (other.visit(code).status == 404).then_some(())
        });
        assert!(one.metric("tollgate_dynamodb_requests_total") > 0.0);
        for server in &servers {
            assert!(!server.log().contains(SECRET), "{}", server.log());
        }
    }

    #[test]
    #[ignore = "needs dynalite: scripts/test e2e"]
    fn while_it_is_away_visitors_of_known_links_notice_nothing() {
        let mut engine = PrivateDynalite::start_lasting();
        let server = options(&engine).start();
        let client = server.client();
        let unknown = client.code(&json!({"url": "https://unknown.example/"}));
        let known = client.code(&json!({"url": "https://known.example/"}));
        // Another server knows what it was asked for.
        let fresh = options(&engine).start();
        assert!(target(&fresh.client(), &known).is_some());

        engine.kill();
        for _ in 0..5 {
            assert_eq!(
                target(&fresh.client(), &known).unwrap(),
                "https://known.example/"
            );
        }
        let missed = fresh.client().visit(&unknown);
        assert_eq!(missed.status, 503);
        assert!(!missed.header("retry-after").is_empty());
        let refused = client.draft(&json!({"url": "https://c.example/"}));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!refused.header("retry-after").is_empty());
        eventually("not ready", || (!fresh.client().is_ready()).then_some(()));

        engine.restart();
        eventually("ready again", || fresh.client().is_ready().then_some(()));
        assert_eq!(
            target(&fresh.client(), &unknown).unwrap(),
            "https://unknown.example/"
        );
        client.code(&json!({"url": "https://c.example/"}));
        assert!(fresh.client().metric("tollgate_dynamodb_failures_total") > 0.0);
    }
}

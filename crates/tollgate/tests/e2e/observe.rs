//! Health, metrics and the log.

use serde_json::{Value, json};

use crate::server::{Options, Server};

#[test]
fn health_and_metrics_need_no_key() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(client.open("/health/live").status, 200);
    assert_eq!(client.open("/health/ready").status, 200);

    let code = client.code(&json!({"url": "https://a.example/"}));
    for _ in 0..3 {
        client.visit(&code).expect(302);
    }
    client.visit("absent").expect(404);
    let metrics = client.open("/metrics").expect(200);
    assert!(metrics.header("content-type").contains("openmetrics-text"));
    let text = metrics.text();
    let count = |outcome: &str| -> u64 {
        text.lines()
            .filter(|line| line.starts_with("tollgate_edge_request_duration_seconds_count{"))
            .filter(|line| line.contains(&format!("outcome=\"{outcome}\"")))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(count("redirect"), 3, "{text}");
    assert_eq!(count("not_found"), 1, "{text}");
    for name in [
        "tollgate_cache_",
        "tollgate_admin_request_duration_seconds",
        "process_",
    ] {
        assert!(text.contains(name), "{name} is missing");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_log_can_be_json_and_holds_no_secrets() {
    let server = Options::default()
        .config("[log]\nformat = \"json\"\nlevel = \"debug\"")
        .start();
    let client = server.client();
    let draft = json!({"url": "https://a.example/", "password": "swordfish"});
    let reply = client.draft(&draft).expect(201);
    let id = reply.header("x-request-id").to_owned();
    assert!(!id.is_empty());
    client
        .unlock(reply.json()["code"].as_str().unwrap(), "swordfish")
        .expect(303);
    let log = crate::server::eventually("the request in the log", || {
        Some(server.log()).filter(|log| log.contains(&id))
    });
    assert!(!log.contains("swordfish") && !log.contains(&server.key));
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!events.is_empty());
}

//! Rate limits over gRPC, asked by the client library of the gRPC project.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Options, Server, both, eventually, new_home};

const POLICIES: &str = "\
domain: shop
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: hour, requests_per_unit: 2, algorithm: sliding_log}
  - key: staff
    rate_limit: {unlimited: true}
";

fn start() -> Server {
    let home = new_home();
    let file = home.path().join("limits.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    Options::default()
        .config(&format!("[limits]\npolicies = {file:?}"))
        .config("[grpc]\nheaders = true")
        .arg("--grpc-listen=127.0.0.1:0")
        .start_in(&home)
}

/// The Python that has the library.
fn python() -> &'static str {
    let has = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import grpc, google.protobuf"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    // Debian's packages are for Debian's Python, which may not be the first.
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has);
    found.expect(
        "Python has no gRPC: install python3-grpcio and python3-protobuf, as scripts/test does",
    )
}

fn ask(server: &Server, requests: &[Value]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/grpc_client.py");
    let address = server.address("grpc").replace("http://", "");
    let mut client = Command::new(python())
        .args([script, &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    for request in requests {
        writeln!(input, "{request}").unwrap();
    }
    drop(input);
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers = text.lines().map(|line| serde_json::from_str(line).unwrap());
    answers.collect()
}

#[test]
fn a_client_of_another_make_is_limited() {
    let server = start();
    let user = json!({"domain": "shop", "descriptors": [
        {"entries": [{"key": "user", "value": "u1"}]},
        {"entries": [{"key": "staff", "value": "s1"}]},
        {"entries": [{"key": "nobody", "value": "n1"}]},
    ]});
    let nobody = json!({"domain": "shop", "descriptors": []});
    let brought = json!({"domain": "shop", "hitsAddend": 5, "descriptors": [
        {"entries": [{"key": "user", "value": "u2"}],
         "limit": {"requestsPerUnit": 7, "unit": "DAY"}},
    ]});
    let answers = ask(
        &server,
        &[user.clone(), user.clone(), user, nobody, brought],
    );
    let limit = json!({"name": "per_user", "requestsPerUnit": 2, "unit": "HOUR"});
    for (answer, remaining) in answers.iter().zip([1, 0]) {
        assert_eq!(answer["overallCode"], "OK");
        let [user, staff, nobody] = &answer["statuses"].as_array().unwrap()[..] else {
            panic!("{answer}")
        };
        assert_eq!(user["currentLimit"], limit);
        assert_eq!(user["limitRemaining"].as_u64().unwrap_or(0), remaining);
        assert_eq!(staff, &json!({"code": "OK", "limitRemaining": u32::MAX}));
        assert_eq!(nobody, &json!({"code": "OK"}));
    }
    let refused = &answers[2];
    assert_eq!(refused["overallCode"], "OVER_LIMIT");
    assert_eq!(refused["statuses"][0]["code"], "OVER_LIMIT");
    let headers = refused["responseHeadersToAdd"].as_array().unwrap();
    let names: Vec<&str> = headers.iter().filter_map(|h| h["key"].as_str()).collect();
    for name in ["ratelimit", "ratelimit-policy", "retry-after"] {
        assert!(names.contains(&name), "{refused}");
    }
    assert_eq!(answers[3]["code"], "INVALID_ARGUMENT");
    assert_eq!(answers[4]["statuses"][0]["limitRemaining"], 2);

    // It is the service that the API asks, too.
    let metrics = server
        .client()
        .http
        .get(&format!("{}/metrics", server.admin));
    let text = metrics.text();
    for line in [
        r#"tollgate_limits_decisions_total{domain="shop",policy="per_user",outcome="denied"} 1"#,
        r#"tollgate_grpc_request_duration_seconds_count{method="ShouldRateLimit",code="OK"} 4"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
    server.stop();
}

#[test]
fn the_log_says_where_it_listens() {
    let server = start();
    let address = server.address("grpc").replace("http://", "");
    let line = eventually("the line of the log", || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("serving"));
        line.map(str::to_owned)
    });
    assert!(
        line.contains("grpc_address") && line.contains(&address),
        "{line}"
    );
    server.stop();
}

#[test]
fn it_is_off_unless_it_is_asked_for_and_tells_who_has_its_address() {
    let server = Server::start();
    assert!(!server.log().contains("grpc"), "{}", server.log());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Options::default()
        .arg("--grpc-listen")
        .arg(&address)
        .fails_to_start(&new_home());
    let text = both(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains(&address) && text.contains("--grpc-listen"),
        "{text}"
    );
}

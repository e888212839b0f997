//! `tollgate limit replay`, and whether what it forecasts is what a server then does.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::server::{Server, both, run, tollgate};

/// Three a minute for each address; one request to the login, which only looks on.
const POLICIES: &str = "
domain: http
descriptors:
  - key: remote_address
    rate_limit: {unit: minute, requests_per_unit: 3}
  - key: path
    value: /login
    descriptors:
      - key: remote_address
        shadow_mode: true
        rate_limit: {name: logins, unit: hour, requests_per_unit: 1}
";

/// Ten requests of one client within a minute, and two of another; every third is for the login.
fn log() -> String {
    let mut text = String::new();
    for n in 0..12 {
        let client = if n < 10 { "192.0.2.1" } else { "2001:DB8::1" };
        let path = if n % 3 == 0 { "/login?a" } else { "/" };
        let agent = if n == 9 { "Googlebot/2.1" } else { "x" };
        writeln!(
            text,
            r#"{client} - - [10/Oct/2025:13:55:{n:02} +0000] "GET {path} HTTP/1.1" 200 5 "-" "{agent}""#
        )
        .unwrap();
    }
    text
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write("limits.yaml", POLICIES.as_bytes());
        home
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn replay(&self, args: &[&str]) -> Command {
        let mut command = tollgate();
        command.current_dir(self.0.path());
        command.args(["limit", "replay", "--policies", "limits.yaml"]);
        command.args(args);
        command
    }
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", both(output));
    assert!(output.stderr.is_empty(), "{}", both(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&told(&command.arg("--json").output().unwrap())).unwrap()
}

fn check(report: &Value) {
    assert_eq!(report["requests"], 12);
    assert_eq!(report["refused"], 7);
    assert_eq!(report["rules"][0]["policy"], "remote_address");
    assert_eq!(report["rules"][0]["refused"], 7);
    assert_eq!(report["rules"][0]["keys"]["count"], 2);
    assert_eq!(report["rules"][0]["keys"]["never_refused"], 0.5);
    assert_eq!(report["rules"][1]["policy"], "logins");
    assert_eq!(report["rules"][1]["requests"], 4);
    assert_eq!(report["rules"][1]["would_refuse"], 3);
    assert_eq!(report["worst"][0]["key"], "remote_address=192.0.2.1");
}

#[test]
fn logs_are_read_from_files_compressed_or_not_and_from_standard_input() {
    let home = Home::new();
    let text = log();
    home.write("access.log", text.as_bytes());
    for compressor in ["gzip", "zstd"] {
        let Ok(compressed) = Command::new(compressor)
            .arg("-ck")
            .arg(home.0.path().join("access.log"))
            .output()
        else {
            continue;
        };
        assert!(compressed.status.success());
        let name = format!("access.{compressor}");
        home.write(&name, &compressed.stdout);
        check(&json(&mut home.replay(&[&name])));
    }
    check(&json(&mut home.replay(&["access.log"])));
    let mut piped = home.replay(&["-", "--json"]);
    let mut child = piped
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    check(&serde_json::from_slice(&output.stdout).unwrap());
}

#[test]
fn reports_are_text_markdown_or_json() {
    let home = Home::new();
    home.write("access.log", (log() + "what is this?\n").as_bytes());
    let text = told(
        &home
            .replay(&["access.log", "--good", "user_agent~Googlebot"])
            .output()
            .unwrap(),
    );
    for line in [
        "13 lines: 12 requests (12 combined), 1 bad",
        "refused: 7 of 12 requests (58.3 %)",
        "good clients: 1 of 1 requests refused (100.0 %)",
        "remote_address\t3 per 1 min\tfixed_window\t12\t7\t0\t2\t50.0 %\t1\t1 (100.0 %)",
        "logins\t1 per 1 h (shadow)\tfixed_window\t4\t0\t3\t1\t0.0 %\t1\t1 (100.0 %)",
        "remote_address\tremote_address=192.0.2.1\t7",
        "Bad lines, 1 of 1",
        "access.log:13\tneither common or combined log format nor JSON\twhat is this?",
    ] {
        assert!(
            text.lines().any(|told| told == line),
            "{line:?} is not in\n{text}"
        );
    }
    let markdown = told(
        &home
            .replay(&["access.log", "--markdown", "--suggest", "0.5"])
            .output()
            .unwrap(),
    );
    for line in [
        "- refused: 7 of 12 requests (58.3 %)",
        "## Policies",
        "| remote\\_address | 2 per 1 min | 3 per 1 min | 10 per 1 min | 2 |",
    ] {
        assert!(
            markdown.lines().any(|told| told == line),
            "{line:?} is not in\n{markdown}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_told() {
    let home = Home::new();
    let log = home.write("access.log", b"nothing\n");
    let log = log.to_str().unwrap();
    for (args, code, part) in [
        (&["access.log", "--suggest", "2"][..], 2, "--suggest"),
        (&["access.log", "--by", "cookie"], 2, "cookie"),
        (&["access.log", "--field", "time"], 2, "NAME=KEY"),
        (&["access.log", "--good", "missing.txt"], 1, "missing.txt"),
        (&["access.log", "--domain", "edge"], 1, "but http"),
        (&["missing.log"], 1, "missing.log"),
        (&[log], 1, "1 bad"),
    ] {
        let output = home.replay(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?} {}",
            both(&output)
        );
        assert!(both(&output).contains(part), "{args:?} {}", both(&output));
    }
    let output = tollgate().args(["limit", "replay", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
}

/// The server's own configuration says what is counted, so that a replay is of what it would do.
#[test]
fn a_configuration_says_how_requests_are_counted() {
    let home = Home::new();
    home.write(
        "tollgate.toml",
        b"[limits]\nauthorize_by = [\"path\"]\n[proxy]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\nby = [\"path+remote_address\"]\n",
    );
    home.write("access.log", log().as_bytes());
    let report = json(&mut home.replay(&["access.log", "--config", "tollgate.toml"]));
    assert_eq!(report["rules"][0]["requests"], 0);
    assert_eq!(report["rules"][1]["requests"], 4);
    assert_eq!(report["uncounted"], 8);
    let by = [
        "access.log",
        "--config",
        "tollgate.toml",
        "--by",
        "remote_address",
    ];
    assert_eq!(json(&mut home.replay(&by))["refused"], 7);
}

#[test]
fn what_is_forecast_is_shown_beside_what_a_server_does() {
    // A day, so that no window ends meanwhile.
    let policies = POLICIES.replace("minute", "day").replace("hour", "day");
    let home = Home::new();
    home.write("limits.yaml", policies.as_bytes());
    home.write("access.log", log().as_bytes());
    let report = told(
        &home
            .replay(&[
                "access.log",
                "--json",
                "--by",
                "remote_address",
                "--by",
                "path+remote_address",
            ])
            .output()
            .unwrap(),
    );
    let forecast = home.write("forecast.json", report.as_bytes());

    let server = Server::start();
    let client = server.client();
    run(server
        .cli()
        .args(["limit", "set"])
        .arg(home.0.path().join("limits.yaml")));
    for n in 0..12 {
        let address = if n < 10 { "192.0.2.1" } else { "2001:db8::1" };
        let path = if n % 3 == 0 { "/login" } else { "/" };
        let entry = |key: &str, value: &str| json!({"key": key, "value": value});
        let ask = json!({"domain": "http", "descriptors": [
            [entry("remote_address", address)],
            [entry("path", path), entry("remote_address", address)],
        ]});
        client.api_json("POST", "/api/v1/limits/check", &ask);
    }
    let shown = run(server
        .cli()
        .args(["limit", "policies", "--json", "--forecast"])
        .arg(&forecast));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let domains = shown["domains"].as_array().unwrap();
    let http = domains.iter().find(|one| one["domain"] == "http").unwrap();
    assert_eq!(http["policies"][0]["forecast"], 7.0 / 12.0);
    assert_eq!(http["policies"][1]["forecast"], 0.75);
    for policy in http["policies"].as_array().unwrap() {
        assert_eq!(policy["share"], policy["forecast"], "{policy}");
    }
    let guard = domains.iter().find(|one| one["domain"] != "http").unwrap();
    assert_eq!(guard["policies"][0]["forecast"], Value::Null);
    let table = run(server
        .cli()
        .args(["limit", "policies", "--forecast"])
        .arg(&forecast));
    assert!(table.contains("75"), "{table}");
    let wrong = home.write("wrong.json", b"{}");
    let refused = server
        .cli()
        .args(["limit", "policies", "--forecast"])
        .arg(&wrong)
        .output()
        .unwrap();
    assert!(
        both(&refused).contains("wrong.json is no report"),
        "{}",
        both(&refused)
    );
}

//! The limit service as its users meet it: by the command line, and behind proxies nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use ureq::http::Request;

use crate::http::Http;
use crate::server::{Options, Server, both, eventually, free_port, new_home, run};

const POLICIES: &str = "\
domain: http
descriptors:
  - key: remote_address
    rate_limit: {name: per_address, unit: hour, requests_per_unit: 3}
---
domain: shop
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: hour, requests_per_unit: 2}
";

/// A server with [`POLICIES`] in a file, and that file.
pub(crate) fn start() -> (Server, PathBuf) {
    let home = new_home();
    let file = home.path().join("limits.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    let toml = format!(
        "[limits]\npolicies = {:?}\nwatch = \"50ms\"\n",
        file.display().to_string()
    );
    (Options::default().config(&toml).start_in(&home), file)
}

fn limit(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let output = server.cli().arg("limit").args(args).output().unwrap();
    (output.status.code(), both(&output))
}

#[test]
fn decisions_and_policies_by_the_command_line() {
    let (server, _) = start();
    let check = ["check", "--domain", "shop", "user=u1"];
    for _ in 0..2 {
        let (code, text) = limit(&server, &check);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("per_user"), "{text}");
    }
    let (code, text) = limit(&server, &check);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("refused") && text.contains("2 per 1 h"),
        "{text}"
    );
    let (code, text) = limit(&server, &["check", "--domain", "shop", "nonsense"]);
    assert_eq!(code, Some(2), "{text}");

    let (_, text) = limit(&server, &["denied"]);
    assert_eq!(text.trim(), "shop\tper_user\tuser=u1\t1");
    let (_, text) = limit(&server, &["policies"]);
    for policy in ["per_user", "passwords_of_a_visitor"] {
        assert!(text.contains(policy), "{text}");
    }
    let new = server.path("new.yaml");
    let yaml = "domain: shop\ndescriptors:\n- key: user\n  rate_limit: {unit: hour, requests_per_unit: 9}\n";
    std::fs::write(&new, yaml).unwrap();
    let new = new.to_str().unwrap();
    let (code, text) = limit(&server, &["set", new]);
    assert_eq!(
        (code, text.trim()),
        (Some(0), "shop: 1 policies are in force")
    );
    assert_eq!(limit(&server, &["policies", "shop"]).1, yaml);
    let (code, text) = limit(&server, &["check", "--domain", "shop", "user=u1", "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(
        answer["statuses"][0]["remaining"],
        json!(6),
        "what was counted stays"
    );

    // It is kept over a restart, and taken back.
    let home = server.home().clone();
    let file = home.path().join("limits.yaml").display().to_string();
    drop(server);
    let toml = format!("[limits]\npolicies = {file:?}\n");
    let server = Options::default().config(&toml).start_in(&home);
    assert_eq!(limit(&server, &["policies", "shop"]).1, yaml);
    assert_eq!(limit(&server, &["unset", "shop"]).0, Some(0));
    assert!(limit(&server, &["policies"]).1.contains("per_user"));
}

#[test]
fn a_file_is_read_again_and_a_mistake_in_it_is_told_by_line() {
    let (server, file) = start();
    let limit_of =
        |n: u32| POLICIES.replace("requests_per_unit: 2", &format!("requests_per_unit: {n}"));
    std::fs::write(&file, limit_of(77)).unwrap();
    eventually("the new limit", || {
        limit(&server, &["policies"])
            .1
            .contains("77 per 1 h")
            .then_some(())
    });
    std::fs::write(&file, POLICIES.replace("unit: hour", "unit: eon")).unwrap();
    eventually("the mistake in the log", || {
        server.log().contains("limits.yaml:4:").then_some(())
    });
    assert!(limit(&server, &["policies"]).1.contains("77 per 1 h"));
    std::fs::write(&file, limit_of(78)).unwrap();
    Command::new("kill")
        .args(["-HUP", &server.pid().to_string()])
        .status()
        .unwrap();
    eventually("the next limit", || {
        limit(&server, &["policies"])
            .1
            .contains("78 per 1 h")
            .then_some(())
    });
}

#[test]
fn refusals_are_in_the_audit_log() {
    let home = new_home();
    let policies = home.path().join("limits.yaml");
    std::fs::write(&policies, POLICIES).unwrap();
    let audit = home.path().join("audit.ndjson");
    let toml = format!(
        "[limits]\npolicies = {:?}\n[limits.audit]\nfile = {:?}\n",
        policies.display().to_string(),
        audit.display().to_string()
    );
    let server = Options::default().config(&toml).start_in(&home);
    for _ in 0..5 {
        limit(&server, &["check", "--domain", "shop", "user=u1"]);
    }
    server.stop();
    let text = std::fs::read_to_string(&audit).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["policy"], "per_user");
    assert_eq!(
        lines[0]["descriptor"],
        json!([{"key": "user", "value": "u1"}])
    );
}

#[test]
fn counters_are_kept_over_a_restart_if_that_is_wanted() {
    let home = new_home();
    let policies = home.path().join("limits.yaml");
    std::fs::write(&policies, POLICIES).unwrap();
    let snapshot = home.path().join("limits.snapshot");
    let toml = format!(
        "[limits]\npolicies = {:?}\nsnapshot = {:?}\n",
        policies.display().to_string(),
        snapshot.display().to_string()
    );
    let options = Options::default().config(&toml);
    let check = ["check", "--domain", "shop", "--hits", "2", "user=u1"];
    let server = options.start_in(&home);
    assert_eq!(limit(&server, &check).0, Some(0));
    server.stop();
    assert!(snapshot.exists());
    let server = options.start_in(&home);
    assert_eq!(limit(&server, &check).0, Some(1), "it was used up before");
    assert!(!snapshot.exists(), "it is read once");
    server.stop();
    let mut text = std::fs::read(&snapshot).unwrap();
    text.truncate(text.len() / 2);
    std::fs::write(&snapshot, text).unwrap();
    let server = options.start_in(&home);
    assert_eq!(limit(&server, &check).0, Some(0));
    assert!(
        server.log().contains("limits are counted anew"),
        "{}",
        server.log()
    );
}

#[test]
fn a_mistake_in_the_policies_stops_the_start_and_the_check() {
    let home = new_home();
    let file = home.path().join("limits.yaml");
    std::fs::write(&file, "domain: shop\ndescriptors:\n- kye: user\n").unwrap();
    let toml = format!("[limits]\npolicies = {:?}\n", file.display().to_string());
    let told = both(&Options::default().config(&toml).fails_to_start(&home));
    assert!(
        told.contains("limits.yaml:3:") && told.contains("kye"),
        "{told}"
    );
    let config = home.path().join("t.toml");
    std::fs::write(&config, toml).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = check
        .args(["config", "check"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("limits.yaml:3:"),
        "{}",
        both(&output)
    );
}

/// One counter, whoever asks: the command line over HTTP, and a client of Redis.
#[test]
fn the_redis_protocol_asks_the_same_policies() {
    let home = new_home();
    let file = home.path().join("limits.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    let toml = format!(
        "[limits]\npolicies = {:?}\n[resp]\nlisten = \"127.0.0.1:0\"\n",
        file.display().to_string()
    );
    let server = Options::default().config(&toml).start_in(&home);
    let port = server.address("resp");
    let port = port.rsplit_once(':').unwrap().1;
    let check = || {
        let mut redis_cli = Command::new("redis-cli");
        redis_cli.args(["-p", port, "TG.CHECK", "shop", "1", "user", "u1"]);
        let lines = run(&mut redis_cli);
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        assert_eq!(lines[6], "per_user", "{lines:?}");
        [lines[0].clone(), lines[2].clone()]
    };
    assert_eq!(check(), ["1", "1"]);
    assert_eq!(
        limit(&server, &["check", "--domain", "shop", "user=u1"]).0,
        Some(0)
    );
    assert_eq!(check(), ["0", "0"]);
    server.stop();
}

/// A program that is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example of `deploy/`, with this server's address and key in it, and its own port.
pub(crate) fn example(path: &str, server: &Server, port: u16, application: u16) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path);
    let text = std::fs::read_to_string(file).unwrap();
    let admin = server.admin.strip_prefix("http://").unwrap();
    for part in ["127.0.0.1:8081", "8000", "127.0.0.1:3000", "TOLLGATE_KEY"] {
        assert!(text.contains(part), "{path} has no {part} any more");
    }
    text.replace("127.0.0.1:8081", admin)
        .replace("8000", &port.to_string())
        .replace("127.0.0.1:3000", &format!("127.0.0.1:{application}"))
        .replace("TOLLGATE_KEY", &server.key)
}

/// Something to protect: a Tollgate edge, whose landing page it is.
pub(crate) fn application(server: &Server) -> u16 {
    server.edge.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Three requests an hour pass, through a proxy on `port`.
pub(crate) fn three_pass(port: u16) {
    let http = Http::new();
    let get = || http.try_send(Request::get(format!("http://127.0.0.1:{port}/")), ());
    // Until a proxy has read its configuration, it refuses the connection or knows no path.
    let first = || get().ok().filter(|reply| reply.status != 404);
    let mut reply = eventually("the proxy", first);
    for passed in 1..=3 {
        assert_eq!(reply.status, 200, "{passed}");
        assert!(String::from_utf8_lossy(&reply.body).contains("Short links"));
        reply = get().unwrap();
    }
    let refused = reply.expect(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 1);
    assert!(
        refused
            .header("ratelimit")
            .starts_with("\"per_address\";r=0;t=")
    );
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["status"], 429);
    let spoofed = Request::get(format!("http://127.0.0.1:{port}/"))
        .header("x-forwarded-for", "203.0.113.5")
        .header("x-real-ip", "203.0.113.5");
    http.send(spoofed, ()).expect(429);
}

/// nginx from apt, with this configuration.
pub(crate) fn nginx(server: &Server, configuration: &str) -> Running {
    let home = server.home().path();
    let file = home.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let files = home.display();
    let global = format!(
        "daemon off; master_process off; pid {files}/nginx.pid; error_log {files}/nginx.log;"
    );
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let child = Command::new("nginx")
        .env("PATH", path)
        .args(["-e", "stderr", "-g", &global, "-p"])
        .arg(home)
        .arg("-c")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.expect("nginx from apt"))
}

/// Caddy from apt, with this configuration.
pub(crate) fn caddy(file: &Path) -> Running {
    let child = Command::new("caddy")
        .env("HOME", file.parent().unwrap())
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.expect("caddy from apt"))
}

#[test]
fn nginx_asks_by_auth_request() {
    let (server, _) = start();
    let port = free_port();
    let example = example("nginx/nginx.conf", &server, port, application(&server));
    let running = nginx(&server, &example);
    three_pass(port);
    drop(running);

    // Without Tollgate, as the example says, requests pass.
    let admin = server.admin.strip_prefix("http://").unwrap();
    let nowhere = format!("127.0.0.1:{}", free_port());
    let _running = nginx(&server, &example.replace(admin, &nowhere));
    let http = Http::new();
    let get = || http.try_send(Request::get(format!("http://127.0.0.1:{port}/")), ());
    let reply = eventually("the proxy", || get().ok());
    assert_eq!(reply.status, 200);
}

#[test]
fn caddy_asks_by_forward_auth() {
    let (server, _) = start();
    let port = free_port();
    let file = server.path("Caddyfile");
    std::fs::write(
        &file,
        example("caddy/Caddyfile", &server, port, application(&server)),
    )
    .unwrap();
    let _caddy = caddy(&file);
    three_pass(port);
}

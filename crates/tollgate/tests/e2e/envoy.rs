//! Envoy itself, by the examples in `deploy/envoy`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::http::Http;
use crate::load_balancing;
use crate::server::{Options, Server, eventually, free_port, new_home};

/// Ends with the test.
struct Envoy {
    child: Child,
    log: PathBuf,
}

impl Envoy {
    fn start(home: &Path, config: &str) -> Self {
        let file = home.join("envoy.yaml");
        fs::write(&file, config).unwrap();
        let program = std::env::var("ENVOY").unwrap_or_else(|_| "envoy".to_owned());
        let log = home.join("envoy.log");
        let child = Command::new(&program)
            .arg("-c")
            .arg(file)
            // Several can run on one machine.
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-path"])
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "there is no Envoy at {program:?} ({error}): install it, or say where it is in \
                 ENVOY; scripts/test e2e fetches one"
            )
        });
        Self { child, log }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("Envoy wrote:\n{log}");
        }
    }
}

/// A service that answers every request with its head, so that headers for it can be seen.
pub(crate) fn service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let length = head.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}");
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// The example on other ports.
fn example(public: u16, service: u16, tollgate: u16) -> String {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/envoy");
    let mut config = fs::read_to_string(deploy.join("envoy.yaml")).unwrap();
    for (old, new) in [(10_000, public), (8_000, service), (8_083, tollgate)] {
        let [old, new] = [old, new].map(|port| format!("port_value: {port} }}"));
        assert_eq!(config.matches(&old).count(), 1, "{old}");
        config = config.replace(&old, &new);
    }
    config
}

fn start(policies: &str, public: u16) -> (Server, Envoy) {
    let home = new_home();
    let file = home.path().join("limits.yaml");
    fs::write(&file, policies).unwrap();
    let server = Options::default()
        .config(&format!("[limits]\npolicies = {file:?}"))
        .config("[grpc]\nheaders = true")
        .arg("--grpc-listen=127.0.0.1:0")
        .start_in(&home);
    let grpc = server.address("grpc");
    let port = grpc.rsplit(':').next().unwrap().parse().unwrap();
    let envoy = Envoy::start(home.path(), &example(public, service(), port));
    (server, envoy)
}

/// Waits for Envoy, and for its first health check of Tollgate: until then requests just pass.
fn wait_for_limits(http: &Http, url: &str) {
    eventually("a request that Envoy has asked about", || {
        let reply = http.try_send(ureq::http::Request::get(url), ()).ok()?;
        (!reply.header("ratelimit").is_empty()).then_some(())
    });
}

#[test]
#[ignore = "needs Envoy"]
fn the_example_limits_requests() {
    let policies = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/envoy/limits.yaml"
    );
    let public = free_port();
    let (server, _envoy) = start(&fs::read_to_string(policies).unwrap(), public);
    let http = Http::new();
    let url = |path: &str| format!("http://127.0.0.1:{public}{path}");
    wait_for_limits(&http, &url("/"));

    for left in (0..5).rev() {
        let reply = http.get(&url("/reports/weekly"));
        assert_eq!(reply.status, 200);
        let limits = reply.header("ratelimit");
        assert!(
            limits.contains(&format!(r#""reports";r={left};"#)),
            "{limits}"
        );
        assert!(limits.contains(r#""per_client";r="#), "{limits}");
        assert!(
            reply
                .header("ratelimit-policy")
                .contains(r#""reports";q=5;w=3600"#)
        );
        // What Envoy makes of the statuses: the tightest limit, and all of them with their windows.
        assert_eq!(reply.header("x-ratelimit-remaining"), left.to_string());
        let all = reply.header("x-ratelimit-limit");
        assert!(
            all.contains("5;w=3600") && all.contains("100;w=60"),
            "{all}"
        );
    }
    let refused = http.get(&url("/reports/weekly"));
    assert_eq!(refused.status, 429);
    assert!(refused.header("ratelimit").contains(r#""reports";r=0;"#));
    let retry_after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&retry_after));
    assert_eq!(http.get(&url("/")).status, 200, "other routes go on");
    server.stop();
    // failure_mode_deny is false: nobody decides, so everything passes.
    assert_eq!(http.get(&url("/reports/weekly")).status, 200);
}

#[test]
#[ignore = "needs Envoy"]
fn a_delay_reaches_the_service() {
    let policies = "\
domain: shop
descriptors:
  - key: remote_address
    rate_limit: {window: 60s, requests_per_unit: 1, burst: 1000, on_exceed: delay}
";
    let public = free_port();
    let (_server, _envoy) = start(policies, public);
    let http = Http::new();
    let url = format!("http://127.0.0.1:{public}/");
    wait_for_limits(&http, &url);
    let reply = http.get(&url);
    assert_eq!(reply.status, 200);
    let delay = reply
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("x-ratelimit-delay: "));
    let delay: u64 = delay
        .unwrap_or_else(|| panic!("{}", reply.text()))
        .parse()
        .unwrap();
    assert!(delay > 0, "{delay}");
}

#[test]
#[ignore = "needs Envoy"]
fn it_hides_that_a_server_is_gone() {
    let (servers, port) = (load_balancing::two(), free_port());
    let config = load_balancing::example("envoy/balance.yaml", &servers, port);
    let home = new_home();
    let _envoy = Envoy::start(home.path(), &config);
    load_balancing::serves(servers, port);
}

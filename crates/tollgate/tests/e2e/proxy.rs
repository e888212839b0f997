//! The reverse proxy as its users meet it, in front of a server nobody here wrote.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Http, Reply};
use crate::server::{Options, PATIENCE, Server, both, eventually, free_port, new_home};

/// Python's own server for files.
struct Application {
    process: Child,
    port: u16,
}

impl Application {
    /// Serves what the directory `files` holds.
    fn start(home: &TempDir, port: u16) -> Self {
        let files = home.path().join("files");
        std::fs::create_dir_all(files.join("reports")).unwrap();
        for name in ["search", "reports/a", "reports/b"] {
            std::fs::write(files.join(name), format!("this is {name}")).unwrap();
        }
        std::fs::write(files.join("large"), vec![7; 32 << 20]).unwrap();
        let process = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(&files)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python 3");
        eventually("Python's server", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { process, port }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The example of `deploy/` in front of this port, and changes to its policies.
fn start(home: &Arc<TempDir>, port: u16, change: impl Fn(String) -> String) -> Server {
    let example = |name: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/proxy");
        std::fs::read_to_string(directory.join(name)).unwrap()
    };
    let policies = change(example("limits.yaml"));
    std::fs::write(home.path().join("limits.yaml"), policies).unwrap();
    let config = example("tollgate.toml");
    for part in ["127.0.0.1:8084", "127.0.0.1:3000"] {
        assert!(config.contains(part), "the example has no {part} any more");
    }
    Options::default()
        .config(&config)
        .arg("--proxy-listen=127.0.0.1:0")
        .arg(&format!("--proxy-upstream=http://127.0.0.1:{port}"))
        .start_in(home)
}

fn get(server: &Server, path: &str) -> Reply {
    Http::new().get(&format!("{}{path}", server.address("proxy")))
}

fn metric(server: &Server, line: &str) {
    eventually(line, || {
        let text = server.client().open("/metrics");
        text.text().lines().any(|l| l == line).then_some(())
    });
}

#[test]
fn the_example_limits_a_server_that_knows_no_limits() {
    let home = new_home();
    let application = Application::start(&home, free_port());
    let server = start(&home, application.port, |policies| policies);
    for (name, left) in [("a", 2), ("b", 1), ("a", 0)] {
        let reply = get(&server, &format!("/reports/{name}")).expect(200);
        assert_eq!(reply.text(), format!("this is reports/{name}"));
        assert_eq!(reply.header("via"), "1.0 tollgate");
        let told = reply.header("ratelimit");
        assert!(told.contains(&format!("\"reports\";r={left};t=")), "{told}");
    }
    let refused = get(&server, "/reports/b").expect(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 1);
    let policy = refused.header("ratelimit-policy");
    assert!(policy.contains("\"reports\";q=3;w=3600"), "{policy}");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem = refused.json();
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["violated-policies"][0], "reports");
    let large = get(&server, "/large").expect(200);
    assert!(large.body == vec![7; 32 << 20]);
    metric(
        &server,
        "tollgate_proxy_requests_total{outcome=\"limited\"} 1",
    );
    metric(
        &server,
        "tollgate_proxy_requests_total{outcome=\"forwarded\"} 4",
    );
}

#[test]
fn a_burst_is_spread() {
    let home = new_home();
    let application = Application::start(&home, free_port());
    // Slower, so that the machine cannot be: 4 requests take 900 ms at least.
    let slower = |policies: String| {
        policies
            .replace(
                "requests_per_unit: 10\n",
                "window: 300ms\n      requests_per_unit: 1\n",
            )
            .replace("      unit: second\n      window", "      window")
            .replace("max_delay: 2s", "max_delay: 1m")
    };
    let server = start(&home, application.port, slower);
    let address = server.address("proxy");
    let began = Instant::now();
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let one = || {
            Http::new().get(&format!("{address}/search")).expect(200);
            began.elapsed()
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    took.sort();
    for (place, took) in (0..).zip(&took) {
        // Milliseconds of the two clocks may be cut differently.
        let least = Duration::from_millis(300) * place;
        assert!(
            *took + Duration::from_millis(2) >= least,
            "{place}: {took:?}"
        );
    }
    metric(&server, "tollgate_proxy_wait_duration_seconds_count 3");
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place() {
    let home = new_home();
    let application = Application::start(&home, free_port());
    // One an hour, and one that waits.
    let slow = |policies: String| {
        policies
            .replace(
                "requests_per_unit: 10\n      burst: 30",
                "requests_per_unit: 1\n      burst: 2",
            )
            .replace(
                "unit: second\n      requests_per_unit: 1\n",
                "unit: hour\n      requests_per_unit: 1\n",
            )
            .replace("max_delay: 2s", "max_delay: 2h")
    };
    let mut server = start(&home, application.port, slow);
    get(&server, "/search").expect(200);
    let address = server.address("proxy").replace("http://", "");
    let held = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream
            .write_all(b"GET /search HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let first = held();
    metric(&server, "tollgate_proxy_waiting 1");
    get(&server, "/search").expect(429);
    drop(first);
    metric(&server, "tollgate_proxy_waiting 0");
    // The place is given back a moment later.
    let mut second = eventually("a place", || {
        let mut stream = held();
        let mut byte = [0; 1];
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        // Refused at once, or held.
        stream.read(&mut byte).is_err().then_some(stream)
    });
    metric(&server, "tollgate_proxy_waiting 1");
    // Its turn comes long after the shutdown.
    server.terminate();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    let _ = second.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert!(server.wait().success(), "{}", server.log());
}

#[test]
fn an_upstream_goes_and_comes_back() {
    let home = new_home();
    let port = free_port();
    let server = start(&home, port, |policies| policies);
    let reply = get(&server, "/search").expect(502);
    assert_eq!(
        reply.json()["type"],
        "urn:tollgate:problem:upstream-unreachable"
    );
    metric(&server, "tollgate_proxy_upstream_reachable 0");
    let application = Application::start(&home, port);
    assert_eq!(get(&server, "/search").expect(200).text(), "this is search");
    metric(&server, "tollgate_proxy_upstream_reachable 1");
    drop(application);
    get(&server, "/search").expect(502);
    let log = server.log();
    for told in [
        "the upstream cannot be reached",
        "the upstream answers again",
    ] {
        assert!(log.contains(told), "{log}");
    }
    // The other listeners go on.
    server.client().open("/health/ready").expect(200);
}

#[test]
fn a_proxy_needs_something_behind_it() {
    let output = Options::default()
        .arg("--proxy-listen=127.0.0.1:0")
        .fails_to_start(&new_home());
    let text = both(&output);
    assert!(text.contains("--proxy-upstream"), "{text}");
    let output = Options::default()
        .arg("--proxy-listen=127.0.0.1:0")
        .arg("--proxy-upstream=127.0.0.1:3000/path")
        .fails_to_start(&new_home());
    let text = both(&output);
    assert!(text.contains("http://127.0.0.1:3000"), "{text}");
}

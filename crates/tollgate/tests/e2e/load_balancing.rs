//! Load balancers in front of two servers, by the examples in `deploy/`: visitors do not notice when a
//! server goes, and cannot say that they are somebody else. Those from the network are in `envoy.rs` and
//! `traefik.rs`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use ureq::http::Request;

use crate::http::Http;
use crate::limit_service::{Running, caddy, nginx};
use crate::server::{Options, Server, eventually, free_port, run};

/// Two servers that know the same link.
pub(crate) fn two() -> [Server; 2] {
    let server = || {
        let server = Options::default()
            // Not all of 127.0.0.0/8, which the visitors of these tests come from.
            .config("[edge]\ntrusted_proxies = [\"127.0.0.1\"]")
            .start();
        let draft = json!({"url": "https://a.example/", "code": "a"});
        assert_eq!(server.client().code(&draft), "a");
        let guarded = json!({"url": "https://b.example/", "code": "b", "password": "sesame"});
        assert_eq!(server.client().code(&guarded), "b");
        server
    };
    [server(), server()]
}

/// An example of `deploy/`, with the addresses of these servers in it, and its own port.
pub(crate) fn example(path: &str, [a, b]: &[Server; 2], port: u16) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path);
    let mut text = std::fs::read_to_string(file).unwrap();
    let port_of = |url: &str| url.rsplit_once(':').unwrap().1.to_owned();
    // In steps, since the port of a server may be what is replaced next.
    let ports = [
        ("8080", "@edge-a@", port_of(&a.edge)),
        ("8090", "@edge-b@", port_of(&b.edge)),
        ("8081", "@admin-a@", port_of(&a.admin)),
        ("8091", "@admin-b@", port_of(&b.admin)),
        ("8001", "@api@", free_port().to_string()),
        ("8000", "@visitors@", port.to_string()),
    ];
    for needed in ["8080", "8090", "8000"] {
        assert!(text.contains(needed), "{path} has no {needed} any more");
    }
    for (from, mark, _) in &ports {
        text = text.replace(from, mark);
    }
    for (_, mark, to) in &ports {
        text = text.replace(mark, to);
    }
    text
}

/// Visitors through the balancer on this port, while one server after the other is there.
pub(crate) fn serves([a, b]: [Server; 2], port: u16) {
    let http = Http::new();
    let visit = || {
        let url = format!("http://127.0.0.1:{port}/a");
        http.try_send(Request::get(url), ())
    };
    // Until a balancer has read its configuration and seen its servers, it refuses.
    let is_there = || visit().ok().filter(|reply| reply.status == 302);
    eventually("the balancer", is_there);
    let asked = |server: &Server| {
        let series = "tollgate_edge_request_duration_seconds_count{outcome=\"redirect\"";
        let text = server.client().open("/metrics");
        text.text().lines().any(|line| line.starts_with(series))
    };
    eventually("both servers' turn", || {
        (visit().unwrap().expect(302).status == 302 && asked(&a) && asked(&b)).then_some(())
    });

    b.kill();
    for _ in 0..50 {
        let reply = visit().unwrap().expect(302);
        assert_eq!(reply.location(), "https://a.example/");
    }
    visitors_are_told_apart(port);
    a.stop();
}

/// Tries of passwords are counted by visitor, whatever he says who he is.
fn visitors_are_told_apart(port: u16) {
    let try_from = |address: &str, at: usize| {
        run(Command::new("curl")
            .args(["--silent", "--output", "/dev/null"])
            .args(["--write-out", "%{http_code}", "--interface", address])
            .args(["--header", &format!("X-Forwarded-For: 203.0.113.{at}")])
            .args(["--data", "password=wrong"])
            .arg(format!("http://127.0.0.1:{port}/b")))
    };
    for at in 0..10 {
        assert_eq!(try_from("127.0.0.2", at), "403", "{at}");
    }
    assert_eq!(try_from("127.0.0.2", 10), "429");
    assert_eq!(try_from("127.0.0.3", 10), "403");
}

#[test]
fn haproxy_hides_that_a_server_is_gone() {
    let (servers, port) = (two(), free_port());
    let file = servers[0].path("haproxy.cfg");
    std::fs::write(&file, example("haproxy/haproxy.cfg", &servers, port)).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let haproxy = |what: &str| {
        let mut command = Command::new("haproxy");
        command.env("PATH", &path).arg("-f").arg(&file).arg(what);
        command
    };
    run(&mut haproxy("-c"));
    let child = haproxy("-db")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(child.expect("HAProxy from apt"));
    serves(servers, port);
}

#[test]
fn nginx_hides_that_a_server_is_gone() {
    let (servers, port) = (two(), free_port());
    let configuration = example("nginx/balance.conf", &servers, port);
    let _running = nginx(&servers[0], &configuration);
    serves(servers, port);
}

#[test]
fn caddy_hides_that_a_server_is_gone() {
    let (servers, port) = (two(), free_port());
    let file = servers[0].path("Caddyfile");
    let configuration = example("caddy/balance.Caddyfile", &servers, port);
    std::fs::write(&file, configuration).unwrap();
    let _running = caddy(&file);
    serves(servers, port);
}

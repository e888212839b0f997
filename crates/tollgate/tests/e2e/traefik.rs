//! Traefik itself, by the examples in `deploy/traefik`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use ureq::http::Request;

use crate::envoy::service;
use crate::http::Http;
use crate::limit_service::{Running, application, example, start, three_pass};
use crate::load_balancing;
use crate::server::{Server, eventually, free_port};

/// Ends with the test.
pub(crate) struct Traefik {
    _running: Running,
    log: PathBuf,
}

impl Drop for Traefik {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("Traefik wrote:\n{log}");
        }
    }
}

/// In front of the application on this port; requests come in on the port that is answered.
fn in_front_of(server: &Server, application: u16) -> (Traefik, u16) {
    let port = free_port();
    let example = example("traefik/limits.yaml", server, port, application);
    (traefik(server, port, &example), port)
}

/// With this configuration; its files are beside the server's.
pub(crate) fn traefik(server: &Server, port: u16, configuration: &str) -> Traefik {
    let program = std::env::var("TRAEFIK").unwrap_or_else(|_| "traefik".to_owned());
    // Not `traefik.yaml`: that it would take for its own configuration.
    let file = server.path("dynamic.yaml");
    fs::write(&file, configuration).unwrap();
    let path = server.path("traefik.log");
    let log = fs::File::create(&path).unwrap();
    let child = Command::new(&program)
        .arg(format!("--entryPoints.web.address=127.0.0.1:{port}"))
        .arg(format!("--providers.file.filename={}", file.display()))
        .args([
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
        ])
        .current_dir(server.home().path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let child = child.unwrap_or_else(|error| {
        panic!(
            "there is no Traefik at {program:?} ({error}): install it, or say where it is in \
             TRAEFIK; scripts/test e2e fetches one"
        )
    });
    Traefik {
        _running: Running(child),
        log: path,
    }
}

#[test]
#[ignore = "needs Traefik"]
fn the_example_limits_requests() {
    let (server, _) = start();
    let (_traefik, port) = in_front_of(&server, application(&server));
    three_pass(port);
}

#[test]
#[ignore = "needs Traefik"]
fn the_application_never_sees_the_key_and_nothing_passes_unasked() {
    let (server, _) = start();
    let (_traefik, port) = in_front_of(&server, service());
    let http = Http::new();
    let get = || {
        let request = Request::get(format!("http://127.0.0.1:{port}/"));
        http.try_send(request.header("x-tollgate-key", "of the client"), ())
    };
    let first = || get().ok().filter(|reply| reply.status != 404);
    let head = eventually("Traefik", first)
        .expect(200)
        .text()
        .to_lowercase();
    assert!(head.contains("x-forwarded-for: 127.0.0.1"), "{head}");
    assert!(!head.contains("x-tollgate-key"), "{head}");
    server.stop();
    let unasked = get().unwrap();
    assert_eq!(unasked.status, 500);
}

#[test]
#[ignore = "needs Traefik"]
fn it_hides_that_a_server_is_gone() {
    let (servers, port) = (load_balancing::two(), free_port());
    let configuration = load_balancing::example("traefik/balance.yaml", &servers, port);
    let _traefik = traefik(&servers[0], port, &configuration);
    load_balancing::serves(servers, port);
}

//! Traefik itself, by the example in `deploy/traefik`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use ureq::http::Request;

use crate::envoy::service;
use crate::http::Http;
use crate::limit_service::{Running, application, example, start, three_pass};
use crate::server::{Server, eventually, free_port};

/// Ends with the test.
struct Traefik {
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
fn traefik(server: &Server, application: u16) -> (Traefik, u16) {
    let program = std::env::var("TRAEFIK").unwrap_or_else(|_| "traefik".to_owned());
    let port = free_port();
    // Not `traefik.yaml`: that it would take for its own configuration.
    let file = server.path("dynamic.yaml");
    let example = example("traefik/limits.yaml", server, port, application);
    fs::write(&file, example).unwrap();
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
    let traefik = Traefik {
        _running: Running(child),
        log: path,
    };
    (traefik, port)
}

#[test]
#[ignore = "needs Traefik"]
fn the_example_limits_requests() {
    let (server, _) = start();
    let (_traefik, port) = traefik(&server, application(&server));
    three_pass(port);
}

#[test]
#[ignore = "needs Traefik"]
fn the_application_never_sees_the_key_and_nothing_passes_unasked() {
    let (server, _) = start();
    let (_traefik, port) = traefik(&server, service());
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

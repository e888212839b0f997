//! Webhooks, received and verified by the program that the documentation shows.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_clock::{Clock as _, SystemClock};

use crate::server::{Options, Server, eventually, free_port, run};

/// The program of the documentation.
struct Receiver {
    process: Child,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start(secret: &str, port: u16) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks.md");
        let page = fs::read_to_string(page).unwrap();
        let program = page.split_once("```python\n").unwrap().1;
        let program = program.split_once("```").unwrap().0;
        let mut process = Command::new("python3")
            .args(["-c", program])
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (lines, sink) = (process.stdout.take().unwrap(), seen.clone());
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap();
                sink.lock().unwrap().push(message);
            }
        });
        Self { process, seen }
    }

    /// The data of the first message of a type that has such a code, once it is there.
    fn told(&self, kind: &str, code: &str) -> Value {
        eventually(&format!("{kind} of {code}"), || {
            let seen = self.seen.lock().unwrap();
            let found = seen
                .iter()
                .find(|one| one["type"] == kind && one["data"]["code"] == code);
            found.map(|one| one["data"].clone())
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn options() -> Options {
    Options::default().config("[webhooks]\nallow_private = [\"127.0.0.0/8\"]\n")
}

fn webhook(server: &Server, args: &[&str]) -> String {
    run(server.cli().arg("webhook").args(args))
}

#[test]
fn all_that_happens_to_links_is_told() {
    let server = options().start();
    let client = server.client();
    let port = free_port();
    let made = webhook(
        &server,
        &[
            "create",
            &format!("http://127.0.0.1:{port}/"),
            "--events",
            "link.created,link.updated,link.deleted,link.expired,link.threshold",
            "--thresholds",
            "3,1000",
            "--json",
        ],
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    let receiver = Receiver::start(made["secret"].as_str().unwrap(), port);
    // The receiver may not listen yet; then the second try reaches it.
    let ping = webhook(&server, &["ping", id]);

    client.code(&json!({"url": "https://a.example/", "code": "a", "tags": ["x"]}));
    let created = receiver.told("link.created", "a");
    assert_eq!(created["url"], "https://a.example/");
    assert_eq!(created["short_url"], format!("{}/a", server.edge));
    for _ in 0..3 {
        assert_eq!(client.visit("a").status, 302);
    }
    let passed = receiver.told("link.threshold", "a");
    assert_eq!(
        (&passed["threshold"], &passed["clicks"]),
        (&json!(3), &json!(3))
    );
    run(server
        .cli()
        .args(["link", "update", "a", "--url", "https://b.example/"]));
    assert_eq!(
        receiver.told("link.updated", "a")["url"],
        "https://b.example/"
    );
    run(server.cli().args(["link", "delete", "a"]));
    receiver.told("link.deleted", "a");
    let soon = SystemClock::new()
        .now()
        .saturating_add(Duration::from_millis(1_500));
    client.code(&json!({"url": "https://a.example/", "code": "b", "expires_at": soon}));
    receiver.told("link.created", "b");
    let expired = receiver.told("link.expired", "b");
    assert_eq!(expired["state"], "expired");

    let deliveries = eventually("everything delivered", || {
        let list = webhook(&server, &["deliveries", id, "--json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let all = list["deliveries"].as_array().unwrap().clone();
        all.iter()
            .all(|one| one["state"] == "delivered")
            .then_some(all)
    });
    assert_eq!(deliveries.len(), 7, "{deliveries:?}");
    assert_eq!(deliveries[6]["id"], ping.trim());
    webhook(&server, &["pause", id]);
    assert!(webhook(&server, &["list"]).contains("paused"));
    webhook(&server, &["resume", id]);
    webhook(&server, &["resend", id, ping.trim()]);
    let pings = || {
        let seen = receiver.seen.lock().unwrap();
        seen.iter().filter(|one| one["type"] == "ping").count()
    };
    eventually("the ping once more", || (pings() == 2).then_some(()));
    assert!(webhook(&server, &["rotate", id]).contains("whsec_"));
    // With the old secret it is verified still.
    webhook(&server, &["resend", id, ping.trim()]);
    eventually("the ping with two signatures", || {
        (pings() == 3).then_some(())
    });
    webhook(&server, &["delete", id]);
    let metrics = client.open("/metrics");
    assert!(metrics.text().contains("tollgate_webhooks_delivered_total"));
    assert_eq!(webhook(&server, &["list"]), "");
}

#[test]
fn killed_between_an_event_and_its_message_it_is_told_all_the_same() {
    let server = options().start();
    let client = server.client();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let made = webhook(&server, &["create", &url, "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    // Before the next look.
    for number in 0..20 {
        client.code(&json!({"url": "https://a.example/", "code": format!("k{number}")}));
    }
    let home = server.kill();
    let receiver = Receiver::start(made["secret"].as_str().unwrap(), port);
    let server = options().start_in(&home);
    for number in 0..20 {
        receiver.told("link.created", &format!("k{number}"));
    }
    drop(server);
}

#[test]
fn this_machine_is_no_place_to_send_to_unless_it_is_allowed() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:7f00:1]"] {
        let url = format!("http://{host}:{port}/");
        let made = webhook(&server, &["create", &url, "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let id = made["id"].as_str().unwrap();
        webhook(&server, &["ping", id]);
        let answer = eventually("the first try", || {
            let list = webhook(&server, &["deliveries", id, "--json"]);
            let list: Value = serde_json::from_str(&list).unwrap();
            let error = list["deliveries"][0]["last_error"].as_str();
            error.map(str::to_owned)
        });
        assert!(answer.contains("no public address"), "{answer}");
    }
    listener.set_nonblocking(true).unwrap();
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

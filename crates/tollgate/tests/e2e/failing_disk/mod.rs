//! Disks that are full or fail under one file after the other: what is told, what goes on, and that all is well again
//! when they are, without a restart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::http::Reply;
use crate::server::{Options, Server, after_mounting, both, eventually, new_home, run};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The library that has calls fail, made by the C compiler that SQLite needs anyway.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/failing_disk/faults.c");
        run(Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&path)
            .arg(source)
            .arg("-ldl"));
        (directory, path)
    });
    path
}

/// A server whose disk fails when it is told to.
struct Faulty {
    server: Server,
    faults: PathBuf,
}

fn options(faults: &Path) -> Options {
    Options::default()
        .env("LD_PRELOAD", library().to_str().unwrap())
        .env("FAULTS", faults.to_str().unwrap())
}

impl Faulty {
    fn start() -> Self {
        let home = new_home();
        let faults = home.path().join("faults");
        let server = options(&faults).start_in(&home);
        Self { server, faults }
    }

    /// From now on such calls fail on files whose path has this in it.
    fn fail(&self, call: &str, number: i32, path: &str) {
        // As a whole or not at all: it may be read at any time.
        let next = self.faults.with_extension("next");
        std::fs::write(&next, format!("{call} {number} {path}\n")).unwrap();
        std::fs::rename(next, &self.faults).unwrap();
    }

    fn heal(&self) {
        std::fs::remove_file(&self.faults).unwrap();
    }

    /// Ends it in order, and checks what it leaves.
    fn check(self) {
        let home = self.server.stop();
        for name in ["links", "keys", "clicks", "webhooks"] {
            check_file(&home.path().join("data").join(format!("{name}.db")));
        }
    }
}

fn check_file(file: &Path) {
    let database = Connection::open(file).unwrap();
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok", "{}", file.display());
}

fn target(client: &Client, code: &str) -> String {
    client.visit(code).location().to_owned()
}

fn link(url: &str) -> Value {
    json!({"url": url})
}

/// Seconds of processors that the server has used.
fn processor_seconds(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Nothing tries again and again without a pause.
fn check_idle(server: &Server) {
    let (before, lines) = (processor_seconds(server), server.log().lines().count());
    // Not waited for: the time in which nothing may happen.
    std::thread::sleep(Duration::from_secs(2));
    let used = processor_seconds(server) - before;
    assert!(used < 0.5, "{used} s of 2 s");
    let told = server.log().lines().count() - lines;
    assert!(told < 10, "{told} lines:\n{}", server.log());
}

fn cannot_write(client: &Client) -> Value {
    let reply = client.open("/health/ready").expect(200);
    reply
        .json()
        .get("cannot_write")
        .cloned()
        .unwrap_or_else(|| json!([]))
}

fn check_problem(reply: &Reply, status: u16, kind: &str) {
    let problem = reply.problem(status, kind);
    assert!(!reply.header("retry-after").is_empty(), "{problem}");
}

#[test]
fn links_cannot_be_written_and_everything_else_goes_on() {
    for (call, number, status, kind) in [
        ("write", ENOSPC, 507, "store-full"),
        ("write", EIO, 503, "store-unavailable"),
        ("sync", EIO, 503, "store-unavailable"),
    ] {
        let faulty = Faulty::start();
        let client = faulty.server.client();
        let known = client.code(&link("https://known.example/"));
        let unseen = client.code(&link("https://unseen.example/"));
        let counted = client.code(&json!({"url": "https://counted.example/", "max_clicks": 2}));
        assert_eq!(target(&client, &known), "https://known.example/");

        faulty.fail(call, number, "links.db");
        for at in 0..20 {
            let draft =
                json!({"url": format!("https://{at}.example/"), "code": format!("failed-{at}")});
            check_problem(&client.draft(&draft), status, kind);
        }
        check_problem(
            &client.patch(&known, &link("https://edited.example/")),
            status,
            kind,
        );
        check_problem(&client.delete(&known), status, kind);
        let bulk = client
            .api_json(
                "POST",
                "/api/v1/links/bulk",
                &json!([link("https://b.example/")]),
            )
            .expect(200);
        let row: Value = serde_json::from_str(bulk.text().lines().next().unwrap()).unwrap();
        assert_eq!(row["status"], status, "{row}");
        assert_eq!(target(&client, &known), "https://known.example/");
        assert_eq!(target(&client, &unseen), "https://unseen.example/");
        let refused = client.visit(&counted);
        assert_eq!(refused.status, 503);
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(cannot_write(&client), json!(["links"]));
        assert_eq!(
            client.metric(r#"tollgate_store_failing{file="links"}"#),
            1.0
        );
        assert_eq!(client.metric(r#"tollgate_store_failing{file="keys"}"#), 0.0);
        client.secret(&json!({"name": "k", "scopes": ["links:read"]}));
        check_idle(&faulty.server);
        assert_eq!(
            faulty.server.log().matches("a commit failed").count(),
            1,
            "{}",
            faulty.server.log()
        );

        faulty.heal();
        // Nobody has to write for that.
        eventually("being well again", || {
            (cannot_write(&client) == json!([])).then_some(())
        });
        let again = client.code(&json!({"url": "https://again.example/", "code": "failed-0"}));
        assert_eq!(cannot_write(&client), json!([]));
        assert_eq!(
            client.metric(r#"tollgate_store_failing{file="links"}"#),
            0.0
        );
        assert!(client.metric(r#"tollgate_store_commits_failed_total{file="links"}"#) >= 1.0);
        assert!(faulty.server.log().contains("commits work again"));
        client
            .patch(&known, &link("https://edited.example/"))
            .expect(200);
        assert_eq!(target(&client, &known), "https://edited.example/");
        assert_eq!(target(&client, &again), "https://again.example/");
        let clicks = [(); 3].map(|()| client.visit(&counted).status);
        assert_eq!(clicks, [302, 302, 410], "what was refused did not count");
        let listed = client.api("GET", "/api/v1/links?limit=100").json();
        assert_eq!(
            listed["links"].as_array().unwrap().len(),
            4,
            "{call}: nothing else was made"
        );
        faulty.check();
    }
}

/// SQLite takes a page that cannot be read for damage, and so it is told.
#[test]
fn links_cannot_be_read_and_what_is_in_memory_is_served() {
    let faulty = Faulty::start();
    let client = faulty.server.client();
    let known = client.code(&link("https://known.example/"));
    assert_eq!(target(&client, &known), "https://known.example/");
    let mut made = 0;
    let (unseen, refused) = eventually("a read that fails", || {
        made += 1;
        // What was read before a write is not believed after it, so that it is read from the disk, unless something else
        // has just done so.
        let unseen = client.code(&link(&format!("https://{made}.example/")));
        faulty.fail("read", EIO, "links.db");
        let refused = client.visit(&unseen);
        if refused.status == 302 {
            faulty.heal();
            return None;
        }
        Some((unseen, refused))
    });
    assert_eq!(refused.status, 503);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(target(&client, &known), "https://known.example/");
    eventually("not being ready", || {
        client.draft(&link("https://other.example/"));
        (!client.is_ready()).then_some(())
    });
    check_idle(&faulty.server);
    faulty.heal();
    eventually("being ready", || client.is_ready().then_some(()));
    assert_eq!(target(&client, &unseen), format!("https://{made}.example/"));
    faulty.check();
}

#[test]
fn keys_cannot_be_written_and_those_that_are_there_count() {
    for (call, number, status, kind) in [
        ("write", ENOSPC, 507, "store-full"),
        ("sync", EIO, 503, "store-unavailable"),
    ] {
        let faulty = Faulty::start();
        let client = faulty.server.client();
        faulty.fail(call, number, "keys.db");
        let draft = json!({"name": "k", "scopes": ["links:read"]});
        let made = client.api_json("POST", "/api/v1/keys", &draft);
        check_problem(&made, status, kind);
        client.code(&link("https://a.example/"));
        assert_eq!(cannot_write(&client), json!(["keys"]));
        faulty.heal();
        let reader = client.with_key(&client.secret(&draft));
        assert_eq!(reader.api("GET", "/api/v1/links").status, 200);
        assert_eq!(cannot_write(&client), json!([]));
        faulty.check();
    }
}

#[test]
fn statistics_cannot_be_written_and_clicks_wait() {
    for (call, number) in [("write", ENOSPC), ("sync", EIO)] {
        let faulty = Faulty::start();
        let client = faulty.server.client();
        let code = client.code(&link("https://a.example/"));
        let visit = |times: usize| {
            for _ in 0..times {
                assert_eq!(client.visit(&code).status, 302);
            }
        };
        visit(10);
        let counted = || client.metric("tollgate_clicks_counted_total");
        eventually("clicks counted", || (counted() == 10.0).then_some(()));
        faulty.fail(call, number, "clicks.db");
        visit(25);
        let failures = || client.metric("tollgate_clicks_store_failures_total");
        eventually("failures", || (failures() >= 1.0).then_some(()));
        assert!(client.metric("tollgate_clicks_lag_seconds") > 0.0);
        assert_eq!(client.open("/health/ready").status, 200);
        check_idle(&faulty.server);
        assert_eq!(counted(), 10.0);
        faulty.heal();
        eventually("all clicks counted", || (counted() == 35.0).then_some(()));
        let path = format!("/api/v1/links/{code}/stats");
        assert_eq!(client.api("GET", &path).expect(200).json()["total"], 35);
        faulty.check();
    }
}

#[test]
fn the_spool_cannot_be_written_and_clicks_are_dropped_and_counted() {
    for number in [EIO, ENOSPC] {
        let faulty = Faulty::start();
        let client = faulty.server.client();
        let code = client.code(&link("https://a.example/"));
        faulty.fail("write", number, "/spool/");
        let dropped = || client.metric(r#"tollgate_clicks_dropped_total{reason="spool_failing"}"#);
        let mut visits = 0;
        eventually("drops", || {
            assert_eq!(client.visit(&code).status, 302);
            visits += 1;
            (dropped() >= 20.0).then_some(())
        });
        assert_eq!(client.metric("tollgate_clicks_spool_failing"), 1.0);
        check_idle(&faulty.server);
        faulty.heal();
        eventually("the end of it", || {
            (client.metric("tollgate_clicks_spool_failing") == 0.0).then_some(())
        });
        for _ in 0..10 {
            client.visit(&code);
            visits += 1;
        }
        eventually("every click counted, or counted as dropped", || {
            let counted = client.metric("tollgate_clicks_counted_total");
            (counted + dropped() == f64::from(visits)).then_some(())
        });
        let told = faulty
            .server
            .log()
            .matches("clicks cannot be written")
            .count();
        assert!((1..=3).contains(&told), "{}", faulty.server.log());
        faulty.check();
    }
}

#[test]
fn webhooks_cannot_be_written_and_nothing_is_left_out_later() {
    let faulty = Faulty::start();
    let client = faulty.server.client();
    let hook = json!({"url": "https://hooks.example/", "events": ["link.created"]});
    let made = client
        .api_json("POST", "/api/v1/webhooks", &hook)
        .expect(201)
        .json();
    let id = made["id"].as_str().unwrap();
    faulty.fail("write", ENOSPC, "webhooks.db");
    check_problem(
        &client.api_json("POST", "/api/v1/webhooks", &hook),
        507,
        "store-full",
    );
    let code = client.code(&link("https://a.example/"));
    assert_eq!(target(&client, &code), "https://a.example/");
    eventually("it to be told", || {
        (cannot_write(&client) == json!(["webhooks"])).then_some(())
    });
    check_idle(&faulty.server);
    faulty.heal();
    let path = format!("/api/v1/webhooks/{id}/deliveries");
    eventually("the message", || {
        let deliveries = client.api("GET", &path).expect(200);
        deliveries.text().contains(&code).then_some(())
    });
    faulty.check();
}

#[test]
fn a_server_that_cannot_write_does_not_begin() {
    for (number, reason) in [(ENOSPC, "no space is left"), (EIO, "the disk fails")] {
        let home = new_home();
        let faults = home.path().join("faults");
        std::fs::write(&faults, format!("write {number} links.db\n")).unwrap();
        let output = options(&faults).fails_to_start(&home);
        let text = both(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("links.db") && text.contains(reason), "{text}");
        std::fs::remove_file(&faults).unwrap();
        let server = options(&faults).start_in(&home);
        server.client().code(&link("https://a.example/"));
    }
}

/// All of the data directory is on a disk of a few megabytes, in which something else lies that can be deleted.
const SMALL_DISK: &str = "
mkdir -p data &&
mount -t tmpfs -o size=6m tmpfs data";

#[test]
fn a_disk_that_runs_full_loses_nothing_and_goes_on_when_it_has_room() {
    let Some(starter) = after_mounting(SMALL_DISK) else {
        return;
    };
    let server = Options::default().by(&starter).start();
    let client = server.client();
    let data = server.path_inside("data");
    let mut made: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        let other = data.join("other");
        // Fails in the end, as it should: then the disk is full.
        let _ = std::fs::write(&other, vec![7; 8 << 20]);
        let refused = eventually("a full disk", || {
            let url = format!(
                "https://{round}.example/{}{}",
                made.len(),
                "x".repeat(2_000)
            );
            let reply = client.draft(&link(&url));
            match reply.status {
                201 => {
                    made.push((reply.json()["code"].as_str().unwrap().to_owned(), url));
                    None
                }
                _ => Some(reply),
            }
        });
        check_problem(&refused, 507, "store-full");
        for (code, url) in &made {
            assert_eq!(target(&client, code), *url);
        }
        assert_eq!(cannot_write(&client), json!(["links"]));
        std::fs::remove_file(&other).unwrap();
        let url = format!("https://again.example/{round}");
        made.push((client.code(&link(&url)), url));
    }
    for (code, url) in &made {
        assert_eq!(client.link(code).expect(200).json()["url"], *url);
    }
    let copies = tempfile::tempdir().unwrap();
    for name in ["links", "keys", "clicks", "webhooks"] {
        for suffix in ["", "-wal"] {
            let name = format!("{name}.db{suffix}");
            let _ = std::fs::copy(data.join(&name), copies.path().join(&name));
        }
        check_file(&copies.path().join(format!("{name}.db")));
    }
    println!(
        "{} links made on a disk that was full three times",
        made.len()
    );
    server.stop();
}

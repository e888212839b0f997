//! Links spread over several databases, and moved between them while servers are used.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::json;

use crate::client::Client;
use crate::private_postgres::PrivatePostgres;
use crate::server::{Options, Server, both, eventually, new_home, run, tollgate};

/// Links that are there before.
const OLD: usize = 300;

/// Reads come to the store, not to what a server remembers.
const FORGETFUL: &str =
    "[links.memory_cache]\nttl = \"1ms\"\nnegative_ttl = \"0s\"\nearly_refresh = 0.0";

fn options(shards: &str) -> Options {
    Options::default()
        .env("TOLLGATE_LINKS__STORE", shards)
        .config(FORGETFUL)
}

fn rebalance(shards: &str, home: &std::path::Path) -> Command {
    let mut command = tollgate();
    command
        .args(["migrate", "rebalance", "--batch", "5", "--data-dir"])
        .arg(home)
        .env("TOLLGATE_LINKS__STORE", shards);
    command
}

/// What one thread made, and the target of each link as it was last answered.
type Known = HashMap<String, String>;

/// Makes links at one server, and edits and deletes some of them; looks for them at the other.
fn write(name: &str, one: &Client, other: &Client, end: &AtomicBool, done: &AtomicUsize) -> Known {
    let mut known = Known::new();
    let mut n = 0_usize;
    while !end.load(Relaxed) {
        n += 1;
        let (code, url) = (format!("{name}-{n}"), format!("https://t.example/{n}"));
        one.draft(&json!({"url": url, "code": code})).expect(201);
        let visit = other.visit(&code);
        assert_eq!(
            (visit.status, visit.location()),
            (302, url.as_str()),
            "{code}"
        );
        known.insert(code, url);
        let earlier = format!("{name}-{}", n / 2 + 1);
        if known.contains_key(&earlier) {
            let url = format!("https://edited.example/{n}");
            other.patch(&earlier, &json!({"url": url})).expect(200);
            let link = one.link(&earlier).expect(200).json();
            assert_eq!(link["url"], json!(url), "{earlier}");
            known.insert(earlier.clone(), url);
            if n.is_multiple_of(7) {
                one.delete(&earlier).expect(204);
                other.link(&earlier).expect(404);
                known.remove(&earlier);
            }
        }
        done.fetch_add(1, Relaxed);
    }
    known
}

/// Follows links that are there all the time.
fn read(client: &Client, end: &AtomicBool) -> usize {
    let mut visits = 0;
    while !end.load(Relaxed) {
        let code = format!("old-{}", visits % OLD);
        assert_eq!(client.visit(&code).status, 302, "{code}");
        visits += 1;
    }
    visits
}

fn links(server: &PrivatePostgres, database: &str) -> usize {
    let count = server.sql(database, "SELECT count(*) FROM links");
    count.parse().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_third_shard_comes_while_two_servers_are_used_and_the_mover_is_killed() {
    let settings = ["max_connections=300"];
    let machines = [
        PrivatePostgres::start_with(&settings),
        PrivatePostgres::start_with(&settings),
    ];
    let third = machines[0].database();
    let databases = [
        (&machines[0], "postgres"),
        (&machines[1], "postgres"),
        (&machines[0], third.as_str()),
    ];
    let urls: Vec<String> = databases
        .iter()
        .map(|(machine, database)| machine.url(database))
        .collect();
    let (two, three) = (urls[..2].join(" "), urls.join(" "));

    // Two shards, with links.
    let first = options(&two).start();
    let rows: Vec<_> = (0..OLD)
        .map(|n| json!({"url": format!("https://old.example/{n}"), "code": format!("old-{n}")}))
        .collect();
    let made = first
        .client()
        .api_json("POST", "/api/v1/links/bulk", &json!(rows));
    made.expect(200);
    assert_eq!(first.client().metric("tollgate_shards"), 2.0);
    first.stop();

    // Servers that know of a third one do not use it yet.
    let servers: Vec<Server> = (0..2).map(|_| options(&three).start()).collect();
    let [one, other] = [0, 1].map(|at| servers[at].client());
    assert!(
        servers[0].log().contains("no shard yet"),
        "{}",
        servers[0].log()
    );
    let (end, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let home = new_home();
    let (known, visits) = thread::scope(|scope| {
        let writers = [
            scope.spawn(|| write("a", &one, &other, &end, &done)),
            scope.spawn(|| write("b", &other, &one, &end, &done)),
        ];
        let readers = [
            scope.spawn(|| read(&one, &end)),
            scope.spawn(|| read(&other, &end)),
        ];
        // A panic of a thread is told after the end.
        let ended = || {
            writers.iter().any(|one| one.is_finished())
                || readers.iter().any(|one| one.is_finished())
        };
        let work = |more: usize| {
            let before = done.load(Relaxed);
            eventually("work", || {
                (done.load(Relaxed) >= before + more || ended()).then_some(())
            });
        };
        work(10);
        let mover = rebalance(&three, home.path())
            .args(["--pause", "100ms"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("links on the third shard", || {
            (links(&machines[0], &third) >= 10 || ended()).then_some(())
        });
        kill(mover);
        // All goes on in the middle of it.
        work(20);
        let moving = [&one, &other].map(|client| client.metric("tollgate_shards_moving"));
        let told = run(&mut rebalance(&three, home.path()));
        work(10);
        end.store(true, Relaxed);
        let mut known = Known::new();
        for writer in writers {
            known.extend(writer.join().unwrap());
        }
        let visits: usize = readers.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(moving, [1.0, 1.0]);
        assert!(
            told.contains("the map of the shards is version 3"),
            "{told}"
        );
        (known, visits)
    });

    // All is found, as it was last answered, at both.
    for client in [&one, &other] {
        for (code, url) in &known {
            let visit = client.visit(code);
            assert_eq!(
                (visit.status, visit.location()),
                (302, url.as_str()),
                "{code}"
            );
        }
        for n in 0..OLD {
            client.visit(&format!("old-{n}")).expect(302);
        }
        assert_eq!(client.metric("tollgate_shards_map_version"), 3.0);
        assert_eq!(client.metric("tollgate_shards"), 3.0);
        assert_eq!(client.metric("tollgate_shards_moving"), 0.0);
    }
    let counts = databases.map(|(machine, database)| links(machine, database));
    println!(
        "{} made, {visits} visits, links on each shard: {counts:?}",
        known.len()
    );
    assert_eq!(counts.iter().sum::<usize>(), OLD + known.len());
    let even = (OLD + known.len()) / 3;
    assert!(counts.iter().all(|count| *count > even / 2), "{counts:?}");

    // Nobody comes with another list.
    for (list, why) in [
        (
            two.as_str(),
            "the shard s3 of the stored map is not in the list",
        ),
        (urls[0].as_str(), "is one of several shards"),
    ] {
        let output = options(list).fails_to_start(&new_home());
        let text = both(&output);
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
    let alone = rebalance("sqlite:x.db", home.path()).output().unwrap();
    assert!(both(&alone).contains("give an array with the URL of each shard"));
}

//! Clicks on their way to the spool: what a restart, kill -9 and a full disk cost.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tollgate_clicks::capture::{Addresses, Capture, Privacy};
use tollgate_clicks::query::{Bots, Bucket, LinkName, List, Period, Query, Scope};
use tollgate_clicks::spool::{Spool, SpoolOptions};
use tollgate_clicks::store::{ClickStore as _, SqliteClickStore, SqliteOptions};
use tollgate_clicks::{ClickKind, ClickSource as _, Dimension, EnrichedClick, Enricher};
use tollgate_clock::SystemClock;

use crate::server::{Options, Server, after_mounting, both, eventually};

/// All clicks of a server that has ended: those that it counted, and those in the spool that it did
/// not count yet.
pub(crate) fn kept(home: &Path) -> Vec<EnrichedClick> {
    let data = home.join("data");
    let clock = Arc::new(SystemClock::new());
    let file = data.join("clicks.db");
    let store = SqliteClickStore::open(&file, clock.clone(), SqliteOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut clicks = Vec::new();
    for scope in [Scope::Everything, Scope::Orphans] {
        let mut list = List {
            scope,
            period: None,
            bots: Bots::Include,
            after: None,
            limit: 1_000,
        };
        loop {
            let page = runtime.block_on(store.clicks(list.clone())).unwrap();
            clicks.extend(page.clicks);
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
        }
    }
    let counted = clicks.len();

    let options = SpoolOptions {
        directory: data.join("spool"),
        max_bytes: 1 << 30,
        sync: None,
        identity: 1,
        process: 1,
    };
    let privacy = Privacy {
        addresses: Addresses::None,
        respect_dnt: true,
        key: [0; 16],
    };
    let capture = Arc::new(Capture::new(privacy, 0));
    let spool = Spool::start(&options, capture, clock.clone()).unwrap();
    let source = spool.source();
    let enricher = Enricher::new(None, clock);
    let mut after = runtime.block_on(store.position(source.id())).unwrap();
    while let Some(batch) = source.ready(after, 10_000).unwrap() {
        after = batch.to;
        clicks.extend(batch.clicks.into_iter().map(|click| enricher.enrich(click)));
    }
    println!(
        "{counted} clicks counted, {} not yet",
        clicks.len() - counted
    );
    let damaged = (spool.stats())().damaged_bytes;
    assert_eq!(damaged, 0);
    spool.finish();
    clicks
}

#[test]
fn clicks_outlast_a_restart_and_are_counted_in_metrics() {
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/?utm_source=mail"}));
    for _ in 0..20 {
        assert_eq!(client.visit(&code).status, 302);
    }
    assert_eq!(client.visit("nowhere").status, 404);
    assert_eq!(client.metric("tollgate_clicks_captured_total"), 21.0);
    eventually("all clicks in the spool", || {
        (client.metric("tollgate_clicks_spooled_total") == 21.0).then_some(())
    });
    assert_eq!(client.metric("tollgate_clicks_queued"), 0.0);
    assert_eq!(client.metric("tollgate_clicks_spool_failing"), 0.0);
    assert!(client.metric("tollgate_clicks_spool_bytes") > 21.0 * 40.0);
    let last = client.visit(&code);
    assert_eq!(last.status, 302);
    let home = server.stop();
    let again = Options::default().start_in(&home);
    assert_eq!(again.client().visit(&code).status, 302);
    let home = again.stop();

    let clicks = kept(home.path());
    let of = |kind, code: &str| {
        let those = clicks.iter().filter(|click| click.click.kind == kind);
        those.filter(|click| click.click.code == code).count()
    };
    assert_eq!(of(ClickKind::Visit, &code), 22);
    assert_eq!(of(ClickKind::Orphan, "nowhere"), 1);
    assert_eq!(clicks.len(), 23);
    let visits = clicks.iter().filter(|click| click.click.code == code);
    for click in visits {
        assert_eq!(click.value(Dimension::UtmSource).to_string(), "mail");
    }
    let names: HashSet<_> = clicks.iter().map(|click| click.click.id).collect();
    assert_eq!(names.len(), 23, "no name twice");
}

/// What is in the store of a running server.
fn total(server: &Server, scope: Scope) -> u64 {
    let clock = Arc::new(SystemClock::new());
    let file = server.path("data/clicks.db");
    let store = SqliteClickStore::open(&file, clock, SqliteOptions::default()).unwrap();
    let at = |text: &str| text.parse().unwrap();
    let period = Period::new(at("2020-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z")).unwrap();
    let query = Query {
        bucket: Bucket::Month,
        ..Query::new(scope, period)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store.statistics(query)).unwrap().total
}

#[test]
fn clicks_become_statistics_that_go_with_their_link() {
    let server = Server::start();
    let client = server.client();
    let (gone, stays) = (
        client.code(&json!({"url": "https://a.example/"})),
        client.code(&json!({"url": "https://b.example/"})),
    );
    for _ in 0..7 {
        client.visit(&gone);
        client.visit(&stays);
    }
    client.visit("nowhere");
    let of = |code: &str| {
        total(
            &server,
            Scope::Link(LinkName {
                domain: "".into(),
                code: code.into(),
            }),
        )
    };
    eventually("all clicks counted", || {
        (client.metric("tollgate_clicks_counted_total") == 15.0).then_some(())
    });
    assert_eq!((of(&gone), of(&stays)), (7, 7));
    assert_eq!(total(&server, Scope::Orphans), 1);
    assert_eq!(client.metric("tollgate_clicks_lag_seconds"), 0.0);

    assert_eq!(client.delete(&gone).status, 204);
    eventually("statistics being forgotten", || {
        (of(&gone) == 0).then_some(())
    });
    assert_eq!((of(&stays), total(&server, Scope::Everything)), (7, 14));
}

#[test]
fn statistics_of_a_deleted_link_may_be_kept() {
    let config = "[clicks]\non_link_delete = \"keep\"\nretain_raw = \"0\"";
    let server = Options::default().config(config).start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    client.visit(&code);
    eventually("the click counted", || {
        (client.metric("tollgate_clicks_counted_total") == 1.0).then_some(())
    });
    assert_eq!(client.delete(&code).status, 204);
    let home = server.stop();
    let again = Options::default().config(config).start_in(&home);
    assert_eq!(total(&again, Scope::Everything), 1);
    let link = LinkName {
        domain: "".into(),
        code: code.as_str().into(),
    };
    assert_eq!(total(&again, Scope::Link(link)), 1);
}

#[test]
fn nothing_is_captured_if_that_is_turned_off() {
    let options = Options::default().config("[clicks]\nenabled = false");
    let server = options.start();
    let client = server.client();
    let limited = client.code(&json!({"url": "https://a.example/", "max_clicks": 2}));
    let statuses = [(); 3].map(|()| client.visit(&limited).status);
    assert_eq!(statuses, [302, 302, 410]);
    assert!(!client.open("/metrics").text().contains("tollgate_clicks"));
    assert!(!server.path("data/spool").exists());
}

#[test]
fn a_second_server_on_the_same_spool_is_refused() {
    let server = Server::start();
    let output = Options::default().fails_to_start(server.home());
    let text = both(&output);
    assert!(
        text.contains("clicks.spool") && text.contains("another process"),
        "{text}"
    );
}

/// The names of the server's threads, and how the system schedules them: 0 is as usual, 5 is only where
/// nobody else wants to.
fn threads(server: &Server) -> Vec<(String, u8)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let stats = tasks.filter_map(|task| {
        // It may have ended meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("stat")).ok()
    });
    let parsed = stats.map(|stat| {
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        let policy = fields.split(' ').nth(38).unwrap().parse().unwrap();
        (name.to_owned(), policy)
    });
    parsed.collect()
}

#[test]
fn counting_gives_way_to_redirects_until_the_spool_is_half_full() {
    const CLICKS: usize = 10_000;
    let options = Options::default().config("[clicks]\nspool_max_bytes = \"16MiB\"");
    let server = options.start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let named = |name: &str| -> Vec<u8> {
        let all = threads(&server).into_iter();
        all.filter(|(its, _)| its == name)
            .map(|(_, policy)| policy)
            .collect()
    };
    eventually("a thread that gives way", || {
        (named("clicks") == [5]).then_some(())
    });
    let writing = named("sqlite-write");
    assert_eq!(writing.iter().filter(|policy| **policy == 5).count(), 1);
    assert!(writing.contains(&0), "links are written as usual");
    for name in ["edge-0", "click-write", "clicks-hurry"] {
        assert_eq!(named(name), [0], "{name}");
    }

    // Nothing can be counted meanwhile.
    let lock = rusqlite::Connection::open(server.path("data/clicks.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (agent, referrer) = ("a".repeat(500), "r".repeat(1_000));
    let path = format!("{code}?utm_campaign={}", "c".repeat(490));
    let headers = [("user-agent", agent.as_str()), ("referer", &referrer)];
    let mut answered = 0;
    while client.metric("tollgate_clicks_spool_bytes") < f64::from(9 << 20) {
        let reply = client.visit_with(&path, &headers);
        assert_eq!(reply.status, 302);
        answered += 1;
        assert!(answered < CLICKS);
    }
    eventually("the hurry", || {
        server
            .log()
            .contains("the spool is half full")
            .then_some(())
    });
    assert!(client.metric("tollgate_clicks_lag_seconds") > 0.0);
    lock.execute_batch("ROLLBACK").unwrap();
    eventually("the end of the hurry", || {
        server.log().contains("gives way again").then_some(())
    });
    eventually("all clicks counted", || {
        (total(&server, Scope::Everything) == answered as u64).then_some(())
    });
    assert_eq!(named("clicks"), [5]);
}

/// The spool is on a disk of one megabyte, in which something else lies that can be deleted.
const SMALL_DISK: &str = "
mkdir -p data/spool &&
mount -t tmpfs -o size=1m tmpfs data/spool &&
head -c 700000 /dev/zero >data/spool/other";

#[test]
fn a_full_disk_stops_clicks_and_no_redirects_and_they_go_on_when_it_has_room() {
    let Some(starter) = after_mounting(SMALL_DISK) else {
        return;
    };
    let server = Options::default().by(&starter).start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    let agent = "a".repeat(512);
    let visit = || {
        let reply = client.visit_with(&code, &[("user-agent", &agent)]);
        assert_eq!(reply.status, 302);
    };
    let failing = || client.metric("tollgate_clicks_spool_failing");
    eventually("a full disk", || {
        (0..100).for_each(|_| visit());
        (failing() == 1.0).then_some(())
    });
    (0..100).for_each(|_| visit());
    let dropped = r#"tollgate_clicks_dropped_total{reason="spool_failing"}"#;
    eventually("drops", || (client.metric(dropped) >= 1.0).then_some(()));
    assert_eq!(client.open("/health/ready").status, 200);

    std::fs::remove_file(server.path_inside("data/spool/other")).unwrap();
    eventually("clicks being written again", || {
        (failing() == 0.0).then_some(())
    });
    let before = client.metric("tollgate_clicks_spooled_total");
    (0..10).for_each(|_| visit());
    eventually("more clicks in the spool", || {
        (client.metric("tollgate_clicks_spooled_total") >= before + 10.0).then_some(())
    });
    let told = server.log().matches("clicks cannot be written").count();
    assert!((1..=5).contains(&told), "{}", server.log());
    server.stop();
}

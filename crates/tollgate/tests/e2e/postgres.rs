//! Links that servers share in a PostgreSQL, and what visitors see while it is away.

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::private_postgres::{PASSWORD, PrivatePostgres, USER};
use crate::server::{Options, Server, both, eventually, new_home, run, tollgate};

/// A server on this database, with more lines for its configuration. The URL comes by the environment,
/// since it holds a password.
fn options(postgres: &PrivatePostgres, more: &str) -> Options {
    Options::default()
        .env("TOLLGATE_LINKS__STORE", &postgres.url("postgres"))
        .config(more)
}

fn start(postgres: &PrivatePostgres, more: &str) -> Server {
    options(postgres, more).start()
}

/// Where a visitor is sent.
fn target(client: &Client, code: &str) -> Option<String> {
    let reply = client.visit(code);
    (reply.status == 302).then(|| reply.location().to_owned())
}

fn edit(client: &Client, code: &str, url: &str) {
    client.patch(code, &json!({"url": url})).expect(200);
}

#[test]
fn servers_that_start_at_once_share_their_links() {
    let postgres = PrivatePostgres::start();
    let servers: Vec<Server> = thread::scope(|scope| {
        let starting: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| start(&postgres, "")))
            .collect();
        starting
            .into_iter()
            .map(|server| server.join().unwrap())
            .collect()
    });
    let mut codes = Vec::new();
    for strategy in ["counter", "hash", "snowflake", "pool", "random"] {
        for server in &servers {
            let url = format!("https://{strategy}.example/{}", codes.len());
            let code = server
                .client()
                .code(&json!({"url": url, "strategy": strategy}));
            codes.push((code, url));
        }
    }
    for server in &servers {
        for (code, url) in &codes {
            assert_eq!(
                target(&server.client(), code).as_deref(),
                Some(url.as_str())
            );
        }
    }
    let mut distinct: Vec<_> = codes.iter().map(|(code, _)| code).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), codes.len());
    // One of them has the alias.
    let made = servers
        .iter()
        .filter(|server| {
            let body = json!({"url": "https://a.example/", "code": "sale"});
            server.client().draft(&body).status == 201
        })
        .count();
    assert_eq!(made, 1);
    // Clicks of a limited link are counted by all together.
    let limited = servers[0]
        .client()
        .code(&json!({"url": "https://b.example/", "max_clicks": 4}));
    let passed = (0..9)
        .filter(|at| target(&servers[at % 3].client(), &limited).is_some())
        .count();
    assert_eq!(passed, 4);
}

#[test]
fn an_edit_reaches_the_caches_of_others_without_their_looking() {
    let postgres = PrivatePostgres::start();
    // Nobody looks within the time of the test.
    let rare = "[links.memory_cache]\nfollow = \"1h\"\nttl = \"1h\"";
    let servers = [start(&postgres, rare), start(&postgres, rare)];
    let [one, other] = servers.each_ref().map(Server::client);
    eventually("both listen", || {
        let listening =
            |server: &Server| server.client().metric("tollgate_postgres_listening") > 0.0;
        servers.iter().all(listening).then_some(())
    });
    let code = one.code(&json!({"url": "https://old.example/"}));
    assert_eq!(target(&other, &code).unwrap(), "https://old.example/");
    edit(&one, &code, "https://new.example/");
    eventually("the other server's cache to forget", || {
        (target(&other, &code)? == "https://new.example/").then_some(())
    });
}

#[test]
fn an_edit_is_found_by_looking_when_nobody_tells() {
    let postgres = PrivatePostgres::start();
    let often = "[links.memory_cache]\nfollow = \"200ms\"\nttl = \"1h\"";
    let servers = [start(&postgres, often), start(&postgres, often)];
    let [one, other] = servers.each_ref().map(Server::client);
    // Notifications go nowhere: each listener is ended as soon as it is there, and this trigger
    // ends all once more before the edit commits.
    postgres.sql(
        "postgres",
        "CREATE FUNCTION deafen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%';
            RETURN NULL; END $$",
    );
    postgres.sql(
        "postgres",
        "CREATE TRIGGER deafen AFTER INSERT ON link_feed EXECUTE FUNCTION deafen()",
    );
    let code = one.code(&json!({"url": "https://old.example/"}));
    assert_eq!(target(&other, &code).unwrap(), "https://old.example/");
    edit(&one, &code, "https://new.example/");
    eventually("the other server's cache to forget", || {
        (target(&other, &code)? == "https://new.example/").then_some(())
    });
}

#[test]
fn while_postgres_is_away_visitors_of_known_links_notice_nothing() {
    let mut postgres = PrivatePostgres::start();
    let server = start(&postgres, "");
    let client = server.client();
    let (known, unknown) = {
        let code = |url: &str| client.code(&json!({"url": url}));
        (
            code("https://known.example/"),
            code("https://unknown.example/"),
        )
    };
    // Made here, so both are in memory; another server knows neither.
    let fresh = start(&postgres, "");
    assert!(target(&fresh.client(), &known).is_some());

    postgres.kill();
    for _ in 0..20 {
        assert_eq!(
            target(&fresh.client(), &known).unwrap(),
            "https://known.example/"
        );
    }
    let missed = fresh.client().visit(&unknown);
    assert_eq!(missed.status, 503);
    assert!(!missed.header("retry-after").is_empty());
    let refused = client.draft(&json!({"url": "https://c.example/"}));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    eventually("not ready", || (!fresh.client().is_ready()).then_some(()));

    postgres.restart();
    eventually("ready again", || fresh.client().is_ready().then_some(()));
    assert_eq!(
        target(&fresh.client(), &unknown).unwrap(),
        "https://unknown.example/"
    );
    client.code(&json!({"url": "https://c.example/"}));
    assert!(fresh.client().metric("tollgate_postgres_failures_total") > 0.0);
    for server in [&server, &fresh] {
        assert!(!server.log().contains(PASSWORD), "{}", server.log());
    }
}

#[test]
fn commands_use_the_same_store() {
    let postgres = PrivatePostgres::start();
    let home = new_home();
    let migrate = |home: &Arc<TempDir>, url: &str| {
        let mut command = tollgate();
        command
            .env("TOLLGATE_LINKS__STORE", url)
            .args(["migrate", "--data-dir"])
            .arg(home.path().join("data"));
        command
    };
    let told = run(&mut migrate(&home, &postgres.url("postgres")));
    let place = format!("postgres://{}/postgres is up to date", postgres.address());
    assert!(told.contains(&place), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    assert_eq!(postgres.sql("postgres", "SELECT count(*) FROM links"), "0");

    let server = options(&postgres, "").start_in(&home);
    let mut rows = String::from("alias,url\n");
    for n in 0..2_500 {
        writeln!(rows, "row{n},https://r.example/{n}").unwrap();
    }
    let file = server.path("rows.csv");
    std::fs::write(&file, &rows).unwrap();
    run(server.cli().args(["link", "import"]).arg(&file));
    assert_eq!(
        postgres.sql("postgres", "SELECT count(*) FROM links"),
        "2500"
    );
    let back = server.path("back.csv");
    run(server.cli().args(["link", "export"]).arg(&back));
    let exported = std::fs::read_to_string(&back).unwrap();
    assert_eq!(exported.lines().count(), 2_501);
    assert!(exported.contains("https://r.example/2499"));
    server.stop();

    // What cannot be had is named, without its password.
    let wrong = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:1/postgres");
    let failed = migrate(&home, &wrong).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let text = both(&failed);
    assert!(
        text.contains("links.store") && text.contains("127.0.0.1:1"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!home.path().join("data/links.db").exists());
}

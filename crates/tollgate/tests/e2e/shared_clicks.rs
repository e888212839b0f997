//! Statistics that servers keep together in a PostgreSQL.

use serde_json::{Value, json};

use crate::client::Client;
use crate::private_postgres::{PASSWORD, PrivatePostgres, USER};
use crate::server::{Options, Server, both, eventually, run, tollgate};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/17.4 Safari/605.1.15";

fn visit(client: &Client, code: &str, agent: &str) {
    let reply = client.visit_with(code, &[("user-agent", agent)]);
    assert_eq!(reply.status, 302);
}

/// The statistics of a link, or of all.
fn stats(client: &Client, path: &str) -> Value {
    client.api("GET", path).expect(200).json()
}

fn total(client: &Client, path: &str) -> u64 {
    stats(client, path)["total"].as_u64().unwrap()
}

#[test]
fn servers_count_together_and_each_tells_of_all() {
    let postgres = PrivatePostgres::start();
    let url = postgres.url("postgres");
    let start = || Options::default().stores(&url).start();
    let servers = [start(), start(), start()];
    let clients = servers.each_ref().map(Server::client);
    let code = clients[0].code(&json!({"url": "https://a.example/"}));
    let other = clients[0].code(&json!({"url": "https://b.example/"}));
    for client in &clients {
        for _ in 0..5 {
            visit(client, &code, FIREFOX);
            visit(client, &other, FIREFOX);
        }
        visit(client, &code, SAFARI);
        assert_eq!(client.visit("nowhere").status, 404);
    }
    let of_code = format!("/api/v1/links/{code}/stats?by=browser");
    for client in &clients {
        eventually("all clicks counted", || {
            let (visits, orphans) = ("/api/v1/stats", "/api/v1/stats/orphans");
            (total(client, visits) == 33 && total(client, orphans) == 3).then_some(())
        });
        let told = stats(client, &of_code);
        assert_eq!(told["total"], 18);
        assert_eq!(told["unique"], 2, "whichever server they came to: {told}");
        let browsers = &told["by"]["browser"];
        assert_eq!(browsers[0], json!({"value": "Firefox", "clicks": 15}));
        let list = client.api("GET", &format!("/api/v1/links/{code}/clicks"));
        let list = list.expect(200).json();
        assert_eq!(list["clicks"].as_array().map(Vec::len), Some(18), "{list}");
        assert!(client.metric("tollgate_clicks_postgres_connections") >= 1.0);
        // A commit is seen by all before the server that made it has counted it.
        eventually("its own clicks in the metrics", || {
            (client.metric("tollgate_clicks_counted_total") == 12.0).then_some(())
        });
    }
    assert_eq!(
        postgres.sql("postgres", "SELECT count(*) FROM click_raw"),
        "36"
    );
    // A link that one of them deletes is forgotten, once and for all.
    clients[1]
        .api("DELETE", &format!("/api/v1/links/{other}"))
        .expect(204);
    eventually("the clicks of a deleted link to go", || {
        let left = postgres.sql("postgres", "SELECT count(*) FROM click_raw");
        (left == "21").then_some(())
    });
    assert_eq!(total(&clients[2], "/api/v1/stats"), 33, "totals stay");
    let followed = "SELECT count(*) FROM click_sources WHERE id LIKE 'deleted-links-%'";
    assert_eq!(
        postgres.sql("postgres", followed),
        "1",
        "they follow together"
    );
    for server in servers {
        let log = server.log();
        assert!(!log.contains(PASSWORD), "{log}");
        server.stop();
    }
}

#[test]
fn while_it_is_away_clicks_wait_and_redirects_notice_nothing() {
    let mut postgres = PrivatePostgres::start();
    // Links are in a file, as usual.
    let options = || {
        Options::default()
            .env("TOLLGATE_CLICKS__STORE", &postgres.url("postgres"))
            .config("[clicks.postgres]\ndeadline = \"2s\"")
    };
    let server = options().start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    visit(&client, &code, FIREFOX);
    eventually("the first click counted", || {
        (total(&client, "/api/v1/stats") == 1).then_some(())
    });

    postgres.kill();
    for _ in 0..50 {
        visit(&client, &code, FIREFOX);
    }
    let refused = client.api("GET", "/api/v1/stats");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.text().contains(PASSWORD));
    eventually("the failure to be told", || {
        (client.metric("tollgate_clicks_store_failures_total") > 0.0).then_some(())
    });
    assert!(client.is_ready(), "redirects do not need it");
    postgres.restart();
    eventually("all clicks counted", || {
        let answer = client.api("GET", "/api/v1/stats");
        (answer.status == 200 && answer.json()["total"] == 51).then_some(())
    });

    // What was not counted when a server ended, is by the next one.
    postgres.kill();
    for _ in 0..20 {
        visit(&client, &code, FIREFOX);
    }
    let home = server.stop();
    postgres.restart();
    let again = Options::default()
        .env("TOLLGATE_CLICKS__STORE", &postgres.url("postgres"))
        .start_in(&home);
    let client = again.client();
    eventually("the rest counted", || {
        (total(&client, "/api/v1/stats") == 71).then_some(())
    });
    assert_eq!(
        postgres.sql("postgres", "SELECT count(*) FROM click_raw"),
        "71"
    );
    assert!(!again.path("data/clicks.db").exists());
}

#[test]
fn commands_know_where_the_statistics_are() {
    let postgres = PrivatePostgres::start();
    let server = Options::default()
        .env("TOLLGATE_CLICKS__STORE", &postgres.url("postgres"))
        .start();
    let data = server.path("data");
    let home = server.stop();
    let command = |url: &str, name: &str| {
        let mut command = tollgate();
        command
            .env("TOLLGATE_CLICKS__STORE", url)
            .args([name, "--data-dir"])
            .arg(&data);
        command
    };
    let url = postgres.url("postgres");
    let told = run(&mut command(&url, "migrate"));
    let place = format!("postgres://{}/postgres is up to date", postgres.address());
    assert!(told.contains(&place), "{told}");
    let told = run(command(&url, "backup").arg(home.path().join("backup")));
    assert!(
        told.contains("clicks are in a PostgreSQL: back that up by its own means"),
        "{told}"
    );
    assert!(!told.contains(PASSWORD), "{told}");
    let wrong = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:1/postgres");
    let failed = command(&wrong, "migrate").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let text = both(&failed);
    assert!(
        text.contains("clicks.store") && text.contains("127.0.0.1:1"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD), "{text}");
}

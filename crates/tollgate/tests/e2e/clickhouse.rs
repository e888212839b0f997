//! Statistics that servers keep together in a ClickHouse: its engine, by `chdb` from PyPI, behind a small server of the
//! tests' own. `scripts/test` runs these in a stage of their own.

use serde_json::{Value, json};

use crate::client::Client;
use crate::private_chdb::{PASSWORD, PrivateChdb};
use crate::private_postgres::PrivatePostgres;
use crate::server::{Options, Server, eventually};

fn start(clicks: &PrivateChdb, links: &PrivatePostgres) -> Server {
    Options::default()
        .env("TOLLGATE_LINKS__STORE", &links.url("postgres"))
        .env("TOLLGATE_CLICKS__STORE", &clicks.url("clicks"))
        .start()
}

fn stats(client: &Client, path: &str) -> Value {
    client.api("GET", path).expect(200).json()
}

fn total(client: &Client) -> Option<u64> {
    let told = client.api("GET", "/api/v1/stats");
    (told.status == 200).then(|| told.json()["total"].as_u64().unwrap())
}

#[test]
#[ignore = "needs chdb: scripts/test e2e"]
fn servers_count_together_also_what_came_while_it_was_away() {
    let links = PrivatePostgres::start();
    let mut clicks = PrivateChdb::start();
    let servers = [start(&clicks, &links), start(&clicks, &links)];
    let clients = servers.each_ref().map(Server::client);
    let code = clients[0].code(&json!({"url": "https://a.example/"}));
    let other = clients[0].code(&json!({"url": "https://b.example/"}));
    for client in &clients {
        for _ in 0..5 {
            assert_eq!(client.visit(&code).status, 302);
            assert_eq!(client.visit(&other).status, 302);
        }
    }
    for client in &clients {
        eventually("all clicks counted", || {
            (total(client) == Some(20)).then_some(())
        });
        let told = stats(client, &format!("/api/v1/links/{code}/stats?by=browser"));
        assert_eq!(told["total"], 10, "{told}");
        let list = stats(client, &format!("/api/v1/links/{code}/clicks"));
        assert_eq!(list["clicks"].as_array().map(Vec::len), Some(10), "{list}");
    }

    clicks.kill();
    for client in &clients {
        for _ in 0..5 {
            assert_eq!(client.visit(&code).status, 302);
        }
        let refused = client.api("GET", "/api/v1/stats");
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!refused.header("retry-after").is_empty());
    }
    clicks.restart();
    for client in &clients {
        eventually("the clicks of meanwhile to be counted", || {
            (total(client) == Some(30)).then_some(())
        });
        assert!(client.metric("tollgate_clicks_clickhouse_failures_total") > 0.0);
    }
    // A link that one of them deletes is forgotten.
    clients[1].delete(&other).expect(204);
    eventually("the clicks of a deleted link to go", || {
        let sql = "SELECT count() FROM tollgate_clicks WHERE kind = 4";
        (clicks.ask("clicks", "", sql).trim() == "20").then_some(())
    });
    assert_eq!(total(&clients[0]), Some(30));
    for server in &servers {
        assert!(!server.log().contains(PASSWORD), "{}", server.log());
    }
}

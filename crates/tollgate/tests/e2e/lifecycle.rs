//! Links begin, end, are used up and are swept away.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::server::{Options, Server, eventually, links_file};

fn in_millis(millis: i64) -> String {
    (Timestamp::now() + SignedDuration::from_millis(millis)).to_string()
}

#[test]
fn an_expired_link_is_refused_at_once() {
    let server = Server::start();
    let client = server.client();
    let at = in_millis(2_000);
    let code = client.code(&json!({"url": "https://a.example/", "expires_at": at}));
    assert_eq!(client.visit(&code).status, 302);
    let gone = eventually("the end", || {
        let reply = client.visit(&code);
        (reply.status != 302).then_some(reply)
    });
    assert_eq!(gone.status, 410);
    assert_eq!(gone.header("cache-control"), "no-store");
    assert_eq!(client.link(&code).json()["state"], "expired");
    let patch = json!({"expires_at": null});
    client.patch(&code, &patch).expect(200);
    assert_eq!(client.visit(&code).status, 302, "it can be brought back");
}

#[test]
fn a_link_is_not_there_before_it_starts() {
    let server = Server::start();
    let client = server.client();
    let at = in_millis(2_000);
    let code = client.code(&json!({"url": "https://a.example/", "starts_at": at}));
    assert_eq!(client.visit(&code).status, 404);
    eventually("the start", || {
        (client.visit(&code).status == 302).then_some(())
    });
}

#[test]
fn clicks_are_granted_exactly_under_concurrency() {
    const CLIENTS: usize = 50;
    const CLICKS_EACH: usize = 4;
    const MOST: usize = 73;
    let server = Server::start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/", "max_clicks": MOST}));
    let granted: usize = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..CLIENTS)
            .map(|_| {
                // A client of its own, so that each has its own connection.
                let (client, code) = (server.client(), &code);
                scope.spawn(move || {
                    let visits = (0..CLICKS_EACH).map(|_| client.visit(code).status);
                    visits
                        .inspect(|status| assert!(matches!(status, 302 | 410), "{status}"))
                        .filter(|status| *status == 302)
                        .count()
                })
            })
            .collect();
        visitors.into_iter().map(|v| v.join().unwrap()).sum()
    });
    assert_eq!(granted, MOST);
    assert_eq!(client.visit(&code).status, 410);
    let link = client.link(&code).json();
    assert_eq!(link["state"], "used_up");
    assert_eq!(link["clicks_used"], MOST);
}

#[test]
fn expired_links_are_deleted_after_their_grace() {
    let server = Options::default()
        .config("[links.sweep]\ninterval = \"100ms\"\ngrace = \"0\"")
        .start();
    let client = server.client();
    let at = in_millis(1_000);
    for _ in 0..20 {
        client.create(&json!({"url": "https://a.example/", "expires_at": at}));
    }
    let kept = client.code(&json!({"url": "https://b.example/"}));
    let file = links_file(server.home().path());
    let store = rusqlite::Connection::open(file).unwrap();
    eventually("the sweep", || {
        let count = "SELECT count(*) FROM links";
        let left: i64 = store.query_row(count, [], |row| row.get(0)).unwrap();
        (left == 1).then_some(())
    });
    assert_eq!(client.visit(&kept).status, 302);
}

//! The simulator: made traffic through algorithms, as the library makes it.

use std::time::Duration;

use tollgate_access::Scope;
use tollgate_limit::{AlgorithmKind, Quota};
use tollgate_simulate::compare::{Fleet, Options, Traffic, compare};

use super::{form, sign_in};
use crate::server::Server;

/// The cells of an algorithm's row, without what is in brackets.
fn row(page: &str, name: &str) -> Vec<String> {
    let row = page.split_once(&format!("<th scope=\"row\">{name}</th>"));
    let (_, row) = row.unwrap_or_else(|| panic!("{name}: {page}"));
    let row = row.split("</tr>").next().unwrap();
    let cells = row.split("<td").skip(1).map(|cell| {
        let text = cell.split_once('>').unwrap().1.replace("<span>", "");
        let text = text.split('<').next().unwrap_or_default();
        text.trim().replace(',', "")
    });
    cells.collect()
}

#[tokio::test]
async fn numbers_are_those_of_the_library() {
    let server = Server::start().await;
    let key = server.key(&[Scope::LinksRead], None).await;
    let visitor = sign_in(&server, &key).await;
    let fleet = Fleet {
        servers: 3,
        skew: Duration::from_secs(1),
        outage: [2.0, 4.0],
    };
    for (traffic, keys) in [
        (Traffic::Boundary, 2),
        (Traffic::Zipf, 20),
        (Traffic::Fleet(fleet), 1),
    ] {
        let options = Options {
            traffic,
            algorithms: vec![AlgorithmKind::Gcra, AlgorithmKind::LeakyQueue],
            quota: Quota::new(20, Duration::from_secs(10)).unwrap(),
            burst: Some(5),
            load: 1.5,
            windows: 6,
            keys,
            seed: 7,
        };
        let made = compare(&options).unwrap();
        let keys = keys.to_string();
        let fields = [
            ("traffic", options.traffic.name()),
            ("algorithm", "gcra"),
            ("algorithm", "leaky_queue"),
            ("limit", "20"),
            ("window", "10s"),
            ("burst", "5"),
            ("load", "1.5"),
            ("windows", "6"),
            ("keys", &keys),
            ("seed", "7"),
            ("servers", "3"),
            ("skew", "1s"),
            ("outage", "2..4"),
        ];
        let page = visitor.page(&format!("/simulator?{}", form(&fields))).await;
        assert_eq!(page.matches("<svg").count(), made.outcomes.len());
        assert!(!page.contains(" style=") && !page.contains("<style"));
        for outcome in &made.outcomes {
            let mode = outcome.on_store_failure.map(|mode| format!(" {mode}"));
            let name = format!("{}{}", outcome.algorithm, mode.unwrap_or_default());
            let numbers = [
                outcome.admitted,
                outcome.delayed,
                outcome.worst_window,
                outcome.worst_tenth,
                outcome.false_allow,
                outcome.false_deny,
                outcome.bytes_per_key,
                outcome.redis_commands,
            ];
            assert_eq!(row(&page, &name), numbers.map(|one| one.to_string()));
        }
        let command = format!(
            "tollgate limit simulate --traffic {} --algorithm gcra,leaky_queue --limit 20",
            options.traffic.name()
        );
        assert!(page.contains(&command), "{page}");
    }
}

#[tokio::test]
async fn one_page_makes_no_more_than_it_may() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    for (fields, field) in [
        (vec![("limit", "1000000000"), ("algorithm", "gcra")], "load"),
        // With each of the algorithms half as much would be enough.
        (
            vec![
                ("limit", "25000"),
                ("load", "1"),
                ("windows", "12"),
                ("algorithm", "gcra"),
                ("algorithm", "fixed_window"),
            ],
            "load",
        ),
        (
            vec![("load", "0.000000001"), ("keys", "99999999999")],
            "keys",
        ),
        (vec![("load", "0.000000001"), ("algorithm", "gcra")], "load"),
        (vec![("window", "<b>"), ("algorithm", "gcra")], "window"),
    ] {
        let answer = visitor.get(&format!("/simulator?{}", form(&fields))).await;
        assert_eq!(answer.status, 422, "{fields:?}");
        let page = answer.page();
        let told = format!("<p class=\"error\" id=\"{field}-error\"></p>");
        assert!(!page.contains(&told), "{fields:?}: {page}");
        assert!(page.contains("Nothing was run") && !page.contains("<svg"));
        // What was typed is still there.
        let (name, value) = fields[0];
        let value = value.replace('<', "&lt;").replace('>', "&gt;");
        assert!(page.contains(&format!("name=\"{name}\" value=\"{value}\"")));
    }
    let most = [
        ("limit", "25000"),
        ("load", "1"),
        ("windows", "12"),
        ("algorithm", "gcra"),
    ];
    assert_eq!(
        visitor
            .get(&format!("/simulator?{}", form(&most)))
            .await
            .status,
        200
    );
}

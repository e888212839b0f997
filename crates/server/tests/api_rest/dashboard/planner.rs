//! The planner: numbers in the address, what follows from them on the page.

use tollgate_access::Scope;

use super::{Visitor, form, sign_in};
use crate::server::Server;

/// Fields or results, by name.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The page for these numbers.
async fn plan(visitor: &Visitor<'_>, fields: Pairs<'_>) -> String {
    visitor.page(&format!("/planner?{}", form(fields))).await
}

/// The value of a result.
fn value<'a>(page: &'a str, name: &str) -> &'a str {
    let row = page.split_once(&format!("<tr id=\"{name}\">"));
    let (_, row) = row.unwrap_or_else(|| panic!("{name}: {page}"));
    let (_, value) = row.split_once("<strong>").unwrap();
    value.split('<').next().unwrap()
}

#[tokio::test]
async fn known_cases_come_out() {
    let server = Server::start().await;
    let key = server.key(&[Scope::LinksRead], None).await;
    // Any key will do: nothing of the server is shown.
    let visitor = sign_in(&server, &key).await;
    let rates = [
        ("by", "rates"),
        ("writes_per_second", "200"),
        ("read_write_ratio", "100"),
        ("peak", "5"),
        ("retention", "5y"),
        ("record_size", "500B"),
        ("response_size", "100B"),
    ];
    let users = [
        ("by", "users"),
        ("dau", "10M"),
        ("create_share", "1%"),
        ("click_share", "50%"),
        ("peak", "10"),
        ("response_size", "200B"),
    ];
    let billion = [("dau", "1G"), ("hit_rate", "90%")];
    let ten_billion = [("dau", "10G")];
    let daily = [
        ("by", "rates"),
        ("writes_per_second", "100000/d"),
        ("retention", "10y"),
    ];
    let drawn = [
        ("strategy", "random"),
        ("code_alphabet", "16"),
        ("code_length", "6"),
    ];
    let cases: [(Pairs<'_>, Pairs<'_>); 6] = [
        (
            &rates,
            &[
                ("records", "31.54 billion"),
                ("link_bytes", "15.77 TB (14.34 TiB)"),
                ("bytes_with_indexes", "23.65 TB (21.51 TiB)"),
                ("bytes_replicated", "70.96 TB (64.53 TiB)"),
                ("reads", "20,000/s"),
                ("peak_reads", "100,000/s"),
                ("out_bits", "16 Mbit/s"),
                ("window_links", "518.4 million"),
                ("hot_links", "103.7 million"),
                ("hot_bytes", "51.84 GB (48.28 GiB)"),
                ("keyspace", "3.522 trillion"),
            ],
        ),
        (
            &users,
            &[
                ("writes", "1.157/s"),
                ("reads", "57.87/s"),
                ("peak_writes", "11.57/s"),
                ("peak_reads", "578.7/s"),
                ("peak_in_bits", "46.3 kbit/s"),
                ("peak_out_bits", "925.9 kbit/s"),
            ],
        ),
        (
            &billion,
            &[
                ("peak_reads", "57,870/s"),
                ("store_reads", "5,787/s"),
                ("replicas", "58"),
                ("hit_rate_for_6_replicas", "98.96 %"),
            ],
        ),
        (
            &ten_billion,
            &[
                ("peak_reads", "578,700/s"),
                ("redis_nodes_for_look_ups_at_best", "3"),
                ("redis_nodes_for_look_ups", "6"),
            ],
        ),
        (
            &daily,
            &[
                ("bytes_per_day", "50 MB (47.68 MiB)"),
                ("bytes_per_year", "18.25 GB (17 GiB)"),
                ("link_bytes", "182.5 GB (170 GiB)"),
            ],
        ),
        (
            &drawn,
            &[("keyspace", "16.78 million"), ("even_odds_codes", "4,823")],
        ),
    ];
    for (fields, results) in cases {
        let page = plan(&visitor, fields).await;
        for (name, expected) in results {
            assert_eq!(value(&page, name), *expected, "{name} of {fields:?}");
        }
    }
    let page = plan(&visitor, &rates).await;
    assert!(page.contains("= writes × retention"), "{page}");
    assert!(page.contains("= 200/s × 157,680,000 s"));
    assert!(page.contains("51.84 GB</td>"), "the table of hot sets");
    // What is as usual need not be told.
    let command = "tollgate plan --writes-per-second 200 --response-size 100B\n";
    assert!(page.contains(command), "{page}");
    assert!(plan(&visitor, &drawn).await.contains("class=\"caution\""));
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_field_and_the_rest_stays() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let fields = [
        ("dau", "<many>"),
        ("retention", "7y"),
        ("redis_memory", "64GB"),
        ("sweep", "retention"),
    ];
    let answer = visitor.get(&format!("/planner?{}", form(&fields))).await;
    assert_eq!(answer.status, 422);
    let page = answer.page();
    assert!(page.contains("value=\"&lt;many&gt;\""), "{page}");
    assert!(page.contains("id=\"dau-error\">Write a number such as 250000"));
    assert!(page.contains("value=\"7y\"") && page.contains("value=\"64GB\""));
    assert!(page.contains("What changes with <code>retention</code>"));
    assert_eq!(value(&page, "writes"), "1.157/s", "the default stands in");

    let both = [("click_share", "20%"), ("reads_per_second", "5k")];
    let answer = visitor.get(&format!("/planner?{}", form(&both))).await;
    assert_eq!(answer.status, 422);
    let page = answer.page();
    let reason = "id=\"reads_per_second-error\">Does not go together with click_share";
    assert!(page.contains(reason), "{page}");
    assert!(page.contains("value=\"5k\"") && !page.contains("id=\"writes\""));
}

#[tokio::test]
async fn the_chart_is_of_the_library() {
    let server = Server::start().await;
    let visitor = sign_in(&server, &server.admin).await;
    let page = plan(&visitor, &[("dau", "1G"), ("from", "80%"), ("to", "95%")]).await;
    let svgs = page.matches("<svg").count();
    assert!((1..=4).contains(&svgs), "{svgs}");
    assert_eq!(page.matches("<circle").count(), 11 * svgs);
    assert!(page.contains("peak reads of the store"));
    assert!(page.contains("--sweep hit_rate=0.8..0.95"), "{page}");
    assert!(!page.contains(" style=") && !page.contains("<style"));
}

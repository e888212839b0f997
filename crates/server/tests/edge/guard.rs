//! Visitors who try every code and every password.

use std::time::Duration;

use tollgate_links::{LinkSpec, PasswordHasher};

use crate::edge::{Edge, options};

fn protect(spec: &mut LinkSpec) {
    spec.password = Some(PasswordHasher::default().hash("right").unwrap());
}

#[test]
fn who_looks_for_codes_that_do_not_exist_is_stopped_and_links_go_on() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    let mut client = edge.client();
    let mut asked = (0..1_000).map(|n| client.get(&format!("/none{n}")));
    let last = asked
        .find(|reply| reply.status != 404)
        .expect("stopped at some time");
    assert_eq!(last.status, 429);
    assert!(last.body.contains("Too many requests"), "{}", last.body);
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(client.get("/abc").status, 302);
    edge.clock.advance(Duration::from_secs(wait));
    assert_eq!(client.get("/none").status, 404);
    let metrics = edge.metrics.encode();
    assert!(metrics.contains("outcome=\"limited\""), "{metrics}");
}

#[test]
fn passwords_are_tried_ten_times_a_minute_and_visitor() {
    let mut options = options();
    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let edge = Edge::with(options);
    edge.link("locked", protect);
    edge.link("other", protect);
    let mut client = edge.client();
    let mut try_it = |visitor: &str, path: &str, password: &str| {
        let body = format!("password={password}");
        client.send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {visitor}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.receive().status
    };
    for _ in 0..10 {
        assert_eq!(try_it("2001:db8::1", "/locked", "wrong"), 403);
    }
    assert_eq!(try_it("2001:db8::1", "/locked", "right"), 429);
    assert_eq!(
        try_it("2001:db8::2", "/locked", "right"),
        429,
        "of the same home"
    );
    assert_eq!(try_it("2001:db8::1", "/other", "right"), 303);
    assert_eq!(try_it("192.0.2.1", "/locked", "right"), 303);
    edge.clock.advance(Duration::from_secs(6));
    assert_eq!(try_it("2001:db8::1", "/locked", "right"), 303);
}

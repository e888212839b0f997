use std::time::Duration;

use tollgate_limit::store::StoreError;

use crate::server::Server;

/// Milliseconds since the start, quantity; expected: limited, remaining, retry after and reset
/// after in seconds.
type Case = (u64, u64, i64, i64, i64, i64);

/// The table of cases by which redis-cell tests its arithmetic, as its command answers them:
/// seconds are rounded up. One a second, bursts of five.
const CASES: [Case; 15] = [
    // More than the limit never passes.
    (0, 6, 1, 5, -1, 0),
    // Until the burst is used up.
    (0, 1, 0, 4, -1, 1),
    (0, 1, 0, 3, -1, 2),
    (0, 1, 0, 2, -1, 3),
    (0, 1, 0, 1, -1, 4),
    (0, 1, 0, 0, -1, 5),
    (0, 1, 1, 0, 1, 5),
    // Time brings units back.
    (3_000, 1, 0, 2, -1, 3),
    (3_100, 1, 0, 1, -1, 4),
    (4_000, 1, 0, 1, -1, 4),
    (8_000, 1, 0, 4, -1, 1),
    (9_500, 1, 0, 4, -1, 1),
    // Quantity 0 peeks.
    (9_500, 0, 0, 4, -1, 1),
    // A greater quantity uses more, and does not pass if there is less.
    (9_500, 2, 0, 2, -1, 3),
    (9_500, 5, 1, 2, 3, 3),
];

fn run_table(check: impl Fn(&mut crate::client::Client, Case, usize)) {
    for server in [Server::start(), Server::in_memory()] {
        let mut client = server.client();
        let mut now = 0;
        for (number, case) in CASES.into_iter().enumerate() {
            server.clock.advance(Duration::from_millis(case.0 - now));
            now = case.0;
            check(&mut client, case, number);
        }
    }
}

#[test]
fn cl_throttle_reproduces_the_table_of_redis_cell() {
    run_table(
        |client, (_, quantity, limited, remaining, retry, reset), number| {
            let answer = client.call(&format!("CL.THROTTLE foo 4 1 1 {quantity}"));
            let expected = format!("[:{limited} :5 :{remaining} :{retry} :{reset}]");
            assert_eq!(answer, expected, "case {number}");
        },
    );
}

#[test]
fn throttle_says_the_same_in_another_order() {
    run_table(
        |client, (_, quantity, limited, remaining, retry, reset), number| {
            let answer = client.call(&format!("THROTTLE foo 5 1 1 {quantity}"));
            let allowed = 1 - limited;
            // Nothing to wait for is 0 here, but for what never passes.
            let retry = if allowed == 1 { 0 } else { retry };
            let expected = format!("[:{allowed} :5 :{remaining} :{reset} :{retry}]");
            assert_eq!(answer, expected, "case {number}");
        },
    );
}

#[test]
fn the_quantity_is_one_if_it_is_left_out() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(
        client.call("cl.throttle user123 15 30 60"),
        "[:0 :16 :15 :-1 :2]"
    );
    assert_eq!(
        client.call("Throttle user123 16 30 60"),
        "[:1 :16 :14 :4 :0]"
    );
}

#[test]
fn fractions_of_a_second_are_rounded_up() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.call("CL.THROTTLE k 0 3 1"), "[:0 :1 :0 :-1 :1]");
    server.clock.advance(Duration::from_millis(333));
    assert_eq!(client.call("CL.THROTTLE k 0 3 1"), "[:1 :1 :0 :1 :1]");
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(client.call("CL.THROTTLE k 0 3 1"), "[:0 :1 :0 :-1 :1]");
}

/// Where redis-cell keeps a key in whole milliseconds, and forgets it at once.
#[test]
fn a_rate_above_a_thousand_a_second_is_kept() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(
        client.call("CL.THROTTLE k 0 1000000 1"),
        "[:0 :1 :0 :-1 :1]"
    );
    assert_eq!(client.call("CL.THROTTLE k 0 1000000 1"), "[:1 :1 :0 :1 :1]");
}

/// After a long rest no more passes than the burst and what the rate brings.
#[test]
fn a_long_rest_saves_up_no_more_than_the_burst() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.call("THROTTLE k 10 10 60 10"), "[:1 :10 :0 :60 :0]");
    server.clock.advance(Duration::from_secs(3_600));
    let passed = (0..30).filter(|_| client.call("THROTTLE k 10 10 60").starts_with("[:1"));
    assert_eq!(passed.count(), 10);
}

#[test]
fn keys_are_any_bytes_and_have_a_namespace_of_their_own() {
    let server = Server::start();
    let mut client = server.client();
    let binary = [0, 255, b'\r', b'\n', b' '];
    for key in [&binary[..], b"", b"a"] {
        let words: [&[u8]; 5] = [b"CL.THROTTLE", key, b"0", b"1", b"1"];
        assert_eq!(client.call_words(&words), "[:0 :1 :0 :-1 :1]");
        assert_eq!(client.call_words(&words), "[:1 :1 :0 :1 :1]");
    }
    let mut keys = server.store.keys();
    keys.sort();
    assert_eq!(keys, [&b"r:"[..], b"r:\0\xff\r\n ", b"r:a"]);
}

#[test]
fn a_store_that_fails_is_an_error_of_the_command_alone() {
    let server = Server::start();
    let mut client = server.client();
    server
        .store
        .fail(StoreError::Unavailable("10.0.0.7 is away".to_owned()));
    let answer = client.call("CL.THROTTLE k 0 1 1");
    assert_eq!(answer, "-ERR the store of limits cannot be reached");
    server.store.fail(StoreError::Failed("corrupt".to_owned()));
    assert_eq!(
        client.call("THROTTLE k 1 1 1"),
        "-ERR the store of limits failed"
    );
    assert_eq!(client.call("PING"), "+PONG");
    server.expect_metric(
        r#"tollgate_resp_commands_total{command="throttle",outcome="unavailable"} 1.0"#,
    );
}

#[test]
fn commands_are_counted_by_what_they_came_to() {
    let server = Server::start();
    let mut client = server.client();
    for line in [
        "CL.THROTTLE k 1 1 60",
        "CL.THROTTLE k 1 1 60",
        "CL.THROTTLE k 1 1 60",
    ] {
        client.call(line);
    }
    client.call("CL.THROTTLE k 1 1 x");
    client.call("GET k");
    client.call("PING");
    for (labels, count) in [
        (r#"command="cl.throttle",outcome="allowed""#, 2),
        (r#"command="cl.throttle",outcome="limited""#, 1),
        (r#"command="cl.throttle",outcome="refused""#, 1),
        (r#"command="unknown",outcome="refused""#, 1),
        (r#"command="ping",outcome="done""#, 1),
    ] {
        server.expect_metric(&format!(
            "tollgate_resp_commands_total{{{labels}}} {count}.0"
        ));
    }
    server.expect_metric("tollgate_resp_connections_open 1.0");
}

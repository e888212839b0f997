//! `TG.CHECK`: what the policies of `server.rs` say.

use std::time::Duration;

use tollgate_limit::store::StoreError;

use crate::server::Server;

#[test]
fn the_policy_of_a_descriptor_decides() {
    let server = Server::start();
    let mut client = server.client();
    // The clock stands 20 seconds before a full minute.
    for (line, answer) in [
        (
            "TG.CHECK shop 0 user u1",
            "[:1 :2 :2 :-1 :20000 :0 $per_user]",
        ),
        (
            "TG.CHECK shop 1 user u1",
            "[:1 :2 :1 :-1 :20000 :0 $per_user]",
        ),
        (
            "tg.check shop 2 user u1",
            "[:0 :2 :1 :20000 :20000 :0 $per_user]",
        ),
        (
            "TG.CHECK shop 1 user u1",
            "[:1 :2 :0 :-1 :20000 :0 $per_user]",
        ),
        (
            "TG.CHECK shop 0 user u1",
            "[:0 :2 :0 :20000 :20000 :0 $per_user]",
        ),
        (
            "TG.CHECK shop 1 user u2",
            "[:1 :2 :1 :-1 :20000 :0 $per_user]",
        ),
        // More than it ever lets through.
        (
            "TG.CHECK shop 3 user u3",
            "[:0 :2 :2 :-1 :20000 :0 $per_user]",
        ),
        (
            "TG.CHECK shop 9 user admin",
            "[:1 :-1 :-1 :-1 :-1 :0 $admins]",
        ),
        ("TG.CHECK shop 1 user nobody", "[:0 :0 :0 :-1 :-1 :0 $none]"),
    ] {
        assert_eq!(client.call(line), answer, "{line}");
    }
    server.clock.advance(Duration::from_millis(19_999));
    assert_eq!(
        client.call("TG.CHECK shop 1 user u1"),
        "[:0 :2 :0 :1 :1 :0 $per_user]"
    );
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(
        client.call("TG.CHECK shop 1 user u1"),
        "[:1 :2 :1 :-1 :60000 :0 $per_user]"
    );
    for (outcome, count) in [("allowed", 6), ("limited", 5)] {
        server.expect_metric(&format!(
            "tollgate_resp_commands_total{{command=\"tg.check\",outcome=\"{outcome}\"}} {count}.0"
        ));
    }
}

#[test]
fn what_no_policy_is_for_passes() {
    let server = Server::start();
    let mut client = server.client();
    for line in [
        "TG.CHECK nowhere 1 user u1",
        "TG.CHECK shop 1 colour red",
        "TG.CHECK shop 1 user u1 colour red",
    ] {
        assert_eq!(client.call(line), "[:1 :-1 :-1 :-1 :-1 :0 nil]", "{line}");
    }
}

/// The answer does not wait: it would hold up what was sent behind it.
#[test]
fn a_delay_is_told_at_once() {
    let server = Server::start();
    let mut client = server.client();
    let delays: Vec<String> = (0..4)
        .map(|_| client.call("TG.CHECK shop 1 job j1"))
        .collect();
    assert_eq!(
        delays,
        [
            "[:1 :2 :2 :-1 :500 :0 $spread]",
            "[:1 :2 :1 :-1 :1000 :500 $spread]",
            "[:1 :2 :0 :-1 :1500 :1000 $spread]",
            "[:0 :2 :0 :500 :1500 :0 $spread]",
        ]
    );
}

#[test]
fn version_3_names_the_fields() {
    let server = Server::start();
    let mut client = server.client();
    client.call3("HELLO 3");
    let mut fields = client.call3("TG.CHECK shop 1 user u1");
    for field in [
        "$allowed=:1",
        "$limit=:2",
        "$remaining=:1",
        "$retry_after_ms=:-1",
        "$reset_after_ms=:20000",
        "$delay_ms=:0",
        "$policy=$per_user",
    ] {
        assert!(fields.contains(field), "{field} {fields}");
        fields = fields.replacen(field, "", 1);
    }
    assert_eq!(fields.replace(' ', ""), "{}", "and no others");
    let unknown = client.call3("TG.CHECK nowhere 1 user u1");
    assert!(unknown.contains("$policy=nil"), "{unknown}");
}

#[test]
fn what_is_wrong_is_told_as_redis_tells_it() {
    let server = Server::start();
    let mut client = server.client();
    for (line, answer) in [
        (
            "TG.CHECK",
            "-ERR wrong number of arguments for 'tg.check' command",
        ),
        (
            "TG.CHECK shop 1 user",
            "-ERR wrong number of arguments for 'tg.check' command",
        ),
        (
            "TG.CHECK shop 1 user u1 plan",
            "-ERR wrong number of arguments for 'tg.check' command",
        ),
        (
            "TG.CHECK shop one user u1",
            "-ERR value is not an integer or out of range",
        ),
        (
            "TG.CHECK shop -1 user u1",
            "-ERR value is out of range, must be positive",
        ),
        (
            "TG.CHECK  1 user u1",
            "-ERR the request names no domain: give the domain of the policies",
        ),
    ] {
        assert_eq!(client.call(line), answer, "{line}");
    }
    let binary: [&[u8]; 5] = [b"TG.CHECK", b"shop", b"1", b"user", b"\xff"];
    assert_eq!(
        client.call_words(&binary),
        "-ERR value: not UTF-8; give text"
    );
    assert_eq!(
        client.call("TG.CHECK shop 0 user u1"),
        "[:1 :2 :2 :-1 :20000 :0 $per_user]",
        "none of them took anything"
    );
    server
        .expect_metric(r#"tollgate_resp_commands_total{command="tg.check",outcome="refused"} 7.0"#);
    let mut locked = Server::with_password("sesame");
    assert_eq!(
        locked.client().call("TG.CHECK shop 1 user u1"),
        "-NOAUTH Authentication required."
    );
    locked.stop();
}

/// Unlike `CL.THROTTLE`, which has no policy that says what happens then.
#[test]
fn while_the_store_fails_the_policies_decide() {
    let server = Server::start();
    let mut client = server.client();
    server
        .store
        .fail(StoreError::Unavailable("away".to_owned()));
    assert_eq!(
        client.call("TG.CHECK shop 1 user u1"),
        "[:1 :2 :-1 :-1 :-1 :0 $per_user]"
    );
    assert_eq!(
        client.call("TG.CHECK shop 1 safe s1"),
        "[:0 :5 :-1 :-1 :-1 :0 $safe]"
    );
}

#[test]
fn its_counters_are_apart_from_those_of_throttle() {
    let server = Server::start();
    let mut client = server.client();
    client.call("TG.CHECK shop 1 user u1");
    client.call("CL.THROTTLE u1 0 1 60");
    let of_throttle = |key: &Vec<u8>| key.starts_with(b"r:");
    let keys = server.store.keys();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.iter().filter(|key| of_throttle(key)).count(), 1);
}

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::Config;

use crate::client::command;
use crate::server::Server;

/// One for all cases; it never ends, which the process does.
static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "CL.THROTTLE",
        "THROTTLE",
        "PING",
        "ECHO",
        "AUTH",
        "HELLO",
        "INFO",
        "COMMAND",
        "DOCS",
        "COUNT",
        "LIST",
        "CLIENT",
        "SETINFO",
        "SETNAME",
        "ID",
        "GETNAME",
        "SELECT",
        "RESET",
        "0",
        "1",
        "2",
        "3",
        "-1",
        "9223372036854775807",
        "",
        "k",
    ];
    prop_oneof![
        4 => select(known.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

/// A piece of what clients send, or of what none should.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(word(), 1..8).prop_map(|words| {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            command(&words)
        }),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(select(b"*$:\r\n0129-\"' ".to_vec()), 0..20),
        1 => Just(b"*2\r\n$4\r\nEC".to_vec()),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 300, ..Config::default() })]

    /// Whatever is sent, the connection ends when the client ends it, what comes back is made of
    /// answers, and the next client is served.
    #[test]
    fn any_bytes_are_survived(pieces in vec(piece(), 0..12)) {
        let mut client = SERVER.client();
        for piece in &pieces {
            if !client.try_send(piece) {
                break;
            }
        }
        client.finish();
        let rest = client.rest();
        assert!(rest.is_empty() || rest.ends_with(b"\r\n"), "{}", rest.escape_ascii());
        assert_eq!(SERVER.client().call("PING"), "+PONG");
    }
}

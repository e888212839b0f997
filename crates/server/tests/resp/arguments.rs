use crate::server::Server;

const USAGE: &str =
    "-ERR Usage: cl.throttle <key> <max_burst> <count per period> <period> [<quantity>]";

#[test]
fn arguments_that_are_no_limit_are_told() {
    let server = Server::start();
    let mut client = server.client();
    for (line, answer) in [
        ("CL.THROTTLE", USAGE),
        ("CL.THROTTLE k 1 1", USAGE),
        ("CL.THROTTLE k 1 1 1 1 1", USAGE),
        ("CL.THROTTLE k x 1 1", "-ERR Couldn't parse as integer: x"),
        (
            "CL.THROTTLE k 1 1.5 1",
            "-ERR Couldn't parse as integer: 1.5",
        ),
        ("CL.THROTTLE k 1 1 ", "-ERR Couldn't parse as integer: "),
        ("CL.THROTTLE k 1 0 1", "-ERR Zero rates are not supported"),
        ("CL.THROTTLE k 1 1 0", "-ERR Zero rates are not supported"),
        (
            "CL.THROTTLE k -1 1 1",
            "-ERR max_burst: -1 is out of range: give 0 to 9007199254740991",
        ),
        (
            "CL.THROTTLE k 9223372036854775807 1 1",
            "-ERR max_burst: 9223372036854775807 is out of range: give 0 to 9007199254740991",
        ),
        (
            "CL.THROTTLE k 9223372036854775808 1 1",
            "-ERR Couldn't parse as integer: 9223372036854775808",
        ),
        (
            "CL.THROTTLE k 1 1 1 -1",
            "-ERR quantity: -1 is out of range: give 0 to 9223372036854775807",
        ),
        (
            "CL.THROTTLE k 1 1 31622401",
            "-ERR period: 31622401 is out of range: give 1 to 31622400",
        ),
        (
            "CL.THROTTLE k 9007199254740991 1 1",
            "-ERR max_burst: it takes more than 100 years to refill at this rate: give a smaller \
             burst or a higher rate",
        ),
        (
            "THROTTLE k",
            "-ERR wrong number of arguments for 'throttle' command",
        ),
        (
            "THROTTLE k 1 1 1 1 1",
            "-ERR wrong number of arguments for 'throttle' command",
        ),
        ("THROTTLE k x 1 1", "-ERR invalid max_burst"),
        (
            "THROTTLE k 0 1 1",
            "-ERR max_burst: 0 is out of range: give 1 to 9007199254740992",
        ),
    ] {
        assert_eq!(client.call(line), answer, "{line}");
    }
    assert!(server.store.keys().is_empty(), "something was charged");
}

#[test]
fn the_greatest_numbers_are_decided() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(
        client.call("CL.THROTTLE k 9007199254740991 9007199254740992 1 9223372036854775807"),
        "[:1 :9007199254740992 :9007199254740992 :-1 :0]"
    );
    assert_eq!(
        client.call("CL.THROTTLE k 9007199254740991 9007199254740992 1 9007199254740992"),
        "[:0 :9007199254740992 :0 :-1 :1]"
    );
    assert_eq!(
        client.call("CL.THROTTLE slow 99 1 31536000 100"),
        "[:0 :100 :0 :-1 :3153600000]"
    );
}

#[test]
fn keys_have_a_largest_size() {
    let server = Server::start();
    let mut client = server.client();
    let mut ask = |length| {
        let key = vec![b'k'; length];
        client.call_words(&[b"CL.THROTTLE", &key, b"0", b"1", b"1"])
    };
    assert_eq!(ask(4094), "[:0 :1 :0 :-1 :1]");
    assert_eq!(
        ask(4095),
        "-ERR a key has at most 4094 bytes, this one has 4095"
    );
    assert_eq!(
        ask(60_000),
        "-ERR a key has at most 4094 bytes, this one has 60000"
    );
}

#[test]
fn what_is_shown_in_an_error_cannot_forge_an_answer() {
    let server = Server::start();
    let mut client = server.client();
    let forged: &[u8] = b"x\r\n+OK\r\n";
    let words: [&[u8]; 5] = [b"CL.THROTTLE", b"k", forged, b"1", b"1"];
    assert_eq!(
        client.call_words(&words),
        "-ERR Couldn't parse as integer: x  +OK  "
    );
    assert_eq!(
        client.call_words(&[forged, forged]),
        "-ERR unknown command 'x  +OK  ', with args beginning with: 'x  +OK  ' "
    );
    let long = vec![b'9'; 5_000];
    let words: [&[u8]; 5] = [b"CL.THROTTLE", b"k", &long, b"1", b"1"];
    assert!(client.call_words(&words).len() < 200);
    assert_eq!(client.call("PING"), "+PONG");
}

use crate::client::command;
use crate::server::Server;

#[test]
fn many_commands_at_once_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.client();
    let mut bytes = Vec::new();
    for n in 0..1_000 {
        bytes.extend(command(&[b"ECHO", n.to_string().as_bytes()]));
        bytes.extend(command(&[b"CL.THROTTLE", b"k", b"499", b"1", b"3600"]));
    }
    client.send(bytes);
    for n in 0..1_000 {
        assert_eq!(client.receive(), format!("${n}"));
        let limited = u8::from(n >= 500);
        let answer = client.receive();
        assert!(
            answer.starts_with(&format!("[:{limited} :500 ")),
            "{n} {answer}"
        );
    }
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let server = Server::start();
    let mut client = server.client();
    for byte in command(&[b"ECHO", b"a\r\nb"]) {
        client.send([byte]);
    }
    assert_eq!(client.receive(), "$a\\r\\nb");
    for byte in b"ECHO 'a b'\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.receive(), "$a b");
}

#[test]
fn lines_are_commands_too() {
    let server = Server::start();
    let mut client = server.client();
    client.send("\r\n  \r\nCL.THROTTLE \"my key\" 4 1 1\r\nPING\n*0\r\n*-1\r\nECHO \"\\x41\"\r\n");
    assert_eq!(client.receive(), "[:0 :5 :4 :-1 :1]");
    assert_eq!(client.receive(), "+PONG");
    assert_eq!(client.receive(), "$A");
    assert_eq!(server.store.keys(), [b"r:my key"]);
}

#[test]
fn what_is_no_command_is_told_and_ends_the_connection() {
    let server = Server::start();
    let too_long = "x".repeat(70_000);
    let bad = [
        ("*x\r\n", "invalid multibulk length"),
        ("*1025\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$65537\r\n", "invalid bulk length"),
        ("*1\r\n$9999999999999999999999\r\n", "invalid bulk length"),
        (
            "*1\r\n$4\r\nPINGPONG",
            "expected a line end after a bulk string",
        ),
        ("ECHO \"a\r\n", "unbalanced quotes in request"),
        (&too_long, "too big inline request"),
    ];
    for (count, (bytes, text)) in bad.into_iter().enumerate() {
        let mut client = server.client();
        client.send("PING\r\n");
        client.try_send(bytes);
        client.try_send("\r\nPING\r\n");
        let expected = format!("+PONG\r\n-ERR Protocol error: {text}\r\n");
        assert_eq!(
            client.rest().escape_ascii().to_string(),
            expected.escape_default().to_string()
        );
        server.expect_metric(&format!(
            "tollgate_resp_protocol_errors_total {}.0",
            count + 1
        ));
    }
}

/// What a client goes on sending does not cost it the answer.
#[test]
fn a_fault_is_told_before_all_has_arrived() {
    let server = Server::start();
    let mut client = server.client();
    client.send("*3\r\n$11\r\nCL.THROTTLE\r\n$1000000\r\n");
    for _ in 0..100 {
        client.try_send([b'x'; 10_000]);
    }
    client.finish();
    assert_eq!(
        client.rest(),
        b"-ERR Protocol error: invalid bulk length\r\n"
    );
}

#[test]
fn the_greatest_command_is_taken() {
    let server = Server::start();
    let mut client = server.client();
    let message = vec![b'x'; 65_536 - 4];
    let answer = client.call_words(&[b"ECHO", &message]);
    assert_eq!(answer.len(), message.len() + 1);
    let many = vec![&b"x"[..]; 1024];
    assert!(
        client
            .call_words(&many)
            .starts_with("-ERR unknown command 'x'")
    );
}

/// A page in somebody's browser can make it send HTTP to any port of the machine.
#[test]
fn http_is_not_listened_to() {
    let server = Server::start();
    let request = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nCL.THROTTLE k 0 1 1\r\n";
    assert!(server.client().send(request).is_closed());
    let get = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nCL.THROTTLE k 0 1 1\r\n";
    let rest = server.client().send(get).rest();
    assert!(rest.starts_with(b"-ERR unknown command 'GET'"));
    assert!(server.store.keys().is_empty());
}

use crate::server::Server;

const NOAUTH: &str = "-NOAUTH Authentication required.";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

#[test]
fn nothing_is_done_before_the_password() {
    let server = Server::with_password("sesame");
    let mut client = server.client();
    for line in [
        "PING",
        "CL.THROTTLE k 1 1 1",
        "GET x",
        "INFO",
        "COMMAND",
        "ECHO",
    ] {
        assert_eq!(client.call(line), NOAUTH, "{line}");
    }
    assert!(
        client
            .call("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called with")
    );
    for line in [
        "AUTH sesam",
        "AUTH sesame1",
        "AUTH somebody sesame",
        "AUTH default x",
    ] {
        assert_eq!(client.call(line), WRONG, "{line}");
        assert_eq!(client.call("PING"), NOAUTH);
    }
    assert_eq!(client.call("AUTH sesame"), "+OK");
    assert_eq!(client.call("PING"), "+PONG");
    // Once said, it holds.
    assert_eq!(client.call("AUTH x"), WRONG);
    assert_eq!(client.call("PING"), "+PONG");
    assert_eq!(client.call("RESET"), "+RESET");
    assert_eq!(client.call("PING"), NOAUTH);
    assert!(server.store.keys().is_empty());
}

#[test]
fn hello_can_say_it() {
    let server = Server::with_password("sesame");
    let mut client = server.client();
    assert_eq!(client.call("HELLO 3 AUTH default x"), WRONG);
    assert!(
        client
            .call3("HELLO 3 AUTH default sesame")
            .contains("$proto=:3")
    );
    assert_eq!(client.call3("PING"), "+PONG");
}

#[test]
fn strangers_may_send_little() {
    let server = Server::with_password("sesame");
    for (bytes, answer) in [
        (
            "*11\r\n",
            "-ERR Protocol error: unauthenticated multibulk length\r\n",
        ),
        (
            "*1\r\n$16385\r\n",
            "-ERR Protocol error: unauthenticated bulk length\r\n",
        ),
    ] {
        let mut client = server.client();
        assert_eq!(client.send(bytes).rest(), answer.as_bytes());
        let mut client = server.client();
        client.call("AUTH sesame");
        client.send(bytes).finish();
        assert!(client.is_closed(), "{bytes}");
    }
}

use crate::server::Server;

#[test]
fn what_every_client_expects() {
    let server = Server::start();
    let mut client = server.client();
    for (line, answer) in [
        ("PING", "+PONG"),
        ("ping hello", "$hello"),
        (
            "PING a b",
            "-ERR wrong number of arguments for 'ping' command",
        ),
        ("ECHO hello", "$hello"),
        ("ECHO", "-ERR wrong number of arguments for 'echo' command"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("CLIENT GETNAME", "nil"),
        ("CLIENT SETNAME worker-1", "+OK"),
        ("CLIENT GETNAME", "$worker-1"),
        ("CLIENT SETINFO LIB-NAME redis-py", "+OK"),
        ("CLIENT SETINFO lib-ver 5.0.1", "+OK"),
        ("CLIENT SETINFO x y", "-ERR Unrecognized option 'x'"),
        (
            "CLIENT ID x",
            "-ERR wrong number of arguments for 'client|id' command",
        ),
        ("CLIENT KILL x", "-ERR unknown subcommand 'KILL'"),
        (
            "CLIENT",
            "-ERR wrong number of arguments for 'client' command",
        ),
        ("COMMAND COUNT", ":13"),
        ("COMMAND GETKEYS x", "-ERR unknown subcommand 'GETKEYS'"),
        (
            "COMMAND INFO echo get",
            "[[$echo :2 [+fast] :0 :0 :0 [] [] [] []] nil]",
        ),
        (
            "COMMAND INFO TG.CHECK",
            "[[$tg.check :-5 [+write +fast] :0 :0 :0 [] [] [] []]]",
        ),
        (
            "GET a b",
            "-ERR unknown command 'GET', with args beginning with: 'a' 'b' ",
        ),
        ("AUTH", "-ERR wrong number of arguments for 'auth' command"),
        (
            "AUTH x",
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
        ("AUTH default x", "+OK"),
        ("AUTH a b c", "-ERR syntax error"),
    ] {
        assert_eq!(client.call(line), answer, "{line}");
    }
    let words: [&[u8]; 3] = [b"CLIENT", b"SETNAME", b"two words"];
    assert_eq!(
        client.call_words(&words),
        "-ERR Client names cannot contain spaces, newlines or special characters."
    );
    let first = client.call("CLIENT ID");
    assert_eq!(client.call("CLIENT ID"), first);
    assert_ne!(server.client().call("CLIENT ID"), first);
}

#[test]
fn commands_describe_themselves() {
    let server = Server::start();
    let mut client = server.client();
    let all = client.call("COMMAND");
    assert!(
        all.starts_with("[[$cl.throttle :-5 [+write +fast] :1 :1 :1 [] [] [] []]"),
        "{all}"
    );
    assert_eq!(client.call("COMMAND INFO"), all);
    let listed = client.call("COMMAND LIST");
    assert_eq!(listed.split(' ').count(), 13);
    let documented = client.call("COMMAND DOCS");
    let one = client.call("COMMAND DOCS ping get");
    assert_eq!(
        one,
        format!(
            "[$ping [$summary $Answers PONG, or the message. $since ${} $group $connection]]",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert!(documented.contains(&one[1..one.len() - 1]));
}

#[test]
fn info_has_sections() {
    let server = Server::start();
    let mut client = server.client();
    client.call("CL.THROTTLE k 0 1 60");
    client.call("CL.THROTTLE k 0 1 60");
    server.clock.advance(std::time::Duration::from_secs(77));
    let all = client.call("INFO");
    for line in [
        "# Server\\r\\n",
        "uptime_in_seconds:77\\r\\n",
        "\\r\\n\\r\\n# Clients\\r\\nconnected_clients:1\\r\\nmaxclients:1000\\r\\n",
        "# Stats\\r\\ntotal_connections_received:1\\r\\ntotal_commands_processed:2\\r\\n",
        "limits_allowed:1\\r\\nlimits_limited:1\\r\\n",
    ] {
        assert!(all.contains(line), "{line} {all}");
    }
    let one = client.call("INFO clients");
    assert!(
        one.starts_with("$# Clients\\r\\n") && !one.contains("Stats"),
        "{one}"
    );
    assert_eq!(client.call("INFO keyspace"), "$");
}

#[test]
fn version_3_is_chosen_by_hello() {
    let server = Server::start();
    let mut client = server.client();
    let two = client.call("HELLO");
    assert!(two.starts_with("[$server $tollgate $version $"), "{two}");
    assert!(two.contains("$proto :2 $id :"), "{two}");
    let three = client.call3("HELLO 3 SETNAME me");
    assert!(three.contains("$proto=:3"), "{three}");
    assert!(three.contains("$mode=$standalone $modules=[]"), "{three}");
    assert_eq!(client.call3("CLIENT GETNAME"), "$me");
    assert_eq!(client.call3("CL.THROTTLE k 4 1 1"), "[:0 :5 :4 :-1 :1]");
    assert!(client.call3("INFO").starts_with("=# Server"));
    assert!(
        client
            .call3("COMMAND DOCS ping")
            .starts_with("{$ping={$group=")
    );
    let described = client.call3("COMMAND INFO cl.throttle x");
    assert_eq!(
        described,
        "[[$cl.throttle :-5 ~[+fast +write] :1 :1 :1 ~[] [] [] []] nil]"
    );
    assert_eq!(client.call3("RESET"), "+RESET");
    // As new: version 2, without a name.
    client.send("CLIENT GETNAME\r\nQUIT\r\n");
    assert_eq!(client.rest(), b"$-1\r\n+OK\r\n");
}

#[test]
fn hello_does_all_or_nothing() {
    let server = Server::start();
    let mut client = server.client();
    for (line, answer) in [
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 1", "-NOPROTO unsupported protocol version"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range",
        ),
        ("HELLO 3 AUTH x", "-ERR Syntax error in HELLO option 'AUTH'"),
        (
            "HELLO 3 SETNAME",
            "-ERR Syntax error in HELLO option 'SETNAME'",
        ),
        (
            "HELLO 3 SETNAME a WHAT b",
            "-ERR Syntax error in HELLO option 'WHAT'",
        ),
        (
            "HELLO 3 SETNAME a AUTH somebody x",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        ),
        ("CLIENT GETNAME", "nil"),
    ] {
        assert_eq!(client.call(line), answer, "{line}");
    }
}

#[test]
fn quit_is_answered_and_what_follows_is_not() {
    let server = Server::start();
    let mut client = server.client();
    client.send("PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(client.rest(), b"+PONG\r\n+OK\r\n");
}

//! Many connections of one thread, which are served together as long as their answers need not wait.

use crate::client::Client;
use crate::server::{Server, eventually, options};

fn server() -> Server {
    let mut options = options();
    options.threads = 1;
    Server::with(options)
}

#[test]
fn more_connections_than_are_looked_at_at_once_are_all_answered() {
    let server = server();
    let mut clients: Vec<Client> = (0..300).map(|_| server.client()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("ECHO {round}.{number}\r\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.receive(), format!("${round}.{number}"));
        }
    }
}

#[test]
fn what_was_asked_before_a_client_ended_its_side_is_answered() {
    let server = server();
    for commands in [1, 3, 20_000] {
        let mut client = server.client();
        client.send("PING\r\n".repeat(commands)).finish();
        assert_eq!(client.rest(), b"+PONG\r\n".repeat(commands));
    }
}

/// What has to wait leaves the others, and joins them again; what others ask meanwhile is answered.
#[test]
fn answers_that_wait_and_those_that_do_not_take_turns_on_a_connection() {
    let server = server();
    let (mut client, mut other) = (server.client(), server.client());
    for round in 0..5 {
        server.store.hold();
        client.send(format!("PING\r\nCL.THROTTLE k{round} 4 1 60\r\nPING\r\n"));
        assert_eq!(client.receive(), "+PONG");
        eventually("the store is asked", || server.store.waiting() == 1);
        for _ in 0..20 {
            assert_eq!(other.call("PING"), "+PONG");
        }
        server.store.release();
        assert_eq!(client.receive(), "[:0 :5 :4 :-1 :60]");
        assert_eq!(client.receive(), "+PONG");
        for _ in 0..20 {
            assert_eq!(client.call("PING"), "+PONG");
            assert_eq!(other.call("PING"), "+PONG");
        }
    }
}

#[test]
fn late_answers_to_commands_that_came_together_are_sent_together() {
    let server = server();
    let mut client = server.client();
    server.store.hold();
    client.send("CL.THROTTLE k 4 1 60\r\n".repeat(4));
    eventually("the store is asked", || server.store.waiting() == 1);
    server.store.release();
    assert_eq!(client.receive(), "[:0 :5 :4 :-1 :60]");
    let others = "*5\r\n:0\r\n:5\r\n:3\r\n:-1\r\n:120\r\n\
                  *5\r\n:0\r\n:5\r\n:2\r\n:-1\r\n:180\r\n\
                  *5\r\n:0\r\n:5\r\n:1\r\n:-1\r\n:240\r\n";
    assert_eq!(client.read_ahead(), others.as_bytes());
}

/// Answers are sent piece by piece, whether the client reads meanwhile or only afterwards.
#[test]
fn answers_larger_than_what_is_sent_at_once_come_whole() {
    let server = server();
    let mut client = server.client();
    let word = "x".repeat(10_000);
    for commands in [7, 50, 200] {
        client.send(format!("ECHO {word}\r\n").repeat(commands));
        for _ in 0..commands {
            assert_eq!(client.receive(), format!("${word}"));
        }
        assert_eq!(client.call("PING"), "+PONG");
    }
}

#[test]
fn the_version_of_the_protocol_stays_with_its_connection() {
    let server = server();
    let (mut second, mut third) = (server.client(), server.client());
    third.call3("HELLO 3");
    for _ in 0..3 {
        let check = "TG.CHECK shop 0 user a";
        assert!(second.call(check).starts_with('['));
        assert!(third.call3(check).starts_with('{'));
    }
}

use std::time::Duration;

use crate::server::{Server, eventually, options};

fn with_idle_timeout(ms: u64) -> Server {
    let mut options = options();
    options.idle_timeout = Duration::from_millis(ms);
    Server::with(options)
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let server = with_idle_timeout(100);
    assert!(server.client().is_closed());
    let mut client = server.client();
    assert_eq!(client.call("PING"), "+PONG");
    assert!(client.is_closed());
    server.expect_metric("tollgate_resp_connections_timed_out_total 2.0");
    server.expect_metric("tollgate_resp_connections_open 0.0");
}

#[test]
fn half_a_command_is_given_up_also_if_it_trickles() {
    let server = with_idle_timeout(200);
    let mut half = server.client();
    half.send("*2\r\n$4\r\nECHO\r\n$1000\r\nabc");
    assert!(half.is_closed());
    let mut trickle = server.client();
    trickle.send("*2\r\n$4\r\nECHO\r\n$60000\r\n");
    // Always something new, never the end.
    while trickle.try_send("x") {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(trickle.is_closed());
    server.expect_metric("tollgate_resp_connections_timed_out_total 2.0");
}

#[test]
fn a_client_that_leaves_in_the_midst_is_forgotten() {
    let server = Server::start();
    let mut client = server.client();
    client.send("*2\r\n$4\r\nECHO\r\n$1000\r\nabc");
    drop(client);
    server.expect_metric("tollgate_resp_connections_total 1.0");
    server.expect_metric("tollgate_resp_connections_open 0.0");
}

/// Answers that nobody takes are not kept without bound: first the server stops reading, then it
/// gives up.
#[test]
fn a_client_that_does_not_take_its_answers_is_let_go() {
    let server = with_idle_timeout(500);
    let mut client = server.client();
    let commands = "COMMAND\r\n".repeat(7_000);
    // It ends when the server has closed the connection.
    while client.try_send(&commands) {}
    server.expect_metric("tollgate_resp_connections_timed_out_total 1.0");
}

#[test]
fn a_slow_store_is_not_the_clients_fault() {
    let server = with_idle_timeout(20);
    let mut client = server.client();
    server.store.hold();
    client.send("CL.THROTTLE k 4 1 1\r\n");
    eventually("the store is asked", || server.store.waiting() == 1);
    std::thread::sleep(Duration::from_millis(100));
    server.store.release();
    assert_eq!(client.receive(), "[:0 :5 :4 :-1 :1]");
}

#[test]
fn connections_over_the_bound_are_told_so() {
    let mut options = options();
    options.max_connections = 2;
    let server = Server::with(options);
    let (mut first, mut second) = (server.client(), server.client());
    assert_eq!(first.call("PING"), "+PONG");
    assert_eq!(second.call("PING"), "+PONG");
    assert_eq!(
        server.client().rest(),
        b"-ERR max number of clients reached\r\n"
    );
    server.expect_metric("tollgate_resp_connections_refused_total 1.0");
    drop(first);
    eventually("a place is free again", || {
        let mut client = server.client();
        client.try_send("QUIT\r\n");
        client.rest() == b"+OK\r\n"
    });
    assert_eq!(second.call("PING"), "+PONG");
}

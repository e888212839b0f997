use std::net::TcpStream;
use std::time::Duration;

use crate::server::{Server, eventually, options};

#[test]
fn commands_in_flight_are_answered_and_idle_connections_closed() {
    let mut server = Server::start();
    let mut idle = server.client();
    assert_eq!(idle.call("PING"), "+PONG");
    let mut half = server.client();
    half.send("*2\r\n$4\r\nEC");
    server.store.hold();
    let mut busy = server.client();
    // What is sent behind it has arrived by then, too.
    busy.send("CL.THROTTLE k 4 1 1\r\nPING\r\n");
    eventually("the store is asked", || server.store.waiting() == 1);

    server.shutdown.cancel();
    assert!(idle.is_closed());
    assert!(half.is_closed());
    eventually("nobody listens", || {
        TcpStream::connect(server.address).is_err()
    });
    server.store.release();
    assert_eq!(busy.receive(), "[:0 :5 :4 :-1 :1]");
    assert_eq!(busy.receive(), "+PONG");
    assert!(busy.is_closed());
    server.stop();
    server.expect_metric("tollgate_resp_connections_open 0.0");
}

#[test]
fn draining_ends_even_if_a_command_does_not() {
    let mut options = options();
    options.drain = Duration::from_millis(50);
    let mut server = Server::with(options);
    server.store.hold();
    let mut busy = server.client();
    busy.send("CL.THROTTLE k 4 1 1\r\n");
    eventually("the store is asked", || server.store.waiting() == 1);
    server.stop();
    assert!(busy.is_closed());
}

#[test]
fn a_second_server_does_not_get_the_address() {
    let server = Server::start();
    let mut options = options();
    options.listen = server.address;
    let Err(error) = tollgate_server::resp::bind(options) else {
        panic!("two servers have one address");
    };
    assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .starts_with("the Redis protocol cannot listen on 127.")
    );
}

//! What a service manager is told, over the socket that systemd would listen on.

use std::os::unix::net::UnixDatagram;

use crate::server::{Options, PATIENCE, eventually, new_home};

#[test]
fn a_service_manager_is_told_of_start_life_and_end() {
    let home = new_home();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut server = Options::default()
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "1000000")
        .start_in(&home);

    // Signs of life may come before anything else.
    let news = || {
        let mut told = next();
        while told == "WATCHDOG=1\n" {
            told = next();
        }
        told
    };
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    // Readiness is told last of all.
    assert_eq!(
        news(),
        format!(
            "READY=1\nSTATUS=Redirects on {}, admin side on {}\n",
            address(&server.edge),
            address(&server.admin)
        )
    );
    assert_eq!(next(), "WATCHDOG=1\n");
    assert_eq!(next(), "WATCHDOG=1\n");

    server.terminate();
    assert_eq!(news(), "STOPPING=1\n");
    assert!(server.wait().success(), "{}", server.log());
}

#[test]
fn a_service_manager_that_is_gone_is_no_reason_to_stop() {
    let home = new_home();
    let nobody = home.path().join("nobody");
    let server = Options::default()
        .env("NOTIFY_SOCKET", nobody.to_str().unwrap())
        .start_in(&home);
    eventually("a warning", || {
        server.log().contains("NOTIFY_SOCKET").then_some(())
    });
    server.stop();
}

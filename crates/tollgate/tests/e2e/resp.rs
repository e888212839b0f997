//! The Redis protocol of the built binary.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::server::{Options, PATIENCE, both, new_home};

const CONFIG: &str = "[resp]\nlisten = \"127.0.0.1:0\"\npassword = \"sesame\"";

/// What is answered to these lines, the last of which ends the connection.
pub(crate) fn ask(url: &str, lines: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("redis://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers
}

#[test]
fn limits_are_decided_and_counted() {
    let server = Options::default().config(CONFIG).start();
    let url = server.address("resp");
    assert!(url.starts_with("redis://127.0.0.1:"), "{url}");
    assert_eq!(
        ask(&url, "PING\r\nQUIT\r\n"),
        "-NOAUTH Authentication required.\r\n+OK\r\n"
    );
    let throttle = "CL.THROTTLE user123 0 1 86400\r\n";
    assert_eq!(
        ask(
            &url,
            &format!("AUTH sesame\r\n{throttle}{throttle}QUIT\r\n")
        ),
        "+OK\r\n\
         *5\r\n:0\r\n:1\r\n:0\r\n:-1\r\n:86400\r\n\
         *5\r\n:1\r\n:1\r\n:0\r\n:86400\r\n:86400\r\n\
         +OK\r\n"
    );
    // The threads of the listener share the limits: another connection may be another thread's.
    for _ in 0..8 {
        let answers = ask(&url, &format!("AUTH sesame\r\n{throttle}QUIT\r\n"));
        assert!(answers.starts_with("+OK\r\n*5\r\n:1\r\n"), "{answers}");
    }
    let metrics = server.client().open("/metrics").expect(200);
    let metrics = metrics.text();
    let counted = r#"tollgate_resp_commands_total{command="cl.throttle",outcome="limited"} 9.0"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!server.log().contains("sesame"));
    server.stop();
}

#[test]
fn it_does_not_listen_unless_told_to() {
    let server = Options::default().start();
    assert!(!server.log().contains("redis://"));
    server.stop();
}

#[test]
fn an_address_that_is_taken_is_told() {
    let server = Options::default().config(CONFIG).start();
    let address = server.address("resp").replace("redis://", "");
    let output = Options::default()
        .env("TOLLGATE_RESP__LISTEN", &address)
        .fails_to_start(&new_home());
    let text = both(&output);
    let refused = format!("the Redis protocol cannot listen on {address}");
    assert!(text.contains(&refused), "{text}");
    assert!(text.contains("--resp-listen"), "{text}");
    server.stop();
}

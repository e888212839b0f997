//! Commands as they are typed, against a server that is not well and stores that are not there.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn tollgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    for name in ["TOLLGATE_KEY", "TOLLGATE_SERVER", "TOLLGATE_CONFIG"] {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Answers one request with this status and body.
fn answer_once(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = reader.into_inner();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
    });
    format!("http://{address}")
}

#[test]
fn an_import_stops_at_a_full_store_and_keeps_its_progress() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("links.ndjson");
    std::fs::write(&file, "{\"url\":\"https://a.example/\"}\n".repeat(3)).unwrap();
    let full =
        r#"{"line":1,"status":507,"problem":{"title":"The store has no space left","status":507}}"#;
    let server = answer_once("200 OK", format!("{full}\n").repeat(3));
    let output = tollgate(&["link", "import", "--server", &server])
        .arg(&file)
        .output()
        .unwrap();
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("no space left"), "{error}");
    assert!(error.contains("start it again"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn keys_of_a_store_that_is_not_there_are_no_empty_list() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("mistyped");
    let name = absent.to_str().unwrap();
    for arguments in [
        &["key", "list", "--data-dir", name][..],
        &["key", "revoke", "key_01m886n2gybvxvhg", "--data-dir", name],
    ] {
        let output = tollgate(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", error_of(&output));
        assert!(error_of(&output).contains("mistyped"));
        assert!(!Path::new(&absent).exists());
    }
}

#[test]
fn variables_that_are_set_to_nothing_are_not_given() {
    let directory = tempfile::tempdir().unwrap();
    let output = tollgate(&["key", "create", "x", "--data-dir"])
        .arg(directory.path())
        .env("TOLLGATE_KEY", "")
        .env("TOLLGATE_SERVER", "")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", error_of(&output));

    let server = answer_once("401 Unauthorized", r#"{"title":"No key"}"#.to_owned());
    let output = tollgate(&["link", "list", "--server", &server])
        .env("TOLLGATE_KEY", "")
        .output()
        .unwrap();
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("--key or TOLLGATE_KEY"), "{error}");
}

#[test]
fn a_configuration_is_checked_under_the_flag_of_serve() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tollgate.toml");
    std::fs::write(&file, "[links]\nstroe = \"x\"\n").unwrap();
    let name = file.to_str().unwrap();
    for arguments in [
        &["config", "check", "--config", name][..],
        &["config", "check", name],
    ] {
        let output = tollgate(arguments).output().unwrap();
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("tollgate.toml:2:1: links.stroe"), "{error}");
    }
}

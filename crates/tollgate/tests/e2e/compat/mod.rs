//! The APIs of other shorteners, asked by clients that others wrote for those.
//!
//! They come from PyPI and npm: `scripts/test` installs them, and says where they are in
//! `PYTHON_CLIENTS` and `SHLINK_CLIENT`.

mod bitly;
mod shlink;
mod yourls;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::client::Client;
use crate::server::{Options, Server, eventually};

/// The directory of this file.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/compat");

/// A program that calls a client for us, line by line.
struct Caller {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Caller {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// One of the clients in Python.
    fn python(protocol: &str, url: &str, secret: &str) -> Self {
        let modules = std::env::var("PYTHON_CLIENTS")
            .expect("PYTHON_CLIENTS says where the clients are: see scripts/test");
        let mut command = Command::new("python3");
        command
            .env("PYTHONPATH", modules)
            .arg(format!("{HERE}/client.py"))
            .args([protocol, url, secret]);
        Self::start(&mut command)
    }

    /// What a call answers, or raises.
    #[track_caller]
    fn call(&mut self, call: &Value) -> Value {
        writeln!(self.input, "{call}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer = serde_json::from_str(&line);
        answer.unwrap_or_else(|error| panic!("{call}: {error}: {line:?}"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(api: &str) -> Server {
    Options::default()
        .config(&format!("[compat]\n{api} = true"))
        .start()
}

/// Follows a link so often, and waits until that is counted.
fn click(client: &Client, code: &str, times: u64) {
    for _ in 0..times {
        client.visit(code).expect(302);
    }
    eventually("the clicks", || {
        let stats = client.api("GET", &format!("/api/v1/links/{code}/stats"));
        (stats.expect(200).json()["total"] == times).then_some(())
    });
}

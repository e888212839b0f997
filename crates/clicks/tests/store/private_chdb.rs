//! A server of a test's own with the engine of ClickHouse, by `chdb` from PyPI.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port::free_port;

/// It takes any; no output may show it.
pub const PASSWORD: &str = "sesame-of-clickhouse";

/// A server, which ends with the value, or with the process.
pub struct PrivateChdb {
    port: u16,
    home: TempDir,
    child: Option<Child>,
}

impl PrivateChdb {
    /// A server that answers.
    pub fn start() -> Self {
        let mut server = Self {
            port: 0,
            home: tempfile::tempdir().expect("a temporary directory"),
            child: None,
        };
        // Somebody else may take the port meanwhile.
        for _ in 0..20 {
            server.port = free_port(229);
            if server.run() {
                return server;
            }
        }
        panic!("chdb does not start");
    }

    /// The URL of a database, which is made when it is first asked for.
    pub fn url(&self, database: &str) -> String {
        format!(
            "clickhouse://me:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again where it was, with what it kept.
    pub fn restart(&mut self) {
        assert!(self.run(), "chdb does not start again");
    }

    /// Does a statement, and answers what it says.
    pub fn ask(&self, database: &str, settings: &str, sql: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a server");
        let length = sql.len();
        write!(
            stream,
            "POST /?database={database}&{settings} HTTP/1.1\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{sql}"
        )
        .expect("it takes a statement");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains(" 200 "), "{sql}: {answer}");
        body.to_owned()
    }

    fn run(&mut self) -> bool {
        let packages =
            std::env::var("CHDB").expect("CHDB says where it is installed: see scripts/test");
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../clicks/tests/store/chdb_server.py"
        );
        let mut child = Command::new("python3")
            .args([program, &self.port.to_string()])
            .arg(self.home.path())
            .env("PYTHONPATH", &packages)
            .stdin(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end && child.try_wait().expect("a child").is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

impl Drop for PrivateChdb {
    fn drop(&mut self) {
        self.kill();
    }
}

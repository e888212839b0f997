//! A server of DynamoDB's protocol of a test's own: dynalite, which is as strict as the service.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port::free_port;

/// The credentials that tests give. It takes any.
pub const KEY_ID: &str = "tollgate-tests";
/// See [`KEY_ID`].
pub const SECRET: &str = "sesame-of-dynamo";

/// It ends when this process does, however that ends: then nobody holds the other end of its input any more.
const UNTIL_THE_END: &str = "process.stdin.on('end', () => process.exit()).resume();
    const program = process.argv.indexOf('--program') + 1;
    require(process.argv[program]);";

/// A server, which ends with the value. What it holds is in a directory of its own.
pub struct PrivateDynalite {
    port: u16,
    directory: Option<TempDir>,
    child: Option<Child>,
}

impl PrivateDynalite {
    /// A server that answers, and forgets everything when it ends.
    pub fn start() -> Self {
        Self::start_in(None)
    }

    /// A server that keeps what it holds, and can be started again.
    pub fn start_lasting() -> Self {
        Self::start_in(Some(tempfile::tempdir().expect("a temporary directory")))
    }

    fn start_in(directory: Option<TempDir>) -> Self {
        let mut server = Self {
            port: 0,
            directory,
            child: None,
        };
        // Somebody else may take the port meanwhile.
        for _ in 0..20 {
            server.port = free_port(211);
            if server.run() {
                return server;
            }
        }
        panic!("dynalite does not start");
    }

    /// Where it is, for the URL of a table.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The URL of a table.
    pub fn url(&self, table: &str) -> String {
        format!("dynamodb://local/{table}?endpoint={}", self.endpoint())
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
        assert!(self.run(), "dynalite does not start again");
    }

    fn run(&mut self) -> bool {
        let modules = std::env::var("DYNALITE")
            .expect("DYNALITE says where npm installed it: see scripts/test");
        let program = Path::new(&modules).join("node_modules/dynalite/cli.js");
        let mut command = Command::new("node");
        command
            .args(["-e", UNTIL_THE_END, "dynalite"])
            .arg("--program")
            .arg(program)
            .args(["--host", "127.0.0.1", "--createTableMs", "0"])
            .args(["--port", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(directory) = &self.directory {
            command.arg("--path").arg(directory.path());
        }
        let mut child = command.spawn().expect("node is installed");
        let patience = Instant::now() + Duration::from_secs(60);
        while Instant::now() < patience {
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            if self.answers() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    /// Its health check.
    fn answers(&self) -> bool {
        use std::io::Write as _;
        let ask = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.take(64).read_to_string(&mut answer)?;
            std::io::Result::Ok(answer.contains("200 OK"))
        };
        ask().unwrap_or(false)
    }
}

impl Drop for PrivateDynalite {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A Tansu of a test's own, in a directory of its own. Where its program is, `TANSU` says: `./scripts/test kafka-broker`
//! builds it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A broker with the topic `clicks`, which ends with the value.
pub struct PrivateTansu {
    port: u16,
    home: TempDir,
    /// Whether it asks for a user and the password.
    asks: bool,
    child: Option<Child>,
}

impl PrivateTansu {
    /// One that lets everybody in.
    pub fn start(partitions: u32) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut tansu = Self {
            port: free.local_addr().unwrap().port(),
            home: tempfile::tempdir().unwrap(),
            asks: false,
            child: None,
        };
        drop(free);
        tansu.run();
        let partitions = partitions.to_string();
        tansu.order(&["topic", "create", "clicks", "--partitions", &partitions]);
        tansu
    }

    /// From now on it asks for this user and the password.
    pub fn ask_for(&mut self, user: &str, password: &str) {
        for mechanism in ["scram256", "scram512"] {
            self.order(&["user", "create", "--mechanism", mechanism, user, password]);
        }
        self.kill();
        self.asks = true;
        self.run();
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn program(&self) -> Command {
        let program = std::env::var_os("TANSU").expect("TANSU says where it is");
        let mut command = Command::new(program);
        command.current_dir(self.home.path());
        command
    }

    fn order(&self, words: &[&str]) {
        let at = format!("tcp://{}", self.address());
        let mut command = self.program();
        let done = command.args(words).args(["--broker", &at]).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
    }

    /// Ends it at once. What it had answered for is in its file.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again where it was.
    pub fn run(&mut self) {
        let at = format!("tcp://{}", self.address());
        let mut command = self.program();
        command
            .args([
                "broker",
                "--silent",
                "--storage-engine",
                "sqlite://tansu.db",
            ])
            .args(["--listener-url", &at, "--advertised-listener-url", &at])
            .args(self.asks.then_some("--authentication"))
            .stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < end, "Tansu does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PrivateTansu {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A Redis of a test's own, in a directory of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port::free_port;

/// Where its ports begin.
const SPREAD: u32 = 131;

/// A server, which ends with the value.
pub struct PrivateRedis {
    port: u16,
    directory: TempDir,
    /// Certificate and key, which are files.
    tls: Option<[String; 2]>,
    role: Role,
    child: Option<Child>,
}

#[derive(Clone)]
enum Role {
    Alone,
    /// Of the master on this port.
    Replica(u16),
    Member {
        /// Where it hears of the other members.
        bus: u16,
        /// After so many milliseconds without a word a member is away.
        timeout: u32,
    },
}

impl PrivateRedis {
    /// A server that answers.
    pub fn start() -> Self {
        Self::start_with(None, Role::Alone)
    }

    /// A replica of `master`.
    pub fn start_replica(master: &Self) -> Self {
        Self::start_with(None, Role::Replica(master.port))
    }

    /// A server that speaks TLS with this certificate and key, which are files.
    pub fn start_tls(certificate: &Path, key: &Path) -> Self {
        let text = |path: &Path| path.display().to_string();
        Self::start_with(Some([text(certificate), text(key)]), Role::Alone)
    }

    /// One that may become a member of a cluster.
    pub fn start_member(timeout: u32) -> Self {
        let bus = free_port(SPREAD);
        Self::start_with(None, Role::Member { bus, timeout })
    }

    /// A cluster of this one server alone, with TLS if certificate and key are given.
    pub fn start_cluster(tls: Option<[&Path; 2]>) -> Self {
        let bus = free_port(SPREAD);
        let role = Role::Member {
            bus,
            timeout: 600_000,
        };
        let tls = tls.map(|files| files.map(|path| path.display().to_string()));
        let redis = Self::start_with(tls, role);
        let all = ["cluster", "addslotsrange", "0", "16383"];
        assert_eq!(redis.cli(&all), "OK");
        let end = Instant::now() + Duration::from_secs(60);
        while !redis.cli(&["cluster", "info"]).contains("cluster_state:ok") {
            assert!(Instant::now() < end, "the cluster is not sound");
            std::thread::sleep(Duration::from_millis(50));
        }
        redis
    }

    fn start_with(tls: Option<[String; 2]>, role: Role) -> Self {
        // Somebody else may take the port meanwhile.
        for _ in 0..20 {
            let mut redis = Self {
                port: free_port(SPREAD),
                directory: tempfile::tempdir().expect("a temporary directory"),
                tls: tls.clone(),
                role: role.clone(),
                child: None,
            };
            if redis.run() {
                return redis;
            }
        }
        panic!("redis-server does not start: is it installed?");
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        match &self.tls {
            Some(_) => format!("rediss://localhost:{}", self.port),
            None => format!("redis://{}", self.address()),
        }
    }

    /// The URL of the cluster it belongs to.
    pub fn cluster_url(&self) -> String {
        self.url().replacen("://", "+cluster://", 1)
    }

    /// What `redis-cli` says to a command.
    pub fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "localhost", "-p", &self.port.to_string()]);
        if let Some([certificate, _]) = &self.tls {
            cli.args(["--tls", "--cacert", certificate]);
        }
        let output = cli.args(command).output();
        let output = output.expect("redis-cli is installed");
        assert!(output.status.success(), "{command:?}: {output:?}");
        let told = String::from_utf8(output.stdout).expect("text");
        told.trim().to_owned()
    }

    /// Whether it was not ended.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Ends it at once, with what it holds.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address, empty. A member of a cluster knows where it belongs.
    pub fn restart(&mut self) {
        self.kill();
        let end = Instant::now() + Duration::from_secs(60);
        while !self.run() {
            assert!(Instant::now() < end, "redis-server does not start again");
        }
    }

    /// Stops it, without closing its connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Whether it started and answers.
    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        match &self.tls {
            None => command.args(["--port", &port]),
            Some([certificate, key]) => command
                .args(["--port", "0", "--tls-port", &port])
                .args(["--tls-cert-file", certificate, "--tls-key-file", key])
                .args([
                    "--tls-ca-cert-file",
                    certificate,
                    "--tls-auth-clients",
                    "no",
                ])
                .args(["--tls-cluster", "yes"]),
        };
        match self.role {
            Role::Alone => &mut command,
            Role::Replica(master) => command.args(["--replicaof", &format!("127.0.0.1 {master}")]),
            Role::Member { bus, timeout } => command
                .args([
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus.to_string(),
                ])
                .args(["--cluster-node-timeout", &timeout.to_string()]),
        };
        let child = command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let child = self.child.insert(child);
        loop {
            if child.try_wait().expect("its state").is_some() {
                self.child = None;
                return false;
            }
            if answers(self.port, self.tls.is_some()).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A Sentinel that alone watches a master named `main`, and ends with the value.
pub struct PrivateSentinel {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl PrivateSentinel {
    /// One that calls a master away after half a second.
    pub fn start(master: &PrivateRedis) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, file) = (free_port(SPREAD), directory.path().join("sentinel.conf"));
        let watched = master.port;
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, config).expect("a file");
        let child = Command::new("redis-server")
            .arg(&file)
            .args(["--sentinel", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self {
            port,
            child,
            _directory: directory,
        }
    }

    /// The URL of its master.
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.port)
    }

    /// Its own URL.
    pub fn own_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for PrivateSentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// With TLS, that it listens has to do.
fn answers(port: u16, tls: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    if tls {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    match &answer == b"+PONG\r\n" {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

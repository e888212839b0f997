//! A PostgreSQL of a test's own, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::free_port::free_port;

/// The user that owns the cluster, with a password that no output may show.
pub const USER: &str = "tollgate";
/// See [`USER`].
pub const PASSWORD: &str = "sesame-of-postgres";

/// A server, which ends with the value.
pub struct PrivatePostgres {
    port: u16,
    directory: TempDir,
    settings: Vec<String>,
    child: Option<Child>,
    /// Ends the server, and removes its files, if this process ends without doing so.
    watcher: Option<Child>,
}

impl PrivatePostgres {
    /// A server that answers, with one empty database, `postgres`.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with settings as `name=value`.
    pub fn start_with(settings: &[&str]) -> Self {
        let directory = own_directory();
        let password = directory.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a file");
        let made = program("initdb")
            .arg("--pgdata")
            .arg(directory.path().join("own/data"))
            .args(["--username", USER, "--auth", "scram-sha-256", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8"])
            .arg("--pwfile")
            .arg(&password)
            .output()
            .expect("PostgreSQL is installed");
        assert!(made.status.success(), "initdb: {}", told(&made));
        let settings = settings.iter().map(|&text| text.to_owned()).collect();
        Self::run_in(directory, settings)
    }

    /// A standby of this server, which streams what is written there.
    pub fn standby(&self) -> Self {
        let directory = own_directory();
        let copied = program("pg_basebackup")
            .arg("--pgdata")
            .arg(directory.path().join("own/data"))
            .arg("--dbname")
            .arg(self.url("postgres"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .output()
            .expect("PostgreSQL is installed");
        assert!(copied.status.success(), "pg_basebackup: {}", told(&copied));
        let mut settings = self.settings.clone();
        // By default it looks for its primary every five seconds.
        settings.push("wal_retrieve_retry_interval=200ms".to_owned());
        Self::run_in(directory, settings)
    }

    /// Makes a standby follow whichever of these servers can be written.
    pub fn follow(&self, servers: &[&Self]) {
        let ports: Vec<String> = servers.iter().map(|one| one.port.to_string()).collect();
        let hosts = vec!["127.0.0.1"; ports.len()].join(",");
        let ports = ports.join(",");
        self.sql(
            "postgres",
            &format!(
                "ALTER SYSTEM SET primary_conninfo = 'host={hosts} port={ports} user={USER} \
                 password={PASSWORD} target_session_attrs=read-write connect_timeout=2'"
            ),
        );
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote()"), "t");
    }

    fn run_in(directory: TempDir, settings: Vec<String>) -> Self {
        let mut server = Self {
            port: 0,
            directory,
            settings,
            child: None,
            watcher: None,
        };
        // Somebody else may take the port meanwhile.
        for _ in 0..20 {
            server.port = free_port(137);
            if server.run() {
                return server;
            }
        }
        panic!("postgres does not start: {}", server.log());
    }

    /// Its URL, with the password, for one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The same for this server and others, of which one can be written.
    pub fn url_with(&self, others: &[&Self], database: &str) -> String {
        let mut url = format!("postgres://{USER}:{PASSWORD}@{}", self.address());
        for other in others {
            url.push(',');
            url.push_str(&other.address());
        }
        url.push('/');
        url.push_str(database);
        url
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a database, and answers its name.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("d{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs a statement, and answers its rows as text.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new(binaries().join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
            ])
            .arg(self.url(database))
            .output()
            .expect("psql is installed");
        assert!(output.status.success(), "{statement}: {}", told(&output));
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Where files for it can be put.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("own/data")
    }

    /// Ends it at once, as a crash does, with the processes that serve its clients: alone, they would
    /// go on for a moment.
    pub fn kill(&mut self) {
        // The watcher first: the number of the process may soon be another's.
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        let Some(mut child) = self.child.take() else {
            return;
        };
        let server = child.id().to_string();
        // Stopped, it starts no more of them.
        signal("-STOP", &[&server]);
        signal(
            "-KILL",
            &children(&server)
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        );
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again at the same address, with what it held.
    pub fn restart(&mut self) {
        self.kill();
        let end = Instant::now() + Duration::from_secs(60);
        while !self.run() {
            assert!(
                Instant::now() < end,
                "it does not start again: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts it again with this certificate and key; it wants TLS from now on.
    pub fn serve_tls(&mut self, certificate: &str, key: &str) {
        self.kill();
        let data = self.data();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            std::fs::write(&path, text).expect("a file");
            let closed = Command::new("chmod").arg("600").arg(&path).status();
            assert!(closed.is_ok_and(|status| status.success()), "chmod");
            if is_root() {
                let given = Command::new("chown").arg("postgres").arg(&path).status();
                assert!(given.is_ok_and(|status| status.success()), "chown");
            }
        }
        let rules = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).expect("a file");
        self.settings.push("ssl=on".to_owned());
        self.restart();
    }

    /// Stops it and the processes that serve its clients, without closing connections.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, name: &str) {
        let server = self.child.as_ref().expect("it runs").id().to_string();
        let children = children(&server);
        let mut all = vec![server.as_str()];
        all.extend(children.iter().map(String::as_str));
        signal(name, &all);
    }

    /// Whether it started and answers.
    fn run(&mut self) -> bool {
        let log = std::fs::File::create(self.log_file()).expect("a file");
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            // Sockets in files have the longest paths.
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=32MB"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PostgreSQL is installed");
        let child = self.child.insert(child);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if child.try_wait().expect("its state").is_some() || Instant::now() > end {
                self.kill();
                return false;
            }
            let ready = Command::new(binaries().join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status();
            if ready.is_ok_and(|status| status.success()) {
                let watcher = watch(child.id(), self.directory.path());
                self.watcher = Some(watcher);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory with one, `own`, that belongs to the user of the server.
fn own_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The server refuses to be root, so it gets a user of its own.
    let own = directory.path().join("own");
    std::fs::create_dir(&own).expect("a directory");
    if is_root() {
        let open = Command::new("chmod")
            .arg("755")
            .arg(directory.path())
            .status();
        assert!(open.is_ok_and(|status| status.success()), "chmod");
        let given = Command::new("chown").arg("postgres").arg(&own).status();
        assert!(given.is_ok_and(|status| status.success()), "chown");
    }
    directory
}

/// Waits for the end of its input, which is the end of this process.
fn watch(server: u32, directory: &Path) -> Child {
    Command::new("sh")
        .args([
            "-c",
            "read -r _; kill -QUIT \"$1\"; while kill -0 \"$1\" 2>/dev/null; do sleep 0.1; done; rm -rf \"$2\"",
            "sh",
            &server.to_string(),
        ])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// The processes that this one started.
fn children(of: &str) -> Vec<String> {
    let output = Command::new("ps")
        .args(["-o", "pid=", "--ppid", of])
        .output()
        .expect("ps is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().map(str::to_owned).collect()
}

fn signal(name: &str, processes: &[&str]) {
    if !processes.is_empty() {
        // One that has ended meanwhile is none to be told of.
        let _ = Command::new("kill").arg(name).args(processes).output();
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program of the server, as a user that it accepts.
fn program(name: &str) -> Command {
    let path = binaries().join(name);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ]);
        command.arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Where the newest server is: Debian keeps it out of the path.
/// Where the programs of PostgreSQL are.
pub fn binaries() -> PathBuf {
    let version = |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| version(path));
    match newest {
        Some(path) => path.join("bin"),
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let found = std::env::split_paths(&path).find(|path| path.join("postgres").exists());
            found.expect("PostgreSQL is installed")
        }
    }
}

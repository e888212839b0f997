//! A running server: its process, its addresses and its key.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest wait for something that usually takes milliseconds. Only a failing test takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The key of servers that are given one.
pub(crate) const ADMIN_KEY: &str = "tg_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// How to start a server.
#[derive(Debug, Default)]
pub(crate) struct Options {
    config: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    before: Vec<String>,
    generated_key: bool,
    admin_port: u16,
}

/// A server that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    home: Arc<TempDir>,
    log: Arc<Log>,
    /// `http://127.0.0.1:PORT` of the edge.
    pub(crate) edge: String,
    /// `http://127.0.0.1:PORT` of the admin side.
    pub(crate) admin: String,
    /// The key it printed, or was given.
    pub(crate) key: String,
}

/// What the process wrote to its two outputs.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    ended: usize,
}

impl Options {
    /// Appends TOML to the configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With links and statistics in this PostgreSQL. Its URL comes by the environment, since it holds a
    /// password.
    pub(crate) fn stores(self, url: &str) -> Self {
        self.env("TOLLGATE_LINKS__STORE", url)
            .env("TOLLGATE_CLICKS__STORE", url)
    }

    /// Has the admin side listen on this port, instead of any free one.
    pub(crate) fn admin_port(mut self, port: u16) -> Self {
        self.admin_port = port;
        self
    }

    /// Adds an argument to the command line.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the server by another program, which is given the path of the binary and its arguments,
    /// and has to become it.
    pub(crate) fn by(mut self, program: &[impl AsRef<str>]) -> Self {
        self.before = program
            .iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        self
    }

    /// Lets the server make its own first key, as it does for people.
    pub(crate) fn with_generated_key(mut self) -> Self {
        self.generated_key = true;
        self
    }

    /// Starts in a new directory.
    pub(crate) fn start(&self) -> Server {
        self.start_in(&new_home())
    }

    /// Starts in a directory that may have been used before.
    pub(crate) fn start_in(&self, home: &Arc<TempDir>) -> Server {
        let mut child = self.spawn(home);
        let log = Arc::new(Log::default());
        Log::follow(&log, child.stdout.take().expect("piped"));
        Log::follow(&log, child.stderr.take().expect("piped"));
        let edge = log.wait_for("the edge's address", |line| address(line, "edge"));
        let admin = log.wait_for("the admin side's address", |line| address(line, "admin"));
        let key = if self.generated_key {
            String::new()
        } else {
            ADMIN_KEY.to_owned()
        };
        let server = Server {
            child,
            home: Arc::clone(home),
            log,
            edge,
            admin,
            key,
        };
        server.wait_until_ready();
        server
    }

    /// Runs a server that is expected to give up by itself.
    #[track_caller]
    pub(crate) fn fails_to_start(&self, home: &Arc<TempDir>) -> Output {
        let mut child = self.spawn(home);
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("a process").is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                let output = child.wait_with_output().expect("a process");
                panic!("it runs: {}", String::from_utf8_lossy(&output.stderr));
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().expect("a process")
    }

    /// Starts a server and kills it after this time, however far it is.
    pub(crate) fn start_and_kill(&self, home: &TempDir, after: Duration) {
        let mut child = self.spawn(home);
        thread::sleep(after);
        child.kill().expect("a process");
        child.wait().expect("a process");
    }

    fn spawn(&self, home: &TempDir) -> Child {
        let config = home.path().join("tollgate.toml");
        std::fs::write(&config, &self.config).expect("a writable directory");
        let mut command = match self.before.split_first() {
            Some((program, arguments)) => {
                let mut command = clean(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_tollgate"));
                command
            }
            None => tollgate(),
        };
        command
            .current_dir(home.path())
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .args(["--edge-listen", "127.0.0.1:0"])
            .arg("--admin-listen")
            .arg(format!("127.0.0.1:{}", self.admin_port))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.generated_key {
            command.env("TOLLGATE_ADMIN_KEY", ADMIN_KEY);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command.spawn().expect("the binary starts")
    }
}

impl Server {
    /// With the defaults.
    pub(crate) fn start() -> Self {
        Options::default().start()
    }

    pub(crate) fn home(&self) -> &Arc<TempDir> {
        &self.home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The same, as the server sees it, which may have mounted something that nobody else does.
    pub(crate) fn path_inside(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        format!("/proc/{}/root{}", self.pid(), path.display()).into()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of another listener, once it has printed it.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> String {
        self.log.wait_for(listener, |line| address(line, listener))
    }

    /// All it has written so far.
    pub(crate) fn log(&self) -> String {
        self.log.state.lock().expect("a lock").lines.join("\n")
    }

    /// Every key it has shown.
    pub(crate) fn printed_keys(&self) -> Vec<String> {
        self.log()
            .split_whitespace()
            .filter(|word| word.starts_with("tg_") && word.len() > 20)
            .map(str::to_owned)
            .collect()
    }

    /// `tollgate` with this server and its key in the environment.
    pub(crate) fn cli(&self) -> Command {
        let mut command = tollgate();
        command
            .current_dir(self.home.path())
            .env("TOLLGATE_SERVER", &self.admin)
            .env("TOLLGATE_KEY", &self.key);
        command
    }

    /// Asks it to end, as `kill` and service managers do.
    pub(crate) fn terminate(&self) {
        signal("-TERM", self.pid());
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a process")
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server's end", || self.ended())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Arc<TempDir> {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
        Arc::clone(&self.home)
    }

    /// Ends it with no chance to do anything about it.
    pub(crate) fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().expect("a process");
        self.child.wait().expect("a process");
        Arc::clone(&self.home)
    }

    /// A line of `/proc/PID/status`, such as `VmHWM`, in bytes.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a running process");
        let value = status.lines().find_map(|l| l.strip_prefix(line));
        let kib = value.and_then(|v| v.trim_start_matches(':').split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            * 1024
    }

    fn wait_until_ready(&self) {
        let http = crate::http::Http::new();
        let url = format!("{}/health/ready", self.admin);
        eventually("readiness", || {
            http.try_send(ureq::http::Request::get(&url), ())
                .ok()
                .filter(|reply| reply.status == 200)
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server wrote:\n{}", self.log());
        }
    }
}

impl Log {
    fn follow(log: &Arc<Self>, output: impl Read + Send + 'static) {
        let log = Arc::clone(log);
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                log.state.lock().expect("a lock").lines.push(line);
                log.changed.notify_all();
            }
            log.state.lock().expect("a lock").ended += 1;
            log.changed.notify_all();
        });
    }

    #[track_caller]
    fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().expect("a lock");
        loop {
            if let Some(found) = state.lines.iter().find_map(|line| find(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let both_ended = state.ended == 2;
            assert!(
                !left.is_zero() && !both_ended,
                "{what} is not printed:\n{}",
                state.lines.join("\n")
            );
            state = self.changed.wait_timeout(state, left).expect("a lock").0;
        }
    }
}

/// The binary, without what the environment of the tests would tell it.
pub(crate) fn tollgate() -> Command {
    clean(env!("CARGO_BIN_EXE_tollgate"))
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn new_home() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a temporary directory"))
}

/// What starts a server ([`Options::by`]) that alone sees what this script mounts; none, and it says so, where nobody may.
pub(crate) fn after_mounting(script: &str) -> Option<Vec<String>> {
    const UNSHARE: [&str; 3] = ["unshare", "--mount", "--map-root-user"];
    let can = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .arg("true")
        .status();
    if !can.is_ok_and(|status| status.success()) {
        println!("SKIP: this machine lets nobody mount a small disk");
        return None;
    }
    let script = format!("{script} && exec \"$@\"");
    let starter = UNSHARE.into_iter().chain(["sh", "-c", &script, "sh"]);
    Some(starter.map(str::to_owned).collect())
}

/// Where a server in this directory keeps its links.
pub(crate) fn links_file(home: &Path) -> PathBuf {
    home.join("data").join("links.db")
}

/// A port that was free a moment ago, for programs that do not say which one they took.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Tries until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what} does not come within {PATIENCE:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command that has to succeed, and answers what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the binary starts");
    assert!(output.status.success(), "{command:?}: {}", both(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Both outputs of a command.
pub(crate) fn both(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn signal(name: &str, pid: u32) {
    let killed = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .expect("kill");
    assert!(killed.success());
}

/// The address in a line that announces this listener.
fn address(line: &str, listener: &str) -> Option<String> {
    if !line.to_lowercase().contains(listener) {
        return None;
    }
    let (before, rest) = line.split_once("://127.0.0.1:")?;
    let scheme = before.split_whitespace().last()?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{scheme}://127.0.0.1:{port}"))
}

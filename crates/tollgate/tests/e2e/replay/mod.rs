//! An access log is replayed through the edge, and every statistic compared with a count of the log by
//! a program of its own (`count.py`).
//!
//! The server's wall clock stands still, at the time of the lines that are being replayed: `libfaketime`
//! reads it from a file. So each click is known to belong into its quarter of an hour.

mod access_log;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde_json::json;

use crate::client::Client;
use crate::server::{Options, PATIENCE, Server, new_home};

/// How many clicks are replayed, if this is not in the environment.
const CLICKS: (&str, u64) = ("REPLAY_CLICKS", 200_000);
const CONNECTIONS: usize = 4;
/// Requests that are sent before their answers are read.
const PIPELINE: usize = 32;
/// Clicks that may wait in the queues: the next ones come when there are fewer. All threads of
/// the edge together have room for more than that, even if one has to hold them all.
const QUEUED: f64 = 5_000.0;

/// Nobody is refused for asking too often: what would be is not a click.
const POLICIES: &str = "\
domain: tollgate
descriptors:
  - key: not_found
    descriptors:
      - key: remote_address
        rate_limit: {unlimited: true}
";

#[test]
#[ignore = "slow"]
fn every_statistic_of_a_replayed_log_is_what_an_independent_count_says() {
    let clicks = std::env::var(CLICKS.0).map_or(CLICKS.1, |text| text.parse().unwrap());
    let home = new_home();
    let path = |name: &str| home.path().join(name);
    let log = path("access.log");
    assert_eq!(access_log::write(&log, clicks), clicks);
    write_places(&path("places.mmdb"));
    std::fs::write(path("policies.yaml"), POLICIES).unwrap();
    let clock = FakeClock::new(path("now"));
    clock.set(access_log::BEGIN.parse().unwrap());
    let server = clock.start(&home);
    let client = server.client();
    let links = access_log::links();
    let body: String = links.iter().map(|link| format!("{link}\n")).collect();
    let request = client
        .request("POST", "/api/v1/links/bulk")
        .header("content-type", "application/x-ndjson");
    let made = client.http.send(request, body).expect(200);
    let made = made
        .text()
        .lines()
        .filter(|line| line.contains("\"status\":201"));
    assert_eq!(made.count(), links.len());
    std::fs::write(path("links.json"), json!(links).to_string()).unwrap();

    let begun = Instant::now();
    replay(&log, &server, &clock);
    let answered = begun.elapsed();
    wait_until_counted(&client, clicks as f64);
    println!(
        "{clicks} clicks answered in {answered:.1?}, counted after {:.1?}",
        begun.elapsed()
    );
    for dropped in [
        r#"tollgate_clicks_dropped_total{reason="queue_full"}"#,
        "tollgate_clicks_adjusted_total",
        "tollgate_clicks_spool_damaged_bytes_total",
    ] {
        assert_eq!(client.metric(dropped), 0.0, "{dropped}");
    }

    let begun = Instant::now();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/replay");
    let counted = Command::new("python3")
        .arg(directory.join("count.py"))
        .arg(home.path())
        .args([&server.admin, &server.key])
        .status()
        .expect("Python");
    println!("compared in {:.1?}", begun.elapsed());
    assert!(counted.success(), "the statistics are not those of the log");
}

/// The wall clock of a server, in a file.
struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Puts the clock to a full second, where it stays.
    fn set(&self, now: Timestamp) {
        let unfinished = self.file.with_extension("new");
        std::fs::write(&unfinished, now.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap();
        std::fs::rename(unfinished, &self.file).unwrap();
    }

    fn start(&self, home: &std::sync::Arc<tempfile::TempDir>) -> Server {
        let path = |name: &str| home.path().join(name).display().to_string();
        let [default, other] = access_log::HOSTS;
        Options::default()
            .config(&format!(
                "[edge]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
                 [links]\nbase_url = \"https://{default}\"\ndomains = [\"https://{other}\"]\n\
                 [limits]\npolicies = {:?}\n[clicks]\ngeo_file = {:?}\nspool_max_bytes = \"8GiB\"\n\
                 [log]\nlevel = \"warn\"",
                path("policies.yaml"),
                path("places.mmdb")
            ))
            .env("TZ", "UTC")
            .env("LD_PRELOAD", &library())
            .env("FAKETIME_TIMESTAMP_FILE", &path("now"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .start_in(home)
    }
}

/// The library that answers what time it is.
fn library() -> String {
    let directories = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = directories.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.exists());
    let found = found.expect("install faketime, as scripts/test does");
    found.display().to_string()
}

/// A file of the places in `networks.tsv`.
fn write_places(path: &Path) {
    let mut database = Database::default();
    database.metadata.binary_format_major_version = 2;
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = "Test-City".into();
    for line in include_str!("networks.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let [network, country, city] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let mut place = json!({"country": {"iso_code": country}});
        if city != "-" {
            place["city"] = json!({"names": {"en": city}});
        }
        // Addresses of the old protocol are at the beginning of those of the new one.
        let network = match network.split_once('/') {
            Some((address, bits)) if network.contains('.') => {
                format!("::{address}/{}", 96 + bits.parse::<u8>().unwrap())
            }
            _ => network.to_owned(),
        };
        let place = database.insert_value(place).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), place);
    }
    database.write_to(File::create(path).unwrap()).unwrap();
}

/// Waits as long as it goes on.
fn wait_until_counted(client: &Client, clicks: f64) {
    let (mut last, mut since) = (0.0, Instant::now());
    while last < clicks {
        let counted = client.metric("tollgate_clicks_counted_total");
        if counted > last {
            (last, since) = (counted, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{last} of {clicks} clicks are counted"
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(last, clicks);
}

/// A request, and the status that the log has for it.
struct Request {
    text: String,
    status: u16,
    is_head: bool,
}

/// Reads a line of the log: when, and what was asked.
fn request(line: &str) -> (Timestamp, Request) {
    let parts: Vec<&str> = line.split('"').collect();
    let [
        front,
        asked,
        status,
        referrer,
        _,
        agent,
        _,
        language,
        _,
        wish,
        _,
    ] = parts[..]
    else {
        panic!("{line}");
    };
    let mut words = front.split(' ');
    let (host, address) = (words.next().unwrap(), words.next().unwrap());
    let time = front.split_once('[').unwrap().1.trim_end_matches("] ");
    let time = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", time).unwrap();
    let mut text = format!("{asked}\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\n");
    let wishes = [("Dnt", "dnt"), ("Sec-Gpc", "gpc")];
    let wish = wishes.into_iter().find(|(_, its)| *its == wish);
    for (name, value) in [
        ("Referer", referrer),
        ("User-Agent", agent),
        ("Accept-Language", language),
        wish.map_or(("", "-"), |(name, _)| (name, "1")),
    ] {
        if value != "-" {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("\r\n");
    let request = Request {
        text,
        status: status.split_whitespace().next().unwrap().parse().unwrap(),
        is_head: asked.starts_with("HEAD "),
    };
    (time, request)
}

/// Sends what is in the log, the clock being put to the time of each line.
fn replay(log: &Path, server: &Server, clock: &FakeClock) {
    let client = server.client();
    let address = server.edge.trim_start_matches("http://");
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| Connection::open(address))
        .collect();
    let lines = BufReader::new(File::open(log).unwrap()).lines();
    let mut lines = lines.map(|line| request(&line.unwrap())).peekable();
    while let Some((now, first)) = lines.next() {
        let mut requests = vec![first];
        while let Some((_, request)) = lines.next_if(|(at, _)| *at == now) {
            requests.push(request);
        }
        clock.set(now);
        let share = requests.len().div_ceil(CONNECTIONS);
        thread::scope(|scope| {
            for (connection, requests) in connections.iter_mut().zip(requests.chunks(share)) {
                scope.spawn(move || {
                    requests
                        .chunks(PIPELINE)
                        .for_each(|some| connection.ask(some))
                });
            }
        });
        let begun = Instant::now();
        while client.metric("tollgate_clicks_queued") > QUEUED {
            assert!(begun.elapsed() < PATIENCE, "nobody empties the queues");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A connection to the edge that stays open.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends all requests at once, and reads their answers.
    fn ask(&mut self, requests: &[Request]) {
        let all: String = requests
            .iter()
            .map(|request| request.text.as_str())
            .collect();
        self.stream.write_all(all.as_bytes()).unwrap();
        let mut at = 0;
        for request in requests {
            let body = loop {
                let rest = &self.received[at..];
                if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = std::str::from_utf8(&rest[..end]).unwrap();
                    assert_eq!(
                        head[9..12].parse(),
                        Ok(request.status),
                        "{}{head}",
                        request.text
                    );
                    at += end + 4;
                    break match request.is_head {
                        true => 0,
                        false => length(head),
                    };
                }
                self.read();
            };
            while self.received.len() < at + body {
                self.read();
            }
            at += body;
        }
        assert_eq!(self.received.len(), at, "an answer that nobody asked for");
        self.received.clear();
    }

    fn read(&mut self) {
        let mut bytes = [0; 64 << 10];
        let read = self.stream.read(&mut bytes).unwrap();
        assert!(read > 0, "the server closed the connection");
        self.received.extend_from_slice(&bytes[..read]);
    }
}

fn length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, value)| value.parse().unwrap())
}

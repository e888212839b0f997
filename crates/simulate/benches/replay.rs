//! Lines a second through policies, on one thread: a log of each format is made in memory, and replayed. Clients and
//! paths are random, by a generator that is the same on every machine; some clients ask far more than others.
//!
//! Options: `--lines`, `--clients`, `--rounds`, `--log` (one of them alone). `benches/replay/run` makes a table of it.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::fmt::Write as _;
use std::io::Cursor;
use std::time::Instant;

use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::PolicySet;
use tollgate_simulate::log::{Fields, Log};
use tollgate_simulate::replay::demand::Share;
use tollgate_simulate::replay::{Options, Times, replay};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POLICIES: &str = "
domain: http
descriptors:
  - key: remote_address
    rate_limit: {unit: minute, requests_per_unit: 20, algorithm: gcra, burst: 5}
  - key: path
    value: /login
    descriptors:
      - key: remote_address
        rate_limit: {unit: hour, requests_per_unit: 10, algorithm: sliding_log}
";
/// A format, and what is done with it.
const LOGS: [&str; 7] = [
    "combined",
    "common",
    "json",
    "caddy",
    "combined+gzip",
    "combined+zstd",
    "combined+suggest",
];
/// Requests a second of the log.
const RATE: u64 = 5_000;

fn main() {
    let option = |name: &str, usual: u64| {
        let mut words = std::env::args().skip_while(|word| word != name);
        words.nth(1).map_or(usual, |value| value.parse().unwrap())
    };
    let lines = option("--lines", 2_000_000);
    let clients = option("--clients", 50_000);
    let only = std::env::args().skip_while(|word| word != "--log").nth(1);
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    for round in 0..option("--rounds", 3) {
        for name in LOGS {
            if !is_wanted(name) {
                continue;
            }
            let (format, how) = name.split_once('+').unwrap_or((name, ""));
            let text = log(format, lines, clients);
            let bytes = text.len();
            let log = match how {
                "gzip" => gzip(&text),
                "zstd" => zstd::encode_all(&text[..], 3).unwrap(),
                _ => text,
            };
            let suggest = Share::new(0.999).filter(|_| how == "suggest");
            measure(round, name, log, bytes, lines, suggest);
        }
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text).unwrap();
    gzip.finish().unwrap()
}

/// How long this process has been on a processor, in seconds: what is measured does not depend on
/// who else is at work. Of Linux alone; elsewhere, the time that passed.
fn on_processor(began: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanos.map_or_else(|| began.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

fn measure(round: u64, name: &str, log: Vec<u8>, bytes: usize, lines: u64, suggest: Option<Share>) {
    let by = [
        "remote_address",
        "api_key",
        "host+path",
        "path+remote_address",
    ];
    let attributes = |by: &str| {
        by.split('+')
            .map(|one| Attribute::parse(one).unwrap())
            .collect()
    };
    let options = Options {
        domain: "http".to_owned(),
        by: by.iter().map(|by| attributes(by)).collect(),
        fields: Fields::default(),
        good: Vec::new(),
        worst: 10,
        bad_lines: 10,
        suggest,
        times: Times::Spread,
    };
    let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
    let began = Instant::now();
    let before = on_processor(began);
    let log = Log::open("log", Cursor::new(log)).unwrap();
    let report = replay(policies, &options, vec![log]).unwrap();
    let used = on_processor(began) - before;
    let passed = began.elapsed().as_secs_f64();
    assert_eq!((report.requests, report.lines.bad), (lines, 0));
    println!(
        "round={round} log={name} lines_per_second={:.0} passed_lines_per_second={:.0} megabytes_per_second={:.0} \
         refused={} keys={} store_bytes={}",
        lines as f64 / used,
        lines as f64 / passed,
        bytes as f64 / used / 1e6,
        report.refused,
        report.rules[0].keys.count,
        report.store.bytes,
    );
}

/// A log of so many lines of this format.
fn log(format: &str, lines: u64, clients: u64) -> Vec<u8> {
    let mut random = 0x5eed_u64;
    let mut next = move |below: u64| {
        // xorshift64*
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        ((u128::from(random.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(below)) >> 64) as u64
    };
    let mut text = String::with_capacity(lines as usize * 200);
    for line in 0..lines {
        let second = line / RATE;
        // The lower of two: the first clients ask most.
        let client = next(clients).min(next(clients)).min(next(clients));
        let ip = format!(
            "10.{}.{}.{}",
            client >> 16,
            (client >> 8) & 255,
            client & 255
        );
        let path = match next(20) {
            0 => "/login".to_owned(),
            _ => format!("/products/{}/reviews", next(5_000)),
        };
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
        let (m, s) = (second / 60 % 60, second % 60);
        let time = format!("10/Oct/2025:{:02}:{m:02}:{s:02} +0200", second / 3600 % 24);
        let unix = 1_760_047_200 + second;
        let micros = line % RATE * 1_000_000 / RATE;
        match format {
            "common" => writeln!(text, r#"{ip} - - [{time}] "GET {path}?page=2 HTTP/1.1" 200 5124"#),
            "combined" => writeln!(
                text,
                r#"{ip} - - [{time}] "GET {path}?page=2 HTTP/1.1" 200 5124 "https://shop.example/products" "{agent}""#
            ),
            "json" => writeln!(
                text,
                r#"{{"time":"{unix}.{:03}","remote_addr":"{ip}","request_method":"GET","request_uri":"{path}?page=2","host":"shop.example","status":"200","body_bytes_sent":"5124","request_time":"0.012","http_referer":"https://shop.example/products","http_user_agent":"{agent}"}}"#,
                micros / 1_000
            ),
            _ => writeln!(
                text,
                r#"{{"level":"info","ts":{unix}.{micros:06},"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"{ip}","remote_port":"41342","client_ip":"{ip}","proto":"HTTP/2.0","method":"GET","host":"shop.example","uri":"{path}?page=2","headers":{{"User-Agent":["{agent}"],"Accept":["text/html,application/xhtml+xml"],"Accept-Encoding":["gzip, br"],"Accept-Language":["en"],"Cookie":["REDACTED"],"Referer":["https://shop.example/products"]}},"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"shop.example"}}}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{{"Server":["Caddy"],"Content-Encoding":["gzip"],"Content-Type":["text/html; charset=utf-8"],"Vary":["Accept-Encoding"]}}}}"#
            ),
        }
        .unwrap();
    }
    text.into_bytes()
}

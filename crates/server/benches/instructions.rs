//! What is done for every request, so many times: `benches/instructions/run` counts the instructions.
//!
//! The first argument names the work, the second says how often: `redirect`, of a link in memory, captured as a click,
//! over a connection of this machine; `decide`, of a known key in memory; `click`, its capture alone.

#![allow(clippy::unwrap_used, reason = "a panic ends the benchmark")]

#[path = "../tests/edge/client.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod client;
#[path = "../tests/edge/edge.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod edge;
#[path = "../tests/edge/kept_store.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod kept_store;

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use tollgate_clicks::ClickKind;
use tollgate_clicks::capture::{Addresses, Capture, Privacy, Seen};
use tollgate_clock::ManualClock;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

use crate::edge::{Edge, NOW, options};

/// As a browser sends it.
const REQUEST: &str = "GET /abc HTTP/1.1\r\nHost: go.example.com\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
     Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\n\
     Referer: https://news.example/today\r\nConnection: keep-alive\r\n\r\n";
const KEYS: u64 = 1_000;

/// Room for all clicks of a run: nobody takes them.
fn capture() -> Arc<Capture> {
    let privacy = Privacy {
        addresses: Addresses::Truncated,
        respect_dnt: true,
        key: [5; 16],
    };
    Arc::new(Capture::new(privacy, 1 << 26))
}

fn redirect(times: u64) {
    let capture = capture();
    let mut options = options();
    options.threads = 1;
    let edge = Edge::capturing(options, Some(Arc::clone(&capture)));
    edge.link("abc", |_| ());
    let mut stream = TcpStream::connect(edge.address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 1024];
    for _ in 0..times {
        stream.write_all(REQUEST.as_bytes()).unwrap();
        let length = stream.read(&mut answer).unwrap();
        let answer = &answer[..length];
        assert!(answer.starts_with(b"HTTP/1.1 302 ") && answer.ends_with(b"\r\n\r\n"));
    }
    drop(stream);
    let captured = capture.stats();
    assert_eq!((captured.captured, captured.dropped), (times, 0));
}

fn decide(times: u64) {
    let clock = Arc::new(ManualClock::at(NOW));
    let store = MemoryStore::new(MemoryOptions::with_seed(1), clock);
    let quota = Quota::per_second(1).unwrap();
    let limiter = Limiter::new(AlgorithmKind::Gcra, quota, Some(1_000_000)).unwrap();
    let keys: Vec<String> = (0..KEYS).map(|key| format!("user:{key:016x}")).collect();
    let ask = |key: &String| {
        let shaped = store.decide_one(black_box(key.as_bytes()), &limiter, 1);
        assert!(black_box(shaped.decision.allowed()));
    };
    // So that each is known, however often it is asked later.
    keys.iter().for_each(ask);
    let times = usize::try_from(times).unwrap();
    keys.iter().cycle().take(times).for_each(ask);
}

fn click(times: u64) {
    let capture = capture();
    let queue = capture.queue();
    for _ in 0..times {
        queue.push(black_box(&Seen {
            at: NOW,
            kind: ClickKind::Visit,
            domain: "go.example.com",
            code: "abc",
            address: [192, 0, 2, 7].into(),
            referrer: Some(b"https://news.example/today"),
            user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"),
            language: Some(b"en-US,en;q=0.5"),
            query: None,
            target: Some("https://example.com/abc"),
            objects: false,
        }));
    }
    let captured = capture.stats();
    assert_eq!((captured.captured, captured.dropped), (times, 0));
}

fn main() {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let [work, times] = &words[..] else {
        println!("not run: benches/instructions/run says what, and how often");
        return;
    };
    let times = times.parse().unwrap();
    match work.as_str() {
        "redirect" => redirect(times),
        "decide" => decide(times),
        "click" => click(times),
        other => panic!("there is no work {other}"),
    }
}

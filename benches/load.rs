//! Asks a server over keep-alive connections and never sleeps, so that one core of it keeps a core of
//! the server busy where redis-benchmark and wrk do not; at a rate that is set, it measures how long
//! answers take from when they were due, not from when the client got round to asking.
//!
//! Only the standard library: the harness compiles it by itself.
//!
//! `load ADDRESS resp|http CONNECTIONS PIPELINE KEYS REQUESTS RATE [FILE]`; the request, in which each
//! `__rand_int__` becomes a random number below KEYS, is read from the standard input. With a FILE,
//! `__value__` becomes its next line, again and again. A RATE of 0 asks
//! again as soon as there is an answer. Prints requests a second, and the median, 99th and 99.9th
//! percentile of the latency in microseconds.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::time::{Duration, Instant};

const MARK: &[u8] = b"__rand_int__";
const VALUE: &str = "__value__";

struct Options {
    address: String,
    http: bool,
    connections: usize,
    pipeline: usize,
    keys: u64,
    requests: u64,
    rate: f64,
    file: Option<String>,
}

fn options() -> Option<Options> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [
        address,
        protocol,
        connections,
        pipeline,
        keys,
        requests,
        rate,
        file @ ..,
    ] = &words[..]
    else {
        return None;
    };
    Some(Options {
        address: address.clone(),
        http: protocol == "http",
        connections: connections.parse().ok()?,
        pipeline: pipeline.parse().ok()?,
        keys: keys.parse().ok()?,
        requests: requests.parse().ok()?,
        rate: rate.parse().ok()?,
        file: file.first().cloned(),
    })
}

/// What is sent.
enum Template {
    /// The same with other numbers, and where those are.
    Numbers { bytes: Vec<u8>, marks: Vec<usize> },
    /// One after the other: made ahead, in one piece, with where each ends.
    Made {
        bytes: Vec<u8>,
        ends: Vec<usize>,
        next: usize,
    },
}

impl Template {
    fn read(file: Option<&str>) -> Self {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).expect("a request");
        let Some(file) = file else {
            let at = 0..bytes.len().saturating_sub(MARK.len() - 1);
            let marks = at.filter(|at| bytes[*at..].starts_with(MARK)).collect();
            return Self::Numbers { bytes, marks };
        };
        let text = String::from_utf8(bytes).expect("a text");
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for value in std::fs::read_to_string(file).expect("values").lines() {
            bytes.extend_from_slice(text.replace(VALUE, value).as_bytes());
            ends.push(bytes.len());
        }
        Self::Made {
            bytes,
            ends,
            next: 0,
        }
    }

    fn write(&mut self, random: &mut u64, keys: u64, to: &mut Vec<u8>) {
        match self {
            // As redis-benchmark does: twelve digits.
            Self::Numbers { bytes, marks } => {
                for at in marks {
                    *random ^= *random << 13;
                    *random ^= *random >> 7;
                    *random ^= *random << 17;
                    let mut number = *random % keys;
                    for digit in bytes[*at..*at + MARK.len()].iter_mut().rev() {
                        *digit = b'0' + (number % 10) as u8;
                        number /= 10;
                    }
                }
                to.extend_from_slice(bytes);
            }
            Self::Made { bytes, ends, next } => {
                let begin = next.checked_sub(1).map_or(0, |before| ends[before]);
                to.extend_from_slice(&bytes[begin..ends[*next]]);
                *next = (*next + 1) % ends.len();
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// When the requests were due whose answers have not come.
    due: VecDeque<Instant>,
}

/// The end of the answer at the beginning, if it is there as a whole.
fn end_of_answer(bytes: &[u8], http: bool) -> Option<usize> {
    if http {
        end_of_http(bytes)
    } else {
        end_of_resp(bytes)
    }
}

fn end_of_resp(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut left) = (0, 1_i64);
    while left > 0 {
        let line = bytes.get(at..)?;
        let end = line.iter().position(|byte| *byte == b'\n')?;
        let number = || {
            std::str::from_utf8(&line[1..end - 1])
                .ok()?
                .parse::<i64>()
                .ok()
        };
        at += end + 1;
        left -= 1;
        match line[0] {
            b'*' => left += number()?.max(0),
            b'$' => at += usize::try_from(number()?).map_or(0, |length| length + 2),
            b'-' => fail(&String::from_utf8_lossy(&line[..end])),
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}

fn end_of_http(bytes: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length:";
    let (mut at, mut length) = (0, 0);
    loop {
        let line = bytes.get(at..)?;
        let line = &line[..line.iter().position(|byte| *byte == b'\n')?];
        if at == 0 && !(line.starts_with(b"HTTP/1.1 2") || line.starts_with(b"HTTP/1.1 3")) {
            fail(&String::from_utf8_lossy(bytes));
        }
        at += line.len() + 1;
        if line == b"\r" {
            break;
        }
        if line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH) {
            let number = std::str::from_utf8(&line[LENGTH.len()..]).ok()?;
            length = number.trim().parse().ok()?;
        }
    }
    (at + length <= bytes.len()).then_some(at + length)
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(1)
}

fn main() {
    let Some(options) = options() else {
        fail("usage: load ADDRESS resp|http CONNECTIONS PIPELINE KEYS REQUESTS RATE [FILE]");
    };
    let mut template = Template::read(options.file.as_deref());
    let mut connections: Vec<Connection> = (0..options.connections)
        .map(|_| {
            let stream = TcpStream::connect(&options.address).expect("a connection");
            stream.set_nodelay(true).expect("an open connection");
            stream.set_nonblocking(true).expect("an open connection");
            Connection {
                stream,
                received: Vec::new(),
                due: VecDeque::new(),
            }
        })
        .collect();
    let mut latencies: Vec<u32> = Vec::with_capacity(options.requests as usize);
    let (mut random, mut asked, mut out) = (0x9e37_79b9_7f4a_7c15, 0, Vec::new());
    let mut chunk = vec![0; 64 * 1024];
    let begun = Instant::now();
    while (latencies.len() as u64) < options.requests {
        for connection in &mut connections {
            if !connection.due.is_empty() {
                receive(connection, &mut chunk, options.http, &mut latencies);
            }
            if !connection.due.is_empty() {
                continue;
            }
            let now = Instant::now();
            out.clear();
            while connection.due.len() < options.pipeline && asked < options.requests {
                let due = if options.rate > 0.0 {
                    begun + Duration::from_secs_f64(asked as f64 / options.rate)
                } else {
                    now
                };
                if due > now {
                    break;
                }
                asked += 1;
                connection.due.push_back(due);
                template.write(&mut random, options.keys, &mut out);
            }
            // Far less than a socket takes.
            if !out.is_empty() && connection.stream.write(&out).ok() != Some(out.len()) {
                fail("the server does not read");
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| f64::from(latencies[(latencies.len() as f64 * share) as usize]) / 1e3;
    println!(
        "rate={:.0} p50={:.1} p99={:.1} p999={:.1}",
        latencies.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(0.999),
    );
}

/// Takes what has arrived, and notes how long whole answers took.
fn receive(connection: &mut Connection, chunk: &mut [u8], http: bool, latencies: &mut Vec<u32>) {
    let read = match connection.stream.read(chunk) {
        Ok(0) => fail("the server closed the connection"),
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return,
        Err(error) => fail(&error.to_string()),
    };
    connection.received.extend_from_slice(&chunk[..read]);
    let (now, mut done) = (Instant::now(), 0);
    while let Some(end) = end_of_answer(&connection.received[done..], http) {
        done += end;
        let Some(due) = connection.due.pop_front() else {
            fail("there are more answers than requests");
        };
        latencies.push(u32::try_from((now - due).as_nanos()).unwrap_or(u32::MAX));
        if done == connection.received.len() {
            break;
        }
    }
    connection.received.drain(..done);
}

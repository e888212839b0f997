//! Asks a server over keep-alive connections and never sleeps, so that one core of it keeps a core of
//! the server busy where redis-benchmark and wrk do not; at a rate that is set, it measures how long
//! answers take from when they were due, not from when the client got round to asking.
//!
//! Only the standard library: the harness compiles it by itself.
//!
//! `load ADDRESS resp|http CONNECTIONS PIPELINE KEYS REQUESTS RATE`; the request, in which each
//! `__rand_int__` becomes a random number below KEYS, is read from the standard input. A RATE of 0 asks
//! again as soon as there is an answer. Prints requests a second, and the median, 99th and 99.9th
//! percentile of the latency in microseconds.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::time::{Duration, Instant};

const MARK: &[u8] = b"__rand_int__";

struct Options {
    address: String,
    http: bool,
    connections: usize,
    pipeline: usize,
    keys: u64,
    requests: u64,
    rate: f64,
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
    })
}

/// What is sent, and where its random numbers are.
struct Template {
    bytes: Vec<u8>,
    marks: Vec<usize>,
}

impl Template {
    fn read() -> Self {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).expect("a request");
        let at = 0..bytes.len().saturating_sub(MARK.len() - 1);
        let marks = at.filter(|at| bytes[*at..].starts_with(MARK)).collect();
        Self { bytes, marks }
    }

    /// As redis-benchmark does: twelve digits.
    fn write(&mut self, random: &mut u64, keys: u64, to: &mut Vec<u8>) {
        for at in &self.marks {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            let mut number = *random % keys;
            for digit in self.bytes[*at..at + MARK.len()].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        to.extend_from_slice(&self.bytes);
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
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200") {
        fail(&text);
    }
    let length = text.split("content-length: ").nth(1)?;
    let length: usize = length.split("\r\n").next()?.parse().ok()?;
    (head + length <= bytes.len()).then_some(head + length)
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(1)
}

fn main() {
    let Some(options) = options() else {
        fail("usage: load ADDRESS resp|http CONNECTIONS PIPELINE KEYS REQUESTS RATE");
    };
    let mut template = Template::read();
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

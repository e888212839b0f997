//! Bulk requests stream: memory does not grow with them.

use std::io::{BufRead as _, BufReader};
use std::time::Instant;

use serde_json::Value;
use ureq::SendBody;

use crate::corpus;
use crate::server::Server;

/// What the server may hold more after a second request like the first: buffers and caches are
/// filled by then. The request has some 40 MB and its answer 70 MB.
const GROWTH_BYTES: u64 = 16 << 20;

#[test]
#[ignore = "slow"]
fn a_hundred_thousand_links_in_one_request() {
    let server = Server::start();
    send(&server, 1, 100_000);
    let before = server.memory("VmHWM");
    let begun = Instant::now();
    let (sent, received) = send(&server, 2, 100_000);
    let after = server.memory("VmHWM");
    println!(
        "bulk: 100000 links in {:?}, {sent} bytes sent, {received} bytes received, peak memory \
         {} MiB after the first request like it and {} MiB after the second",
        begun.elapsed(),
        before >> 20,
        after >> 20
    );
    assert!(
        after - before < GROWTH_BYTES,
        "grown by {} bytes",
        after - before
    );
}

/// Sends links in one request and answers how many bytes went each way.
fn send(server: &Server, seed: u64, count: usize) -> (u64, usize) {
    let client = server.client();
    let file = server.path(&format!("{seed}.ndjson"));
    let samples = corpus::samples(seed, count).map(|mut sample| {
        sample.code = format!("s{seed}-{}", sample.code);
        sample
    });
    corpus::write_ndjson(&file, samples);
    let size = std::fs::metadata(&file).unwrap().len();
    let request = client
        .request("POST", "/api/v1/links/bulk")
        .header("content-type", "application/x-ndjson");
    let body = std::fs::File::open(&file).unwrap();
    let reply = client.http.send(request, SendBody::from_owned_reader(body));
    let reply = reply.expect(200);
    let made = BufReader::new(&reply.body[..])
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .inspect(|answer| assert_eq!(answer["status"], 201, "{answer}"))
        .count();
    assert_eq!(made, count);
    (size, reply.body.len())
}

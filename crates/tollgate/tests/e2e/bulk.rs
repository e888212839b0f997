//! Bulk requests stream: memory does not grow with them.

use std::io::{BufRead as _, BufReader};
use std::time::Instant;

use serde_json::Value;
use ureq::SendBody;

use crate::corpus;
use crate::server::Server;

/// What the server may hold more for twice the links, once 100,000 have twice filled its
/// caches: neither the 40 MB that the last request is longer nor the 70 MB of its answers fit in.
const GROWTH_BYTES: u64 = 32 << 20;

#[test]
#[ignore = "slow"]
fn memory_does_not_grow_with_a_request_of_many_links() {
    let server = Server::start();
    send(&server, 1, 100_000);
    send(&server, 2, 100_000);
    let before = server.memory("VmHWM");
    let begun = Instant::now();
    let (sent, received) = send(&server, 3, 200_000);
    let took = begun.elapsed();
    let after = server.memory("VmHWM");
    println!(
        "bulk: 200000 links in {took:?}, {sent} bytes sent, {received} bytes received, peak memory \
         {} MiB after 100000 links and {} MiB after these",
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

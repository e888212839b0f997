//! What ten million keys take.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::SystemClock;
use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{MemoryOptions, MemoryStore};

use crate::limiter;

const KEYS: usize = 10_000_000;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1_024
}

#[test]
#[ignore = "slow"]
fn ten_million_keys_fit_a_gibibyte() {
    let before = resident();
    let options = MemoryOptions::with_seed(1);
    let options = MemoryOptions {
        max_keys: KEYS + KEYS / 10,
        ..options
    };
    let store = MemoryStore::new(options, Arc::new(SystemClock::new()));
    // No key is forgotten while the test runs, however long that takes.
    let limit = limiter(
        AlgorithmKind::SlidingCounter,
        100,
        Duration::from_secs(86_400),
    );
    let mut most = 0;
    for number in 0..KEYS {
        let key = format!("user:{number}");
        assert!(
            store
                .decide_one(key.as_bytes(), &limit, 1)
                .decision
                .allowed()
        );
        if number % 100_000 == 0 {
            most = most.max(resident());
        }
    }
    most = most.max(resident());
    let (taken, stats) = (most - before, store.stats());
    println!(
        "{KEYS} keys: {:.1} bytes a key resident at most, {:.1} by count; {stats:?}",
        taken as f64 / KEYS as f64,
        stats.bytes as f64 / KEYS as f64,
    );
    assert_eq!((stats.keys, stats.evictions), (KEYS, 0));
    assert!(most < 1 << 30, "{most} bytes are resident");
}

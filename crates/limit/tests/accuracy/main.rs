//! How often the sliding counter decides otherwise than an exact log, for traffic of many shapes:
//! measured here, published in `ACCURACY.md`.

// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used)]

mod compare;
mod report;
mod traffic;

use tollgate_limit::SlidingLog;

use crate::compare::{Counting, compare};

/// Units a window.
const LIMIT: u64 = 100;
/// A minute, in nanoseconds.
const WINDOW: u64 = 60_000_000_000;

#[test]
fn the_published_figures_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ACCURACY.md");
    let measured = report::report();
    if std::env::var_os("UPDATE_ACCURACY").is_some() {
        std::fs::write(path, &measured).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == measured,
        "ACCURACY.md is out of date: run with UPDATE_ACCURACY=1. Measured:\n{measured}"
    );
}

/// The comparison itself: an exact log beside an exact log is never wrong.
#[test]
fn an_exact_log_is_never_wrong() {
    let all = traffic::all();
    for traffic in &all[2..4] {
        for counting in [Counting::Admitted, Counting::Attempts] {
            let errors = compare(traffic, counting, SlidingLog::new);
            assert_eq!(errors.all.false_allow + errors.all.false_deny, 0);
            assert_eq!(errors.admitted, errors.admitted_by_log);
            assert!(errors.worst_window <= LIMIT);
            assert!(errors.mean_difference() == 0.0);
            assert!(errors.near.requests > 0);
        }
    }
}

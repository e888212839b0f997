//! The figures of a report, against those of a count that shares nothing with it.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;

use tollgate_limit::policy::PolicySet;
use tollgate_simulate::log::Format;
use tollgate_simulate::replay::{Good, ReplayError, Report, Times, replay};

use crate::made::{self, Made, combined, json, log, options, requests, run};

/// Five a minute for each client; at the login, two in any ten seconds, which only looks on.
const POLICIES: &str = "
domain: http
descriptors:
  - key: remote_address
    rate_limit: {unit: minute, requests_per_unit: 5, algorithm: fixed_window}
  - key: path
    value: /login
    descriptors:
      - key: remote_address
        shadow_mode: true
        rate_limit: {window: 10s, requests_per_unit: 2, algorithm: sliding_log}
";

#[derive(Debug, Default, PartialEq)]
struct Naive {
    refused: u64,
    would_refuse: u64,
    at_login: u64,
    clients: HashSet<String>,
    refused_clients: HashMap<String, u64>,
    login_clients: HashSet<String>,
    refused_at_login: HashSet<String>,
}

fn count(requests: &[Made]) -> Naive {
    let mut naive = Naive::default();
    let mut windows: HashMap<(String, i64), u64> = HashMap::new();
    let mut logs: HashMap<String, Vec<i64>> = HashMap::new();
    for Made {
        millis,
        client,
        path,
    } in requests
    {
        naive.clients.insert(client.clone());
        let window = windows
            .entry((client.clone(), millis / 60_000))
            .or_default();
        let passes = *window < 5;
        *window += u64::from(passes);
        if !passes {
            naive.refused += 1;
            *naive.refused_clients.entry(client.clone()).or_default() += 1;
        }
        if *path != "/login" {
            continue;
        }
        naive.at_login += 1;
        naive.login_clients.insert(client.clone());
        let times = logs.entry(client.clone()).or_default();
        let recent = times.iter().filter(|time| millis - **time < 10_000).count();
        if recent >= 2 {
            naive.would_refuse += 1;
            naive.refused_at_login.insert(client.clone());
        } else if passes {
            times.push(*millis);
        }
    }
    naive
}

fn share(untouched: usize, all: usize) -> f64 {
    untouched as f64 / all as f64
}

fn compare(report: &Report, naive: &Naive, requests: usize) {
    assert_eq!(report.requests, requests as u64);
    assert_eq!((report.refused, report.uncounted), (naive.refused, 0));
    let [each, login] = &report.rules[..] else {
        panic!("{:?}", report.rules);
    };
    assert_eq!(
        (each.requests, each.refused, each.would_refuse),
        (requests as u64, naive.refused, 0)
    );
    assert_eq!(each.keys.count, naive.clients.len() as u64);
    let untouched = naive.clients.len() - naive.refused_clients.len();
    assert!((each.keys.never_refused - share(untouched, naive.clients.len())).abs() < 1e-9);
    assert_eq!(login.requests, naive.at_login);
    assert_eq!((login.refused, login.would_refuse), (0, naive.would_refuse));
    assert_eq!(login.keys.count, naive.login_clients.len() as u64);
    let untouched = naive.login_clients.len() - naive.refused_at_login.len();
    assert!((login.keys.never_refused - share(untouched, naive.login_clients.len())).abs() < 1e-9);
    let most = naive.refused_clients.values().max().unwrap();
    let worst = report
        .worst
        .iter()
        .find(|worst| worst.policy == "remote_address")
        .unwrap();
    assert_eq!((worst.refused, worst.error), (*most, 0));
    let client = worst.key.strip_prefix("remote_address=").unwrap();
    assert_eq!(naive.refused_clients[client], *most);
}

#[test]
fn the_figures_are_those_of_a_naive_count() {
    let requests = requests(20_000, 90);
    let report = run(POLICIES, &options(), vec![log(json(&requests))]);
    let naive = count(&requests);
    assert!(naive.refused > 100 && naive.would_refuse > 100, "{naive:?}");
    compare(&report, &naive, requests.len());
    assert_eq!(report.lines.formats.get(&Format::Json), Some(&20_000));
    assert_eq!(report.from.unwrap().as_millis(), requests[0].millis);
    assert_eq!(report.to.unwrap().as_millis(), requests[19_999].millis);
}

#[test]
fn compressed_logs_and_logs_in_parts_come_to_the_same() {
    let requests = requests(6_000, 60);
    let text = json(&requests);
    let whole = run(POLICIES, &options(), vec![log(text.clone())]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    assert_eq!(
        run(POLICIES, &options(), vec![log(gzip.finish().unwrap())]),
        whole
    );
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    assert_eq!(run(POLICIES, &options(), vec![log(zstd)]), whole);
    // Rotated, and given in the wrong order; then as two servers of a fleet wrote them.
    let (early, late) = requests.split_at(2_500);
    let rotated = vec![log(json(late)), log(json(early))];
    assert_eq!(run(POLICIES, &options(), rotated), whole);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for request in &requests {
        // Requests of one time keep their order within one log alone.
        let to = if request.millis % 3 == 0 {
            &mut one
        } else {
            &mut other
        };
        to.push(request.clone());
    }
    let fleet = vec![log(json(&one)), log(json(&other))];
    assert_eq!(run(POLICIES, &options(), fleet), whole);
}

#[test]
fn bad_lines_are_counted_and_told_by_number() {
    let requests = requests(50, 5);
    let text = json(&requests);
    let lines: Vec<&str> = text.lines().collect();
    let bad = ["what?", "{\"ts\":1", "", "{}", "- - -"];
    let text = [&lines[..10], &bad[..], &lines[10..]].concat().join("\n");
    let report = run(POLICIES, &options(), vec![log(text)]);
    assert_eq!(
        (report.lines.read, report.lines.bad, report.requests),
        (54, 4, 50)
    );
    let told: Vec<(u64, &str)> = report
        .lines
        .bad_lines
        .iter()
        .map(|bad| (bad.line, &*bad.text))
        .collect();
    assert_eq!(told, [(11, "what?"), (12, "{\"ts\":1"), (14, "{}")]);
    compare(&report, &count(&requests), 50);
}

#[test]
fn lines_out_of_order_are_decided_at_the_latest_time() {
    let at = |millis, client: &str| Made {
        millis,
        client: client.to_owned(),
        path: "/",
    };
    // A full minute.
    let (base, minute) = (1_700_000_040_000, 60_000);
    // By its own time, the last line would have a window to itself.
    let mut made: Vec<Made> = (0..5).map(|n| at(base + n, "192.0.2.1")).collect();
    made.push(at(base - minute, "192.0.2.1"));
    let report = run(POLICIES, &options(), vec![log(json(&made))]);
    assert_eq!(report.refused, 1);
    assert_eq!((report.lines.late, report.lines.most_late_ms), (1, 60_004));
}

#[test]
fn whole_seconds_are_spread_or_taken_as_written() {
    let yaml = "
domain: http
descriptors:
  - key: remote_address
    rate_limit: {unit: second, requests_per_unit: 10, algorithm: gcra, burst: 1}
";
    // Ten a second for one minute, evenly: just what the limit lets through.
    let made: Vec<Made> = (0..600)
        .map(|n| Made {
            millis: 1_700_000_000_000 + n * 100,
            client: "192.0.2.1".to_owned(),
            path: "/",
        })
        .collect();
    let spread = run(yaml, &options(), vec![log(combined(&made))]);
    assert_eq!((spread.requests, spread.refused), (600, 0));
    let mut options = options();
    options.times = Times::AsWritten;
    let written = run(yaml, &options, vec![log(combined(&made))]);
    assert_eq!((written.requests, written.refused), (600, 540));
    // In windows of a minute, it makes no difference.
    let requests = made::requests(3_000, 30);
    let naive = count(&requests);
    let report = run(POLICIES, &made::options(), vec![log(combined(&requests))]);
    assert_eq!(
        (report.refused, report.rules[0].refused),
        (naive.refused, naive.refused)
    );
}

#[test]
fn good_clients_that_are_refused_are_false_positives() {
    let requests = requests(8_000, 60);
    let mut options = options();
    options.good = vec![
        Good::list("192.0.2.0/31"),
        Good::rule("path=/login").unwrap(),
    ];
    let report = run(POLICIES, &options, vec![log(json(&requests))]);
    let is_good =
        |made: &&Made| ["192.0.2.0", "192.0.2.1"].contains(&&*made.client) || made.path == "/login";
    let good = report.good.unwrap();
    assert_eq!(
        good.requests,
        requests.iter().filter(is_good).count() as u64
    );
    // Counted again: the requests of good clients that do not pass their window.
    let mut windows: HashMap<(&str, i64), u64> = HashMap::new();
    let refused = requests.iter().filter(|made| {
        let window = windows
            .entry((&made.client, made.millis / 60_000))
            .or_default();
        *window += 1;
        *window > 5 && is_good(made)
    });
    assert_eq!(good.refused, refused.count() as u64);
    assert!(good.block_rate() > 0.0);
    assert_eq!(report.rules[0].good, Some(good));
}

#[test]
fn a_domain_that_is_not_there_is_named() {
    let mut options = options();
    options.domain = "edge".to_owned();
    let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
    let error = replay(policies, &options, Vec::new()).unwrap_err();
    assert!(matches!(error, ReplayError::NoDomain { .. }));
    assert_eq!(
        error.to_string(),
        "the policies have no domain \"edge\", but http"
    );
}

#[test]
fn an_empty_log_has_an_empty_report() {
    let report = run(POLICIES, &options(), vec![log("\n\n")]);
    assert_eq!(
        (report.requests, report.lines.read, report.from),
        (0, 0, None)
    );
    assert_eq!(report.rules.len(), 2);
}

//! Limits that are proposed leave the wanted share of keys alone, when they are set.

use crate::made::{json, log, options, requests, run, suggesting};

fn policies(algorithm: &str, limit: u64, unit: &str) -> String {
    format!(
        "domain: http\ndescriptors:\n  - key: remote_address\n    rate_limit: {{unit: {unit}, requests_per_unit: \
         {limit}, algorithm: {algorithm}}}\n"
    )
}

#[test]
fn a_proposed_limit_keeps_its_promise_with_every_algorithm() {
    let requests = requests(5_000, 120);
    let text = json(&requests);
    for algorithm in [
        "fixed_window",
        "sliding_log",
        "sliding_counter",
        "gcra",
        "token_bucket",
        "leaky_bucket",
    ] {
        for share in [0.5, 0.9, 1.0] {
            let first = policies(algorithm, 1, "minute");
            let report = run(&first, &suggesting(share), vec![log(text.clone())]);
            let [rule] = &report.rules[..] else {
                panic!("{:?}", report.rules);
            };
            assert_eq!(rule.suggestions.len(), 4);
            for suggestion in &rule.suggestions {
                let unit = suggestion.unit.as_deref().unwrap();
                let with = policies(algorithm, suggestion.limit, unit);
                let again = run(&with, &options(), vec![log(text.clone())]);
                let untouched = again.rules[0].keys.never_refused;
                let told = format!("{algorithm} {share} {suggestion:?}: {untouched}");
                assert!(untouched >= share, "{told}");
            }
        }
    }
}

#[test]
fn a_proposed_limit_is_not_far_above_the_least() {
    let requests = requests(10_000, 120);
    let text = json(&requests);
    let report = run(
        &policies("sliding_log", 1, "minute"),
        &suggesting(0.9),
        vec![log(text.clone())],
    );
    let minute = report.rules[0]
        .suggestions
        .iter()
        .find(|one| one.unit.as_deref() == Some("minute"));
    let limit = minute.unwrap().limit;
    assert!(limit > 3, "{limit}");
    // A sixteenth more than an exact log needs, and what that makes of a whole number.
    let less = limit * 16 / 17 - 2;
    let again = run(
        &policies("sliding_log", less, "minute"),
        &options(),
        vec![log(text)],
    );
    assert!(again.rules[0].keys.never_refused < 0.9, "{less} of {limit}");
}

//! Comparisons, against what is known of the algorithms.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use tollgate_limit::{AlgorithmKind, Quota};
use tollgate_simulate::compare::{
    CompareError, Comparison, Fleet, Options, Outcome, POINTS, Traffic, compare, draw,
};

const LIMIT: u64 = 60;

fn options(traffic: Traffic, load: f64) -> Options {
    Options {
        traffic,
        algorithms: AlgorithmKind::ALL.to_vec(),
        quota: Quota::per_minute(LIMIT).unwrap(),
        burst: None,
        load,
        windows: 12,
        keys: 5,
        seed: 1,
    }
}

fn of<'c>(comparison: &'c Comparison, algorithm: &str) -> &'c Outcome {
    let mut outcomes = comparison.outcomes.iter();
    outcomes
        .find(|outcome| outcome.algorithm == algorithm)
        .unwrap()
}

fn single() -> [Traffic; 5] {
    [
        Traffic::Steady,
        Traffic::Poisson,
        Traffic::Bursty,
        Traffic::Boundary,
        Traffic::Zipf,
    ]
}

#[test]
fn figures_add_up_and_bounds_hold() {
    for traffic in single() {
        let comparison = compare(&options(traffic, 1.2)).unwrap();
        assert_eq!(comparison.outcomes.len(), AlgorithmKind::ALL.len());
        assert_eq!(comparison.offered.iter().sum::<u64>(), comparison.requests);
        for outcome in &comparison.outcomes {
            let told = format!("{} {outcome:?}", comparison.traffic);
            assert_eq!(
                outcome.admitted + outcome.refused,
                comparison.requests,
                "{told}"
            );
            assert_eq!(outcome.passed.len(), POINTS, "{told}");
            assert_eq!(outcome.redis_commands, comparison.requests, "{told}");
            if outcome.algorithm == "leaky_queue" {
                // What waits at the end passes later.
                assert!(
                    outcome.passed.iter().sum::<u64>() <= outcome.admitted,
                    "{told}"
                );
                assert!(outcome.worst_window <= LIMIT + 1, "{told}");
            } else {
                assert_eq!(
                    outcome.passed.iter().sum::<u64>(),
                    outcome.admitted,
                    "{told}"
                );
                assert_eq!(outcome.delayed, 0, "{told}");
            }
            assert!(outcome.worst_window <= 2 * LIMIT, "{told}");
            assert!(outcome.worst_tenth <= outcome.worst_window, "{told}");
        }
        let log = of(&comparison, "sliding_log");
        assert_eq!((log.false_allow, log.false_deny), (0, 0));
        assert!(log.worst_window <= LIMIT);
        // The three are the same limit in other words.
        let gcra = of(&comparison, "gcra");
        for other in ["token_bucket", "leaky_bucket"] {
            assert_eq!(of(&comparison, other).passed, gcra.passed, "{other}");
        }
    }
}

#[test]
fn steady_traffic_below_the_limit_passes() {
    let comparison = compare(&options(Traffic::Steady, 0.9)).unwrap();
    for outcome in &comparison.outcomes {
        assert_eq!((outcome.refused, outcome.false_deny), (0, 0), "{outcome:?}");
    }
}

#[test]
fn the_boundary_of_fixed_windows_lets_twice_the_limit_through() {
    let comparison = compare(&options(Traffic::Boundary, 1.3)).unwrap();
    let fixed = of(&comparison, "fixed_window");
    assert_eq!(fixed.worst_window, 2 * LIMIT);
    assert!(fixed.false_allow > 0);
    assert_eq!(fixed.false_deny, 0);
    assert!(of(&comparison, "sliding_counter").worst_window < 2 * LIMIT * 3 / 4);
}

#[test]
fn the_sliding_log_is_the_dearest_to_keep() {
    let comparison = compare(&options(Traffic::Steady, 1.0)).unwrap();
    let bytes = |name: &str| of(&comparison, name).bytes_per_key;
    assert!((49..=100).contains(&bytes("gcra")), "{}", bytes("gcra"));
    assert!(
        bytes("sliding_log") > bytes("gcra") + LIMIT * 16,
        "{}",
        bytes("sliding_log")
    );
}

#[test]
fn a_smaller_burst_lets_less_through_at_once() {
    let mut options = options(Traffic::Bursty, 1.5);
    options.burst = Some(5);
    let comparison = compare(&options).unwrap();
    let gcra = of(&comparison, "gcra");
    assert!(gcra.worst_window <= LIMIT + 5, "{gcra:?}");
    assert!(gcra.worst_tenth <= LIMIT / 10 + 5, "{gcra:?}");
}

/// Who is away in the middle third.
fn fleet(servers: u64) -> Traffic {
    Traffic::Fleet(Fleet {
        servers,
        skew: Duration::from_secs(5),
        outage: [4.0, 8.0],
    })
}

#[test]
fn an_outage_does_what_the_policy_says() {
    let mut options = options(fleet(4), 2.0);
    options.algorithms = vec![AlgorithmKind::FixedWindow];
    options.keys = 1;
    let comparison = compare(&options).unwrap();
    let [open, closed, local] = &comparison.outcomes[..] else {
        panic!("{comparison:?}");
    };
    let during = |counts: &[u64]| counts[POINTS / 3..POINTS / 3 * 2].iter().sum::<u64>();
    let before = |counts: &[u64]| counts[..POINTS / 3].iter().sum::<u64>();
    let offered = during(&comparison.offered);
    assert!(offered > 6 * LIMIT, "{offered}");
    assert_eq!(during(&open.passed), offered);
    assert_eq!(during(&closed.passed), 0);
    // Each of four servers lets a quarter through in its own windows, of which clocks that are wrong may begin one more.
    let local_passed = during(&local.passed);
    assert!(
        (3 * LIMIT..=5 * LIMIT).contains(&local_passed),
        "{local_passed}"
    );
    for outcome in &comparison.outcomes {
        assert_eq!(before(&outcome.passed), 4 * LIMIT, "{outcome:?}");
        assert_eq!(outcome.redis_commands, comparison.requests);
    }
    assert_eq!(comparison.outage, Some([4.0, 8.0]));
}

#[test]
fn a_seed_repeats_a_run_and_another_does_not() {
    for traffic in single().into_iter().chain([fleet(3)]) {
        let of = |seed| {
            let mut options = options(traffic.clone(), 1.0);
            options.seed = seed;
            compare(&options).unwrap()
        };
        let one = of(1);
        assert_eq!(of(1), one, "{}", traffic.name());
        if traffic != Traffic::Steady {
            assert_ne!(of(2).offered, one.offered, "{}", traffic.name());
        }
        let svg = draw(&one).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg, draw(&of(1)).unwrap());
        for outcome in &one.outcomes {
            assert!(svg.contains(outcome.algorithm));
        }
    }
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Options)| {
        let mut options = options(Traffic::Poisson, 1.0);
        change(&mut options);
        compare(&options).unwrap_err()
    };
    assert!(matches!(
        refused(|o| o.windows = 0),
        CompareError::Requests(_)
    ));
    assert!(matches!(
        refused(|o| o.load = 1e9),
        CompareError::Requests(_)
    ));
    assert!(matches!(
        refused(|o| o.load = f64::NAN),
        CompareError::Requests(_)
    ));
    assert!(matches!(
        refused(|o| o.burst = Some(0)),
        CompareError::Quota(_)
    ));
    assert!(matches!(
        refused(|o| o.traffic = fleet(0)),
        CompareError::Fleet
    ));
}

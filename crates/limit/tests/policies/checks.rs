//! What a check answers.

use std::time::Duration;

use tollgate_limit::policy::{Allowance, Descriptor};
use tollgate_limit::service::{CheckError, CheckRequest, Code};

use crate::bench::{Bench, codes, now};

const MINUTE: Duration = Duration::from_secs(60);

const POLICIES: &str = "
domain: d
descriptors:
  - {key: few, rate_limit: {unit: minute, requests_per_unit: 5}}
  - {key: many, rate_limit: {unit: minute, requests_per_unit: 100}}
  - {key: dear, rate_limit: {unit: minute, requests_per_unit: 10, cost: 4}}
  - {key: none, rate_limit: {unit: minute, requests_per_unit: 0}}
  - {key: maybe, rate_limit: {unit: minute, requests_per_unit: 0}, shadow_mode: true}
  - {key: queue, rate_limit: {unit: second, requests_per_unit: 10, on_exceed: delay, max_delay: 200ms}}
  - {key: slow, rate_limit: {unit: second, requests_per_unit: 2, on_exceed: delay}, shadow_mode: true}
";

fn of(key: &str) -> Descriptor {
    Descriptor::of([(key, "x")])
}

fn peek(key: &str) -> Descriptor {
    Descriptor {
        hits: Some(0),
        ..of(key)
    }
}

#[test]
fn a_request_names_a_domain_and_something_to_count_by() {
    let bench = Bench::new(POLICIES);
    let mut request = CheckRequest {
        domain: String::new(),
        descriptors: vec![of("few")],
        hits: 1,
    };
    assert_eq!(
        now(bench.service.check(&request)),
        Err(CheckError::NoDomain)
    );
    request.domain = "d".to_owned();
    request.descriptors.clear();
    assert_eq!(
        now(bench.service.check(&request)),
        Err(CheckError::NoDescriptors)
    );
}

#[test]
fn what_no_rule_is_for_passes_and_is_counted() {
    let bench = Bench::new(POLICIES);
    let other = bench.check("other", 1, &[of("few"), of("many")]);
    assert_eq!(
        (other.allowed, codes(&other)),
        (true, vec![Code::Unmatched; 2])
    );
    assert!(bench.check("d", 1, &[of("unheard"), of("few")]).allowed);
    let stats = bench.service.stats();
    assert_eq!((stats.unknown_domain, stats.unmatched), (2, 1));
    assert_eq!(bench.store.asked(), 1);
}

#[test]
fn a_status_tells_all_about_its_limit() {
    let bench = Bench::new(POLICIES);
    bench.store.wait(Duration::from_secs(15));
    let first = bench.check("d", 2, &[of("few")]);
    let status = &first.statuses[0];
    assert_eq!((status.policy(), status.code), (Some("few"), Code::Allowed));
    assert_eq!(status.limit, Some(Allowance::new(5, MINUTE).unwrap()));
    assert_eq!(status.remaining, Some(3));
    assert_eq!(status.reset_after, Some(Duration::from_secs(45)));
    assert_eq!((status.retry_after, first.retry_after()), (None, None));

    let refused = bench.check("d", 4, &[of("few"), of("many")]);
    assert_eq!(codes(&refused), [Code::OverLimit, Code::Allowed]);
    let left: Vec<_> = refused
        .statuses
        .iter()
        .map(|status| status.remaining)
        .collect();
    assert_eq!(left, [Some(3), Some(100)]);
    assert_eq!(
        refused.statuses[0].retry_after,
        Some(Duration::from_secs(45))
    );
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(45)));

    let never = bench.check("d", 6, &[of("few")]);
    assert_eq!((never.allowed, never.retry_after()), (false, None));
    // Hits without end stay a number.
    assert!(!bench.check("d", u64::MAX, &[of("dear")]).allowed);
}

#[test]
fn hits_of_a_descriptor_come_before_those_of_the_request_and_are_weighed() {
    let bench = Bench::new(POLICIES);
    let own = Descriptor {
        hits: Some(3),
        ..of("few")
    };
    let answer = bench.check("d", 2, &[own, of("many"), of("dear")]);
    let left: Vec<_> = answer
        .statuses
        .iter()
        .map(|status| status.remaining)
        .collect();
    assert_eq!(left, [Some(2), Some(98), Some(2)]);
}

#[test]
fn a_peek_charges_nothing_and_tells_whether_anything_is_left() {
    let bench = Bench::new(POLICIES);
    for _ in 0..9 {
        let peeked = bench.check("d", 1, &[peek("few")]);
        assert_eq!(
            (peeked.allowed, peeked.statuses[0].remaining),
            (true, Some(5))
        );
    }
    assert!(bench.check("d", 5, &[of("few")]).allowed);
    let over = bench.check("d", 1, &[peek("few")]);
    assert_eq!((over.allowed, codes(&over)), (false, vec![Code::OverLimit]));
    assert_eq!(over.retry_after(), Some(MINUTE));
}

#[test]
fn a_peek_at_what_is_used_up_keeps_the_rest_from_being_charged() {
    let bench = Bench::new(POLICIES);
    assert!(bench.check("d", 1, &[peek("few"), of("many")]).allowed);
    assert!(bench.check("d", 5, &[of("few")]).allowed);
    let refused = bench.check("d", 1, &[peek("few"), of("many")]);
    assert_eq!(codes(&refused), [Code::OverLimit, Code::Allowed]);
    assert_eq!(refused.statuses[1].remaining, Some(99));
    let much = bench.check("d", 101, &[peek("few"), of("many")]);
    assert_eq!(codes(&much), [Code::OverLimit, Code::OverLimit]);
    assert_eq!(much.retry_after(), None);
}

#[test]
fn a_request_that_takes_the_last_of_what_it_peeks_at_passes() {
    let bench = Bench::new(POLICIES);
    let answer = bench.check("d", 5, &[of("few"), peek("few")]);
    let left: Vec<_> = answer
        .statuses
        .iter()
        .map(|status| status.remaining)
        .collect();
    assert_eq!((answer.allowed, left), (true, vec![Some(0), Some(5)]));
    assert!(!bench.check("d", 1, &[of("many"), peek("few")]).allowed);
}

#[test]
fn what_is_blocked_refuses_and_charges_nothing() {
    let bench = Bench::new(POLICIES);
    let refused = bench.check("d", 1, &[of("none"), of("few")]);
    assert_eq!(codes(&refused), [Code::OverLimit, Code::Allowed]);
    let limit = refused.statuses[0].limit.unwrap();
    assert_eq!(
        (limit.requests(), refused.statuses[0].remaining),
        (0, Some(0))
    );
    assert_eq!(refused.statuses[1].remaining, Some(5));
    assert_eq!(refused.retry_after(), None);
    let shadowed = bench.check("d", 1, &[of("maybe"), of("few")]);
    assert!(shadowed.allowed && shadowed.statuses[0].would_refuse);
    assert_eq!(shadowed.statuses[1].remaining, Some(4));
}

#[test]
fn a_queue_tells_how_long_to_wait() {
    let bench = Bench::new(POLICIES);
    let waits: Vec<_> = (0..4)
        .map(|_| bench.check("d", 1, &[of("queue"), of("slow")]))
        .map(|answer| (answer.allowed, answer.delay.as_millis()))
        .collect();
    // What only looks on makes nobody wait.
    assert_eq!(waits, [(true, 0), (true, 100), (true, 200), (false, 0)]);
}

#[test]
fn a_limit_that_the_request_brings_takes_the_place_of_the_rule() {
    let bench = Bench::new(POLICIES);
    let brings = |requests, seconds| Descriptor {
        limit: Some(Allowance::new(requests, Duration::from_secs(seconds)).unwrap()),
        ..of("few")
    };
    assert_eq!(bench.passing("d", &brings(7, 60)), 7);
    // Counted apart from the rule, and from other windows.
    assert_eq!(bench.passing("d", &of("few")), 5);
    assert_eq!(bench.passing("d", &brings(9, 3_600)), 9);
    assert_eq!(bench.passing("d", &brings(0, 60)), 0);
    let answer = bench.check("d", 1, &[brings(9, 3_600)]);
    assert_eq!(answer.statuses[0].policy(), Some("request"));
    assert_eq!(answer.statuses[0].limit, brings(9, 3_600).limit);
    let nowhere = bench.check("nowhere", 1, &[brings(0, 60)]);
    assert_eq!(
        (nowhere.allowed, codes(&nowhere)),
        (true, vec![Code::Unmatched])
    );
    let stats = bench.service.stats();
    let brought = stats.rules.last().unwrap();
    assert_eq!((brought.allowed, brought.denied), (16, 4));
}

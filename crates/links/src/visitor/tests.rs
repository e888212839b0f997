use super::*;
use crate::{Code, Device, Domain, Os, TargetUrl};

const OWN: &str = "https://own.example/";

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

fn spec(rules: Vec<(Vec<Condition>, &str)>) -> LinkSpec {
    LinkSpec {
        rules: rules
            .into_iter()
            .map(|(conditions, target)| Rule {
                conditions,
                target: target.to_owned(),
            })
            .collect(),
        ..LinkSpec::to(TargetUrl::from_stored(OWN))
    }
}

fn visitor() -> Visitor<'static> {
    Visitor {
        user_agent: Some("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/125 Mobile"),
        accept_language: Some("de-AT,en;q=0.8"),
        query: Some("ref=mail%20a&x"),
        hash: 7,
        now: UnixMillis::from_millis(1_000),
    }
}

/// Where a link with this one rule leads.
fn fits(condition: Condition, visitor: &Visitor<'_>) -> bool {
    spec(vec![(vec![condition], "https://rule.example/")]).destination(&key("a"), visitor) != OWN
}

fn query(name: &str, value: Option<&str>) -> Condition {
    Condition::Query {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn language(is: &str) -> Condition {
    Condition::Language { is: is.to_owned() }
}

fn date(from: Option<i64>, until: Option<i64>) -> Condition {
    Condition::Date {
        from: from.map(UnixMillis::from_millis),
        until: until.map(UnixMillis::from_millis),
    }
}

#[test]
fn a_link_without_rules_costs_nothing() {
    let plain = spec(Vec::new());
    assert!(matches!(
        plain.destination(&key("a"), &visitor()),
        Cow::Borrowed(OWN)
    ));
}

#[test]
fn every_kind_of_condition_holds_and_fails() {
    let v = visitor();
    assert!(fits(Condition::Device { is: Device::Mobile }, &v));
    assert!(!fits(
        Condition::Device {
            is: Device::Desktop
        },
        &v
    ));
    assert!(fits(Condition::Os { is: Os::Android }, &v));
    assert!(!fits(Condition::Os { is: Os::Linux }, &v));
    assert!(fits(language("de"), &v));
    assert!(!fits(language("en"), &v));
    assert!(fits(query("ref", Some("mail a")), &v));
    assert!(fits(query("x", None), &v));
    assert!(!fits(query("ref", Some("mail")), &v));
    assert!(!fits(query("y", None), &v));
    assert!(fits(date(Some(1_000), Some(1_001)), &v));
    assert!(!fits(date(Some(1_001), None), &v));
    assert!(!fits(date(None, Some(1_000)), &v));
    assert!(fits(Condition::Percent { share: 100 }, &v));
}

#[test]
fn the_first_rule_with_all_conditions_met_wins() {
    let mobile = Condition::Device { is: Device::Mobile };
    let rules = spec(vec![
        (vec![mobile.clone(), language("en")], "https://1.example/"),
        (vec![mobile.clone(), language("de")], "https://2.example/"),
        (vec![], "https://3.example/"),
        (vec![mobile], "https://4.example/"),
    ]);
    assert_eq!(
        rules.destination(&key("a"), &visitor()),
        "https://2.example/"
    );
    let stranger = Visitor {
        user_agent: None,
        ..visitor()
    };
    assert_eq!(
        rules.destination(&key("a"), &stranger),
        "https://3.example/"
    );
}

#[test]
fn the_query_is_merged_into_a_rules_target_too() {
    let forwarding = LinkSpec {
        forward_query: true,
        ..spec(vec![(vec![], "https://rule.example/?a=1#f")])
    };
    assert_eq!(
        forwarding.destination(&key("a"), &visitor()),
        "https://rule.example/?a=1&ref=mail%20a&x#f"
    );
}

#[test]
fn shares_are_taken_from_what_earlier_rules_left_and_stick() {
    const VISITORS: u64 = 20_000;
    let thirds = spec(vec![
        (vec![Condition::Percent { share: 33 }], "https://1.example/"),
        (vec![Condition::Percent { share: 50 }], "https://2.example/"),
    ]);
    let mut counts = std::collections::BTreeMap::new();
    for hash in 0..VISITORS {
        let visitor = Visitor {
            // Spread as a keyed hash is.
            hash: hash.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ..visitor()
        };
        let first = thirds.destination(&key("a"), &visitor).into_owned();
        assert_eq!(thirds.destination(&key("a"), &visitor), first);
        *counts.entry(first).or_insert(0_u64) += 1;
    }
    for (target, share) in [
        ("https://1.example/", 0.33),
        ("https://2.example/", 0.335),
        (OWN, 0.335),
    ] {
        let found = counts[target] as f64 / VISITORS as f64;
        // Four standard deviations of a share of a third are 0.0134.
        assert!((found - share).abs() < 0.0134, "{target}: {found}");
    }
}

#[test]
fn splits_of_two_links_are_independent() {
    const VISITORS: u64 = 4_000;
    let half = spec(vec![(
        vec![Condition::Percent { share: 50 }],
        "https://1.example/",
    )]);
    let both = (0..VISITORS)
        .filter(|hash| {
            let visitor = Visitor {
                hash: *hash,
                ..visitor()
            };
            half.destination(&key("a"), &visitor) != OWN
                && half.destination(&key("b"), &visitor) != OWN
        })
        .count();
    let share = both as f64 / VISITORS as f64;
    assert!((share - 0.25).abs() < 0.03, "{share}");
}

//! Text that is no policy file is refused, whatever it is.

use proptest::prelude::*;
use tollgate_limit::policy::{Descriptor, Entry, PolicySet};

/// Words of policy files and signs of YAML, in any order.
fn yamlish() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "domain",
        "descriptors",
        "key",
        "value",
        "rate_limit",
        "unit",
        "second",
        "minute",
        "window",
        "requests_per_unit",
        "overrides",
        "burst",
        "algorithm",
        "gcra",
        "leaky_queue",
        "on_exceed",
        "delay",
        "max_delay",
        "250ms",
        "cost",
        "global_budget",
        "unlimited",
        "true",
        "replaces",
        "name",
        "0",
        "7",
        "-1",
        "1e9",
        "99999999999999999999",
        "~",
        "null",
        ": ",
        ":",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "<<",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "%",
        "!!str ",
        "!t ",
        "? ",
        "\t",
        "\u{feff}",
        "ä",
        "\0",
        "\\x",
        "*",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// A file that is right but for some signs.
fn damaged() -> impl Strategy<Value = String> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), "[\\PC\n]{0,2}"), 1..4);
    damage.prop_map(|damage| {
        let mut text: Vec<char> = VALID.chars().collect();
        for (place, signs) in damage {
            let at = place.index(text.len());
            text.splice(at..=at, signs.chars());
        }
        text.into_iter().collect()
    })
}

const VALID: &str = "
domain: d
descriptors:
  - key: k
    value: 'v*'
    share_threshold: true
    rate_limit: &base {unit: minute, requests_per_unit: 10, algorithm: gcra, burst: 3}
    overrides:
      - {value: vip, rate_limit: {requests_per_unit: 100}}
    descriptors:
      - key: user
        rate_limit: {<<: *base, on_store_failure: closed}
        shadow_mode: yes
---
domain: e
";

/// What holds of any text: an error names a line of it, and what was read can be asked.
fn survives(text: &str) {
    match PolicySet::parse("f", text) {
        Ok(policies) => {
            let descriptor = Descriptor {
                entries: vec![Entry::new("k", "v1"), Entry::new("user", "u")],
                ..Descriptor::default()
            };
            for domain in policies.domains() {
                let _ = policies.resolve(domain, &descriptor);
            }
        }
        Err(error) => {
            let lines = text.split('\n').count().max(1);
            assert!(
                (1..=lines + 1).contains(&error.line),
                "{error} of {lines} lines"
            );
            assert!(error.column >= 1 && !error.reason.is_empty(), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn words_in_any_order(text in yamlish()) {
        survives(&text);
    }

    #[test]
    fn any_text(text in "\\PC{0,80}") {
        survives(&text);
    }

    #[test]
    fn a_file_with_damage(text in damaged()) {
        survives(&text);
    }
}

#[test]
fn the_file_is_right_without_damage() {
    let policies = PolicySet::parse("f", VALID).unwrap();
    let paths: Vec<_> = policies.rules().iter().map(|rule| &*rule.path).collect();
    assert_eq!(
        paths,
        ["k=v*", "k=v*|user", "k=vip", "^request", "^request"]
    );
    let user = &policies.rules()[1];
    assert_eq!(user.allowance().unwrap().requests(), 10);
    assert!(user.shadow && user.on_store_failure.is_some());
}

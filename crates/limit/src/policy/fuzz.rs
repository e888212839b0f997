//! What has to hold for any text of policies.

use std::sync::Arc;

use super::{Descriptor, PolicySet, Resolved, Rule, with_shadow};

/// The most rules of which the rest is looked at one by one.
const MOST_RULES: usize = 32;

/// A text is the same rules each time; each rule is found by its own path; and shadow mode can be switched on and off
/// again, which changes nothing else.
pub fn policy_yaml(data: &[u8]) {
    let Ok(yaml) = std::str::from_utf8(data) else {
        return;
    };
    let set = match PolicySet::parse("fuzz.yaml", yaml) {
        Ok(set) => set,
        Err(error) => {
            // YAML ends a line by a carriage return as well. What is missing is missed behind the last one.
            let lines = yaml.split(['\r', '\n']).count();
            assert!((1..=lines + 1).contains(&error.line), "{error}");
            assert!(error.to_string().starts_with("fuzz.yaml"), "{error}");
            return;
        }
    };
    let again = PolicySet::parse("fuzz.yaml", yaml);
    let Ok(again) = again else {
        panic!("read once, and not twice");
    };
    assert_eq!(rules(&again), rules(&set));
    // Two times the same is one file over another that says the same.
    let Ok(layered) = PolicySet::layered(&[("below", yaml), ("above", yaml)]) else {
        panic!("one over the other cannot be read");
    };
    assert_eq!(layered.rules().len(), set.rules().len());
    for (number, rule) in set.rules().iter().enumerate().take(MOST_RULES) {
        assert_eq!(rule.number(), number);
        if let Some(switched) = with_shadow(yaml, &rule.path, !rule.shadow) {
            let Some(back) = with_shadow(&switched, &rule.path, rule.shadow) else {
                panic!("{} cannot be switched back:\n{switched}", rule.path);
            };
            let Ok(back) = PolicySet::parse("fuzz.yaml", &back) else {
                panic!("no policies any more:\n{back}");
            };
            assert_eq!(back.rules().len(), set.rules().len());
            assert_eq!(back.rules()[number].shadow, rule.shadow);
        }
    }
    for domain in set.domains().into_iter().take(MOST_RULES) {
        for descriptor in [
            Descriptor::of([]),
            Descriptor::of([("user", "1")]),
            Descriptor::of([("key", "value"), ("user", "1"), ("path", "/")]),
        ] {
            if let Resolved::Limited { rule, limiter, .. } = set.resolve(domain, &descriptor) {
                assert!(rule.is_brought() || rule.limiter() == Some(limiter));
            }
        }
    }
}

fn rules(set: &PolicySet) -> Vec<&Rule> {
    set.rules().iter().map(Arc::as_ref).collect()
}

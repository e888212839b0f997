//! Switching shadow mode in the text of a policy, so that comments and order stay as they are.

use super::yaml::{At, Form, Pair, Value, documents};
use super::{PolicySet, key};

const SWITCH: &str = "shadow_mode";

/// The text in which the rule at `path` is in shadow mode or not, with its overrides that do not say so
/// themselves, and all else is as in `yaml`; none if there is no such rule, or if it shares its text with others, by an alias, so that only a person
/// can say what is meant.
#[must_use]
pub fn with_shadow(yaml: &str, path: &str, shadow: bool) -> Option<String> {
    let before = PolicySet::parse("", yaml).ok()?;
    let documents = documents(yaml).ok()?;
    let (pairs, follow) = documents.iter().find_map(|one| find(one, "", path))?;
    let is_it = |set: &PolicySet| {
        let rules = set.rules().iter().zip(before.rules());
        let mut changed = rules.filter(|(after, before)| after != before);
        let found = set.rules().iter().find(|rule| *rule.path == *path);
        set.rules().len() == before.rules().len()
            && found.is_some_and(|rule| rule.shadow == shadow)
            && changed.all(|(after, before)| {
                let mut wanted = (**before).clone();
                wanted.shadow = shadow;
                let may_change =
                    *before.path == *path || follow.iter().any(|own| **own == *before.path);
                may_change && **after == wanted
            })
    };
    candidates(yaml, pairs, shadow)
        .into_iter()
        .flatten()
        .find(|text| PolicySet::parse("", text).is_ok_and(|set| is_it(&set)))
}

/// The mapping of the descriptor, or of the override, at `path`, and the paths of its overrides.
fn find<'a>(level: &'a Value, above: &str, path: &str) -> Option<(&'a [Pair], Vec<String>)> {
    let level = map(level)?;
    list(level, "descriptors").iter().find_map(|item| {
        let pairs = map(item)?;
        let name = text(pairs, "key")?;
        let own = key::path(above, name, text(pairs, "value"));
        let overrides = list(pairs, "overrides").iter().filter_map(map);
        let overrides: Vec<(&[Pair], String)> = overrides
            .map(|one| (one, key::path(above, name, text(one, "value"))))
            .collect();
        if own == path {
            let paths = overrides.into_iter().map(|(_, path)| path);
            return Some((pairs, paths.collect()));
        }
        match overrides.into_iter().find(|(_, own)| own == path) {
            Some((one, _)) => Some((one, Vec::new())),
            None => find(item, &own, path),
        }
    })
}

fn map(value: &Value) -> Option<&[Pair]> {
    match &value.form {
        Form::Map(pairs) => Some(pairs),
        _ => None,
    }
}

fn get<'a>(pairs: &'a [Pair], key: &str) -> Option<&'a Pair> {
    pairs.iter().find(|pair| &*pair.key == key)
}

fn text<'a>(pairs: &'a [Pair], key: &str) -> Option<&'a str> {
    match &get(pairs, key)?.value.form {
        Form::Scalar(text) => Some(text),
        _ => None,
    }
}

fn list<'a>(pairs: &'a [Pair], key: &str) -> &'a [Value] {
    match get(pairs, key).map(|pair| &pair.value.form) {
        Some(Form::List(items)) => items,
        _ => &[],
    }
}

/// Texts of which the right one is found by reading them.
fn candidates(yaml: &str, pairs: &[Pair], shadow: bool) -> [Option<String>; 2] {
    let word = if shadow { "true" } else { "false" };
    if let Some(pair) = get(pairs, SWITCH) {
        let replaced = offset(yaml, pair.value.at).map(|at| {
            let old = yaml[at..].find(|letter: char| !letter.is_alphanumeric());
            let end = old.map_or(yaml.len(), |length| at + length);
            format!("{}{word}{}", &yaml[..at], &yaml[end..])
        });
        return [replaced, None];
    }
    let Some(next) = get(pairs, "rate_limit").or(pairs.first()) else {
        return [None, None];
    };
    let insert = |addition: &str| {
        let at = offset(yaml, next.at)?;
        Some(format!("{}{addition}{}", &yaml[..at], &yaml[at..]))
    };
    let indent = " ".repeat(next.at.column - 1);
    [
        insert(&format!("{SWITCH}: {word}\n{indent}")),
        insert(&format!("{SWITCH}: {word}, ")),
    ]
}

/// Where a place begins, in bytes.
fn offset(text: &str, at: At) -> Option<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(at.line - 1)
        .map(str::len)
        .sum();
    let line = text.get(start..)?;
    let (column, _) = line.char_indices().nth(at.column - 1)?;
    Some(start + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "\
domain: shop
descriptors:
  # Ä: everybody
  - key: user
    rate_limit:
      unit: minute
      requests_per_unit: 3
    overrides:
      - value: anna
        rate_limit: {unit: minute, requests_per_unit: 9}
  - key: plan
    value: free
    shadow_mode: true   # for now
    rate_limit: {unit: hour, requests_per_unit: 2}
    descriptors:
      - {key: path, rate_limit: {unit: hour, requests_per_unit: 1}}
";

    #[test]
    fn only_the_switch_changes() {
        let on = with_shadow(BLOCK, "user", true).unwrap();
        let expected = BLOCK.replacen(
            "    rate_limit:\n      unit",
            "    shadow_mode: true\n    rate_limit:\n      unit",
            1,
        );
        assert_eq!(on, expected);
        let off = with_shadow(BLOCK, "plan=free", false).unwrap();
        assert_eq!(off, BLOCK.replace("true   #", "false   #"));
        let flow = with_shadow(BLOCK, "plan=free|path", true).unwrap();
        assert_eq!(
            flow,
            BLOCK.replace("path, rate", "path, shadow_mode: true, rate")
        );
        let other = with_shadow(BLOCK, "user=anna", true).unwrap();
        assert!(
            other.contains("shadow_mode: true\n        rate_limit: {unit: minute"),
            "{other}"
        );
    }

    #[test]
    fn back_and_forth_leads_back() {
        let on = with_shadow(BLOCK, "plan=free|path", true).unwrap();
        let off = with_shadow(&on, "plan=free|path", false).unwrap();
        assert_eq!(
            off,
            on.replace("path, shadow_mode: true", "path, shadow_mode: false")
        );
        assert_eq!(
            with_shadow(BLOCK, "plan=free", true).as_deref(),
            Some(BLOCK)
        );
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_left_alone() {
        assert_eq!(with_shadow(BLOCK, "nobody", true), None);
        assert_eq!(with_shadow("domain: [", "user", true), None);
        let shared = "\
domain: shop
descriptors:
  - &a {key: x, rate_limit: {unit: hour, requests_per_unit: 1}}
  - {<<: *a, key: y}
";
        assert!(PolicySet::parse("", shared).is_ok());
        assert_eq!(with_shadow(shared, "x", true), None);
    }
}

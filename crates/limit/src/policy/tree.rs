//! Levels of descriptors, and how one is found.

use std::collections::HashMap;
use std::sync::Arc;

use super::Rule;

/// The descriptors of one level, by key.
#[derive(Debug, Default)]
pub(super) struct Level(HashMap<Box<str>, Values>);

/// The descriptors of one key.
#[derive(Debug, Default)]
struct Values {
    exact: HashMap<Box<str>, Node>,
    /// In the order of the file.
    wildcards: Vec<(Pattern, Node)>,
    any: Option<Node>,
}

/// One descriptor of a file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) rule: Option<Arc<Rule>>,
    /// What stands for the value in keys of counters, if all values share one.
    pub(super) shared: Option<Arc<str>>,
    pub(super) below: Arc<Level>,
}

impl Level {
    /// Adds a descriptor; without a value, it stands for every one.
    pub(super) fn insert(&mut self, key: &str, value: Option<&str>, node: Node) {
        let values = self.0.entry(key.into()).or_default();
        match value {
            None => values.any = Some(node),
            Some(value) if Pattern::is_one(value) => {
                values.wildcards.push((Pattern::new(value), node));
            }
            Some(value) => {
                values.exact.insert(value.into(), node);
            }
        }
    }

    /// The descriptor for an entry: the exact value, else the first wildcard, else any.
    pub(super) fn find(&self, key: &str, value: &str) -> Option<&Node> {
        let values = self.0.get(key)?;
        let wildcard = || {
            let mut fitting = values.wildcards.iter();
            fitting.find(|(pattern, _)| pattern.fits(value))
        };
        values
            .exact
            .get(value)
            .or_else(|| wildcard().map(|(_, node)| node))
            .or(values.any.as_ref())
    }
}

/// A value with `*`, each of which stands for any letters or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    first: Box<str>,
    /// What has to follow in this order; the last of them at the end.
    rest: Vec<Box<str>>,
}

impl Pattern {
    pub(super) fn is_one(value: &str) -> bool {
        value.contains('*')
    }

    pub(super) fn new(value: &str) -> Self {
        let mut parts = value.split('*').map(Box::from);
        Self {
            first: parts.next().unwrap_or_default(),
            rest: parts.collect(),
        }
    }

    pub(super) fn fits(&self, value: &str) -> bool {
        let Some(mut left) = value.strip_prefix(&*self.first) else {
            return false;
        };
        let Some((last, middle)) = self.rest.split_last() else {
            return left.is_empty();
        };
        // The earliest place for each part leaves the most for those that follow.
        for part in middle {
            match left.split_once(&**part) {
                Some((_, after)) => left = after,
                None => return false,
            }
        }
        left.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By definition: letter for letter, each star tried at every length.
    fn fits_by_definition(pattern: &[char], value: &[char]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some(('*', after)) => {
                (0..=value.len()).any(|taken| fits_by_definition(after, &value[taken..]))
            }
            Some((letter, after)) => value
                .split_first()
                .is_some_and(|(first, rest)| first == letter && fits_by_definition(after, rest)),
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_what_their_definition_fits(
            pattern in "[ab*]{0,7}",
            value in "[ab]{0,9}",
        ) {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                Pattern::new(&pattern).fits(&value),
                fits_by_definition(&letters(&pattern), &letters(&value))
            );
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, fitting, other) in [
            ("files/*", "files/a", "file/a"),
            ("*.pdf", "a.pdf", "a.pdf.exe"),
            ("/users/*/posts", "/users/7/posts", "/users/posts"),
            ("a*a", "aa", "a"),
            ("ä*ü", "äöü", "aöü"),
        ] {
            assert!(Pattern::new(pattern).fits(fitting), "{pattern}");
            assert!(!Pattern::new(pattern).fits(other), "{pattern}");
        }
        assert!(Pattern::new("*").fits(""));
    }
}

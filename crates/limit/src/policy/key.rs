//! Keys of counters: one string for a domain and the entries of a descriptor, and never the same
//! for two.
//!
//! `domain|key=value|key=value|`; `key~pattern` where all values of a pattern share a counter;
//! `^nanoseconds` at the end where the request brought its limit itself. The signs that mean
//! something, and braces, which a Redis cluster would read, are escaped inside of names. Nothing
//! of a rule but its place goes in, so that a reload keeps what was counted. A key over
//! [`MAX_KEY_BYTES`] is replaced by its SHA-256.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::store::{LimitKey, MAX_KEY_BYTES};

/// Between the levels of a path.
const LEVEL: char = '|';

/// A key while it is put together.
#[derive(Debug)]
pub(super) struct KeyText(String);

impl KeyText {
    pub(super) fn new(domain: &str) -> Self {
        let mut text = String::with_capacity(64);
        escape(domain, &mut text);
        text.push(LEVEL);
        Self(text)
    }

    /// One more entry, which counts by its value.
    pub(super) fn push(&mut self, key: &str, value: &str) {
        push_pair(&mut self.0, key, Some(value));
        self.0.push(LEVEL);
    }

    /// One more entry, which counts with all others of this pattern.
    pub(super) fn push_shared(&mut self, key: &str, pattern: &str) {
        escape(key, &mut self.0);
        self.0.push('~');
        escape(pattern, &mut self.0);
        self.0.push(LEVEL);
    }

    /// The key.
    #[expect(
        clippy::expect_used,
        reason = "the text has a byte at least, and a digest has 65"
    )]
    pub(super) fn finish(self) -> LimitKey {
        let Self(mut text) = self;
        if text.len() > MAX_KEY_BYTES {
            text = digest(&text);
        }
        LimitKey::new(text.as_bytes()).expect("not empty and not too long")
    }

    /// The key of a limit that the request brought, which counts apart from those of other windows.
    pub(super) fn finish_brought(mut self, window: Duration) -> LimitKey {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "^{}", window.as_nanos());
        self.finish()
    }
}

/// The path of a descriptor in a file, below that of its parent.
pub(super) fn path(parent: &str, key: &str, value: Option<&str>) -> String {
    let mut text = parent.to_owned();
    if !text.is_empty() {
        text.push(LEVEL);
    }
    push_pair(&mut text, key, value);
    text
}

fn push_pair(text: &mut String, key: &str, value: Option<&str>) {
    escape(key, text);
    if let Some(value) = value {
        text.push('=');
        escape(value, text);
    }
}

fn escape(name: &str, text: &mut String) {
    for sign in name.chars() {
        match sign {
            '%' => text.push_str("%25"),
            '|' => text.push_str("%7C"),
            '=' => text.push_str("%3D"),
            '~' => text.push_str("%7E"),
            '^' => text.push_str("%5E"),
            '#' => text.push_str("%23"),
            '{' => text.push_str("%7B"),
            '}' => text.push_str("%7D"),
            other => text.push(other),
        }
    }
}

/// `#` and 64 hexadecimal digits, which no other key begins with.
fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(65);
    hex.push('#');
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An entry, and whether it shares its counter.
    type Part = (String, String, bool);

    fn key(domain: &str, parts: &[Part], window: Option<u64>) -> LimitKey {
        let mut text = KeyText::new(domain);
        for (key, value, shared) in parts {
            if *shared {
                text.push_shared(key, value);
            } else {
                text.push(key, value);
            }
        }
        match window {
            Some(nanos) => text.finish_brought(Duration::from_nanos(nanos)),
            None => text.finish(),
        }
    }

    /// Few letters, many signs: what is likeliest to be mistaken.
    fn name() -> impl Strategy<Value = String> {
        "[ab|=~^#%{}27C]{0,4}"
    }

    fn whose() -> impl Strategy<Value = (String, Vec<Part>, Option<u64>)> {
        let part = (name(), name(), any::<bool>());
        let parts = prop::collection::vec(part, 0..4);
        (name(), parts, prop::option::of(0..3_u64))
    }

    proptest! {
        #[test]
        fn two_descriptors_never_have_the_same_key(one in whose(), other in whose()) {
            let same = one == other;
            let keys = (key(&one.0, &one.1, one.2), key(&other.0, &other.1, other.2));
            prop_assert_eq!(keys.0 == keys.1, same);
        }

        #[test]
        fn a_separator_moved_from_one_name_to_the_next_makes_another_key(
            names in prop::collection::vec(name(), 5),
            cut in prop::collection::vec(0..30_usize, 5),
        ) {
            // The same letters, cut up in two ways.
            let whole: Vec<char> = names.concat().chars().collect();
            let mut at: Vec<usize> = cut.iter().map(|at| at % (whole.len() + 1)).collect();
            at.sort_unstable();
            let again: Vec<String> = std::iter::once(0)
                .chain(at.iter().copied().take(4))
                .zip(at.iter().copied().take(4).chain([whole.len()]))
                .map(|(from, to)| whole.get(from..to).unwrap_or_default().iter().collect())
                .collect();
            let of = |names: &[String]| {
                let parts = [
                    (names[1].clone(), names[2].clone(), false),
                    (names[3].clone(), names[4].clone(), false),
                ];
                key(&names[0], &parts, None)
            };
            prop_assert_eq!(of(&names) == of(&again), names == again);
        }
    }

    #[test]
    fn a_key_can_be_read() {
        let parts = [
            ("a|b".to_owned(), "50%".to_owned(), false),
            ("files".to_owned(), "img/*".to_owned(), true),
        ];
        let read = |key: &LimitKey| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        assert_eq!(
            read(&key("edge", &parts, None)),
            "edge|a%7Cb=50%25|files~img/*|"
        );
        assert_eq!(read(&key("edge", &parts[..0], Some(7))), "edge|^7");
    }

    #[test]
    fn a_long_key_becomes_short_and_stays_its_own() {
        let long = |last: &str| [("k".to_owned(), "v".repeat(5_000) + last, false)];
        let (one, other) = (key("d", &long("1"), None), key("d", &long("2"), None));
        assert_eq!(one.as_bytes().len(), 65);
        assert_ne!(one, other);
        assert_eq!(one, key("d", &long("1"), None));
    }

    #[test]
    fn paths_tell_levels_and_values_apart() {
        assert_eq!(path("", "a", None), "a");
        assert_eq!(path("a", "b", Some("c")), "a|b=c");
        assert_eq!(path("", "a|b=c", None), "a%7Cb%3Dc");
    }
}

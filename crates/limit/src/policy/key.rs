//! Keys of counters: one string for a domain and the entries of a descriptor, and never the same
//! for two.
//!
//! `domain|key=value|key=value|`; `key~pattern` where all values of a pattern share a counter;
//! `^nanoseconds` at the end where the request brought its limit itself. The signs that mean
//! something, and braces, which a Redis cluster would read, are escaped inside of names. Nothing
//! of a rule but its place goes in, so that a reload keeps what was counted. Of a key over
//! [`MAX_KEY_BYTES`] all but the domain is replaced by a SHA-256, and so is a domain that leaves no room
//! for that: all keys of a domain begin alike, by which a Redis cluster keeps them together.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::store::{CLIENT, LEVEL, LimitKey, MAX_KEY_BYTES};

/// `#` and 64 hexadecimal digits.
const DIGEST_BYTES: usize = 65;
/// The longest domain that a key shows: a digest fits behind it.
const MAX_DOMAIN_BYTES: usize = MAX_KEY_BYTES - DIGEST_BYTES - 1;

/// A key while it is put together.
#[derive(Debug)]
pub(super) struct KeyText {
    text: String,
    /// Where the domain and its separator end.
    domain: usize,
}

impl KeyText {
    pub(super) fn new(domain: &str) -> Self {
        let mut text = String::with_capacity(64);
        match domain.strip_prefix(CLIENT) {
            Some(rest) => {
                text.push_str("r%3A");
                escape(rest, &mut text);
            }
            None => escape(domain, &mut text),
        }
        if text.len() > MAX_DOMAIN_BYTES {
            text = digest(&text);
        }
        text.push(LEVEL);
        let domain = text.len();
        Self { text, domain }
    }

    /// One more entry, which counts by its value.
    pub(super) fn push(&mut self, key: &str, value: &str) {
        push_pair(&mut self.text, key, Some(value));
        self.text.push(LEVEL);
    }

    /// One more entry, which counts with all others of this pattern.
    pub(super) fn push_shared(&mut self, key: &str, pattern: &str) {
        escape(key, &mut self.text);
        self.text.push('~');
        escape(pattern, &mut self.text);
        self.text.push(LEVEL);
    }

    /// The key.
    #[expect(
        clippy::expect_used,
        reason = "the text has a byte at least, and there is room for a digest behind its domain"
    )]
    pub(super) fn finish(self) -> LimitKey {
        let Self { mut text, domain } = self;
        if text.len() > MAX_KEY_BYTES {
            let short = digest(&text);
            text.truncate(domain);
            text.push_str(&short);
        }
        LimitKey::new(text.as_bytes()).expect("not empty and not too long")
    }

    /// The key of a limit that the request brought, which counts apart from those of other windows.
    pub(super) fn finish_brought(mut self, window: Duration) -> LimitKey {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "^{}", window.as_nanos());
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

/// `#` and 64 hexadecimal digits, which no domain and no entry begins with.
fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(DIGEST_BYTES);
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
        assert_eq!(one.as_bytes().len(), 2 + 65);
        assert!(one.as_bytes().starts_with(b"d|#"));
        assert_ne!(one, other);
        assert_eq!(one, key("d", &long("1"), None));
    }

    #[test]
    fn all_keys_of_a_domain_have_it_in_common() {
        for domain in [1, 3_000, 4_029, 4_030, 4_031, 4_095, 4_096, 9_000] {
            let domain = "d".repeat(domain);
            let long = [("k".to_owned(), "v".repeat(5_000), false)];
            let (short, long) = (key(&domain, &[], None), key(&domain, &long, None));
            assert_ne!(short, long);
            assert!(short.domain().is_some_and(|domain| !domain.is_empty()));
            assert_eq!(short.domain(), long.domain());
            assert_ne!(key(&(domain + "e"), &[], None).domain(), short.domain());
        }
    }

    #[test]
    fn no_domain_looks_like_the_key_of_a_client() {
        let of_client = LimitKey::of_client(b"x|k=v|").unwrap();
        let parts = [("k".to_owned(), "v".to_owned(), false)];
        let of_policy = key("r:x", &parts, None);
        assert_ne!(of_policy, of_client);
        assert_eq!(of_policy.domain(), Some(&b"r%3Ax"[..]));
        assert_eq!(of_client.domain(), None);
        assert_ne!(of_policy, key("r%3Ax", &parts, None));
    }

    #[test]
    fn paths_tell_levels_and_values_apart() {
        assert_eq!(path("", "a", None), "a");
        assert_eq!(path("a", "b", Some("c")), "a|b=c");
        assert_eq!(path("", "a|b=c", None), "a%7Cb%3Dc");
    }
}

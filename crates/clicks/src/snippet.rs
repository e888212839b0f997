use std::fmt;

use smol_str::SmolStr;

/// Text of a client, cut where it is too long: nobody has to trust its length any more.
///
/// What is not UTF-8 becomes U+FFFD, control characters too. A text that was cut ends with `…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snippet(SmolStr);

/// Stands where text was cut.
const CUT: char = '…';

impl Snippet {
    /// The first `most` bytes of `text`, the mark of the cut included; none if there is no text.
    #[must_use]
    pub fn of(text: &[u8], most: usize) -> Option<Self> {
        // A byte may become three.
        let text = String::from_utf8_lossy(&text[..text.len().min(most.saturating_add(1))]);
        let mut kept: String = text
            .chars()
            .map(|one| {
                if one.is_control() {
                    char::REPLACEMENT_CHARACTER
                } else {
                    one
                }
            })
            .collect();
        if kept.len() > most {
            kept.truncate(kept.floor_char_boundary(most.saturating_sub(CUT.len_utf8())));
            kept.push(CUT);
        }
        (!kept.is_empty()).then(|| Self(kept.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8], most: usize) -> Option<String> {
        Snippet::of(text, most).map(|snippet| snippet.to_string())
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_mark() {
        assert_eq!(of(b"abcdef", 6).unwrap(), "abcdef");
        assert_eq!(of(b"abcdefg", 6).unwrap(), "abc…");
        assert_eq!(of("ääää".as_bytes(), 6).unwrap(), "ä…");
        assert_eq!(of(b"", 6), None);
    }

    #[test]
    fn any_bytes_become_text_without_control_characters() {
        assert_eq!(
            of(b"a\xffb\nc\0", 64).unwrap(),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert!(of(&[0xff; 9_000], 100).unwrap().len() <= 100);
    }
}

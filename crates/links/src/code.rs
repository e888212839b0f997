use std::fmt;

use smol_str::{SmolStr, StrExt};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The longest code, in characters.
pub const MAX_CODE_CHARS: usize = 128;

/// The longest text worth normalising, in bytes. A character of an NFC text comes from at most
/// four characters of at most four bytes.
const MAX_TEXT_BYTES: usize = MAX_CODE_CHARS * 16;

/// The most combining marks on one letter. Languages need two or three; stacks of dozens are
/// written to spill over the lines around them.
const MAX_MARKS: usize = 4;

/// The part of a short link after the slash. Always NFC, 1 to 128 characters of Unicode letters
/// with their combining marks, digits, `-`, `_` and `.`; in case-insensitive mode always lower
/// case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(
    // Up to 23 bytes take no allocation: every redirect makes one.
    SmolStr,
);

/// Why a text cannot be a code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodeError {
    /// Nothing there.
    #[error("a code cannot be empty")]
    Empty,
    /// Over [`MAX_CODE_CHARS`].
    #[error("a code has at most {MAX_CODE_CHARS} characters")]
    TooLong,
    /// Not a letter, digit, `-`, `_` or `.`; or a combining mark that stands on no letter.
    #[error("a code cannot hold {0:?}: use letters, digits, '-', '_' and '.'")]
    Forbidden(char),
}

/// How codes are read: shared by everything that turns text into a [`Code`].
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeRules {
    /// Whether `Sale` and `sale` are the same code.
    pub case_insensitive: bool,
}

impl CodeRules {
    /// Reads a code as it comes in a path, a lookup or an import. In case-insensitive mode case is
    /// folded character by character (so `ß` stays apart from `ss`), and reading a code again
    /// changes nothing.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn parse(&self, text: &str) -> Result<Code, CodeError> {
        // Every redirect passes here, and almost all codes are ASCII.
        if text.is_ascii() {
            self.parse_ascii(text)
        } else {
            self.parse_unicode(text)
        }
    }

    fn parse_ascii(self, text: &str) -> Result<Code, CodeError> {
        if text.is_empty() {
            return Err(CodeError::Empty);
        }
        if text.len() > MAX_CODE_CHARS {
            return Err(CodeError::TooLong);
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if let Some(bad) = text.bytes().find(|byte| !allowed(byte)) {
            return Err(CodeError::Forbidden(char::from(bad)));
        }
        Ok(Code(if self.case_insensitive {
            text.to_ascii_lowercase_smolstr()
        } else {
            text.into()
        }))
    }

    fn parse_unicode(self, text: &str) -> Result<Code, CodeError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CodeError::TooLong);
        }
        let code: String = if self.case_insensitive {
            text.nfc().flat_map(fold).nfc().collect()
        } else {
            text.nfc().collect()
        };
        if code.chars().count() > MAX_CODE_CHARS {
            return Err(CodeError::TooLong);
        }
        // Marks allowed at this place: none at the start and after anything that is no letter.
        let mut marks_left = 0;
        for c in code.chars() {
            if is_invisible(c) {
                return Err(CodeError::Forbidden(c));
            } else if is_combining_mark(c) {
                if marks_left == 0 {
                    return Err(CodeError::Forbidden(c));
                }
                marks_left -= 1;
            } else if c.is_alphabetic() {
                marks_left = MAX_MARKS;
            } else if c.is_numeric() || matches!(c, '-' | '_' | '.') {
                marks_left = 0;
            } else {
                return Err(CodeError::Forbidden(c));
            }
        }
        Ok(Code(code.into()))
    }
}

/// Lower case without regard to what stands around, unlike [`str::to_lowercase`], which writes a
/// sigma at the end of a word in another way than within.
fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().map(|c| if c == 'ς' { 'σ' } else { c })
}

/// Letters and marks of Unicode's property `Default_Ignorable_Code_Point`: nobody sees them, so two
/// codes that differ in them look the same. Its other members (zero-width spaces and joiners,
/// direction marks) are neither letters nor marks.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{034F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

impl Code {
    /// From text a store or a strategy wrote, which is valid by construction.
    #[must_use]
    pub fn from_stored(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::is_nfc;

    use super::*;

    const SENSITIVE: CodeRules = CodeRules {
        case_insensitive: false,
    };
    const INSENSITIVE: CodeRules = CodeRules {
        case_insensitive: true,
    };

    #[test]
    fn letters_of_all_scripts_are_codes() {
        for good in [
            "a",
            "Sale-2025_v1.2",
            "straße",
            "łódź",
            "distribución",
            "Ελλάδα",
            "москва",
            "日本語",
            "한국어",
            "हिन्दी",
            "ที่นี่",
            "עברית",
            "العربية",
            "...",
        ] {
            assert_eq!(
                SENSITIVE.parse(good).map(|c| c.to_string()),
                Ok(good.nfc().collect())
            );
        }
    }

    #[test]
    fn what_is_no_letter_is_named() {
        for (text, bad) in [
            ("a b", ' '),
            ("a/b", '/'),
            ("é/b", '/'),
            ("sale+", '+'),
            ("50%", '%'),
            ("a\u{0}", '\u{0}'),
            ("😀", '😀'),
            // Zero width, direction marks, fillers and variation selectors.
            ("a\u{200B}", '\u{200B}'),
            ("a\u{200D}b", '\u{200D}'),
            ("\u{202E}abc", '\u{202E}'),
            ("a\u{2066}", '\u{2066}'),
            ("\u{FEFF}a", '\u{FEFF}'),
            ("a\u{3164}", '\u{3164}'),
            ("a\u{FE0F}", '\u{FE0F}'),
            ("a\u{34F}", '\u{34F}'),
            // Marks on nothing.
            ("\u{301}a", '\u{301}'),
            ("1\u{308}", '\u{308}'),
            ("-\u{301}", '\u{301}'),
        ] {
            assert_eq!(
                SENSITIVE.parse(text),
                Err(CodeError::Forbidden(bad)),
                "{text:?}"
            );
        }
        let stack = format!("q{}", "\u{301}".repeat(MAX_MARKS + 1));
        assert_eq!(
            SENSITIVE.parse(&stack),
            Err(CodeError::Forbidden('\u{301}'))
        );
        assert_eq!(SENSITIVE.parse(""), Err(CodeError::Empty));
    }

    #[test]
    fn composed_and_decomposed_are_one_code() {
        assert_eq!(SENSITIVE.parse("cafe\u{301}"), SENSITIVE.parse("café"));
        assert_eq!(
            SENSITIVE.parse("\u{1112}\u{1161}\u{11AB}"),
            SENSITIVE.parse("한")
        );
    }

    #[test]
    fn length_counts_characters_after_composition() {
        assert!(SENSITIVE.parse(&"a".repeat(128)).is_ok());
        assert_eq!(SENSITIVE.parse(&"a".repeat(129)), Err(CodeError::TooLong));
        assert!(SENSITIVE.parse(&"é".repeat(128)).is_ok());
        assert!(SENSITIVE.parse(&"e\u{301}".repeat(128)).is_ok());
        assert_eq!(SENSITIVE.parse(&"é".repeat(129)), Err(CodeError::TooLong));
        assert_eq!(
            SENSITIVE.parse(&"語".repeat(100_000)),
            Err(CodeError::TooLong)
        );
    }

    #[test]
    fn case_counts_unless_told_otherwise() {
        assert_ne!(SENSITIVE.parse("Sale"), SENSITIVE.parse("sale"));
        for (a, b) in [
            ("SALE", "sale"),
            ("ÉCOLE", "école"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
        ] {
            assert_eq!(INSENSITIVE.parse(a), INSENSITIVE.parse(b), "{a} {b}");
        }
        assert!(INSENSITIVE.parse("İstanbul").is_ok());
    }

    proptest! {
        #[test]
        fn codes_are_normal_and_reading_one_again_changes_nothing(
            text in r"[\pL\pM\pN._\-]{0,20}|\PC{0,20}|[ -~]{0,20}",
            case_insensitive: bool,
        ) {
            let rules = CodeRules { case_insensitive };
            if let Ok(code) = rules.parse(&text) {
                prop_assert!(is_nfc(code.as_str()));
                prop_assert!((1..=MAX_CODE_CHARS).contains(&code.as_str().chars().count()));
                prop_assert_eq!(rules.parse(code.as_str()), Ok(code));
            }
        }

        #[test]
        fn the_ascii_way_agrees_with_the_general_one(
            text in "[ -~]{1,140}|[a-zA-Z0-9._-]{1,140}",
            case_insensitive: bool,
        ) {
            let rules = CodeRules { case_insensitive };
            prop_assert_eq!(rules.parse_ascii(&text), rules.parse_unicode(&text));
        }
    }
}

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// The longest code, in characters.
pub const MAX_CODE_CHARS: usize = 128;

/// The part of a short link after the slash. Always NFC, 1 to 128 characters of Unicode letters,
/// digits, `-`, `_` and `.`; in case-insensitive mode always lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(Box<str>);

/// Why a text cannot be a code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodeError {
    /// Nothing there.
    #[error("a code cannot be empty")]
    Empty,
    /// Over [`MAX_CODE_CHARS`].
    #[error("a code has at most {MAX_CODE_CHARS} characters")]
    TooLong,
    /// Not a letter, digit, `-`, `_` or `.`.
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
    /// Reads a code as it comes in a path, a lookup or an import.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn parse(&self, text: &str) -> Result<Code, CodeError> {
        let mut code: String = text.nfc().collect();
        if self.case_insensitive {
            code = code.to_lowercase().nfc().collect();
        }
        if code.is_empty() {
            return Err(CodeError::Empty);
        }
        if code.chars().count() > MAX_CODE_CHARS {
            return Err(CodeError::TooLong);
        }
        match code
            .chars()
            .find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            Some(bad) => Err(CodeError::Forbidden(bad)),
            None => Ok(Code(code.into())),
        }
    }
}

impl Code {
    /// From text a store or a strategy wrote, which is valid by construction.
    #[must_use]
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
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

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

/// The longest tag, in characters.
pub const MAX_TAG_CHARS: usize = 64;
/// The most tags one link may have.
pub const MAX_TAGS: usize = 32;

/// A label on links: trimmed, NFC, lower case, so that `News` and `news ` are one tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(Box<str>);

/// Why a text is no tag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TagError {
    /// Nothing is left after trimming.
    #[error("a tag cannot be empty")]
    Empty,
    /// Over [`MAX_TAG_CHARS`].
    #[error("a tag has at most {MAX_TAG_CHARS} characters")]
    TooLong,
    /// Control characters, or a comma or `|`, which separate tags in lists.
    #[error("a tag cannot hold {0:?}")]
    Forbidden(char),
}

impl Tag {
    /// Parses and normalises a tag.
    ///
    /// # Errors
    /// See [`TagError`].
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let tag: String = text.trim().nfc().flat_map(char::to_lowercase).collect();
        if tag.is_empty() {
            return Err(TagError::Empty);
        }
        if tag.chars().count() > MAX_TAG_CHARS {
            return Err(TagError::TooLong);
        }
        if let Some(bad) = tag
            .chars()
            .find(|c| c.is_control() || matches!(c, ',' | '|'))
        {
            return Err(TagError::Forbidden(bad));
        }
        Ok(Self(tag.into()))
    }

    /// From text a store wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_folded_and_bad_ones_refused() {
        assert_eq!(Tag::parse(" News ").unwrap().as_str(), "news");
        assert_eq!(Tag::parse("  "), Err(TagError::Empty));
        assert_eq!(Tag::parse("a,b"), Err(TagError::Forbidden(',')));
        assert_eq!(Tag::parse(&"x".repeat(65)), Err(TagError::TooLong));
    }
}

//! What a listing's filters mean, the same in every store: indexes may narrow the choice, this
//! decides.

use unicode_normalization::UnicodeNormalization;

use super::ListQuery;
use crate::{Link, LinkSpec};

/// Links on a page when the caller names no number.
pub const DEFAULT_PAGE_LINKS: usize = 100;
/// The most links on a page.
pub const MAX_PAGE_LINKS: usize = 1_000;

impl ListQuery {
    /// How many links a page of this listing holds.
    #[must_use]
    pub fn page_links(&self) -> usize {
        self.limit
            .map_or(DEFAULT_PAGE_LINKS, |limit| limit.get().min(MAX_PAGE_LINKS))
    }

    /// Whether a link passes the filters; the cursor is not looked at.
    #[must_use]
    pub fn matches(&self, link: &Link) -> bool {
        self.domain
            .as_ref()
            .is_none_or(|domain| *domain == link.key.domain)
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| link.spec.tags.contains(tag))
            && self.prefix.as_deref().is_none_or(|prefix| {
                let prefix = fold(prefix);
                search_terms(link)
                    .iter()
                    .any(|term| term.starts_with(&prefix))
            })
    }
}

/// What a prefix is searched in: code, target without scheme and `www.`, and title; folded.
pub(super) fn search_terms(link: &Link) -> Vec<String> {
    let mut terms = vec![fold(link.key.code.as_str()), target_term(&link.spec)];
    terms.extend(link.spec.title.as_deref().map(fold));
    terms
}

/// The target without scheme and `www.`, folded.
pub(super) fn target_term(spec: &LinkSpec) -> String {
    fold(without_scheme(spec.target.as_str()))
}

/// A URL, or the beginning of one, without scheme and `www.`: as targets are searched.
#[must_use]
pub fn without_scheme(url: &str) -> &str {
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
    bare.strip_prefix("www.").unwrap_or(bare)
}

/// NFC and lower case, character by character. `str::to_lowercase` looks at the neighbours (a
/// final sigma), so that a prefix would not fold as the beginning of the whole does.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// How much of a term is indexed, in bytes. Long targets would double the file, and who looks for
/// more than this has few candidates left.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const TERM_BYTES: usize = 48;

/// The indexed beginning of a term, or of a prefix that is looked for.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn beginning(term: &str) -> &str {
    let mut end = term.len().min(TERM_BYTES);
    while !term.is_char_boundary(end) {
        end -= 1;
    }
    &term[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_prefixes_of_words_with_a_final_sigma() {
        assert!(fold("ΟΔΟΣΗΜΑΝΣΗ").starts_with(&fold("ΟΔΟΣ")));
        assert_eq!(fold("Ａ\u{308}x"), fold("ａ\u{308}X"));
        assert_eq!(fold("E\u{301}TE"), "éte");
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    #[test]
    fn a_beginning_ends_between_characters() {
        assert_eq!(beginning("short"), "short");
        let long = format!("{}ß", "x".repeat(TERM_BYTES - 1));
        assert_eq!(beginning(&long), "x".repeat(TERM_BYTES - 1));
    }
}

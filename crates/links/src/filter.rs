//! Codes nobody gets: words the service needs itself, and words nobody wants to read out.
//!
//! How strictly offensive words are refused depends on who chose the code:
//!
//! - A *generated* code is refused if a word stands anywhere in it: there are always other codes,
//!   and refusing some in a thousand for nothing costs nothing.
//! - An *alias* is refused if a word is the whole of it or a whole part between `-`, `_` and `.`,
//!   with or without a plural `s` and digits around it. Somebody means something by an alias, so
//!   `Scunthorpe`, `class`, `assess` and `grape` pass. A few words that no innocent one contains are
//!   refused anywhere, and a few with a serious meaning not at all.
//!
//! Digits count as the letters they stand for (`0` o, `1` i or l, `3` e, `4` a, `5` s, `7` t, `8` b,
//! `9` g), and case never counts. Configured words are treated like the built-in ones.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;

use crate::Code;

/// Built-in reserved words.
const RESERVED: &str = include_str!("filter/reserved.txt");

/// Built-in offensive words.
const OFFENSIVE: &str = include_str!("filter/offensive.txt");

/// Begins a word that is refused anywhere in an alias.
const ANYWHERE: char = '*';

/// Begins a word that is refused in generated codes only.
const NOT_IN_ALIASES: char = '~';

/// Kept free: such paths are to be answered with QR codes.
const QR_SUFFIX: &str = ".qr";

/// Why a well-formed code is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The service uses this path itself.
    #[error("this word is reserved")]
    Reserved,
    /// It reads like something offensive.
    #[error("this word is not allowed")]
    Offensive,
    /// Nothing but dots, which browsers read as directories and drop.
    #[error("a code needs more than dots: browsers drop them")]
    DotsOnly,
}

/// Reserved words and the blocklist of offensive ones.
#[derive(Debug, Clone)]
pub struct CodeFilter {
    /// Lower case.
    reserved: HashSet<String>,
    /// Offensive words an alias may not be or have as a part, lower case.
    parts_of_aliases: Vec<String>,
    /// Words refused anywhere in an alias, as they [`look`].
    in_aliases: AhoCorasick,
    /// All offensive words, as they [`look`].
    in_generated: AhoCorasick,
}

impl Default for CodeFilter {
    /// The built-in lists.
    fn default() -> Self {
        Self::new(&[], &[])
    }
}

impl CodeFilter {
    /// The built-in lists plus the configured words.
    #[must_use]
    pub fn new(reserved: &[String], blocked: &[String]) -> Self {
        let blocked: Vec<String> = configured(blocked).collect();
        let word = |line: &str| {
            line.trim_start_matches([ANYWHERE, NOT_IN_ALIASES])
                .to_owned()
        };
        let all = lines(OFFENSIVE).map(word).chain(blocked.iter().cloned());
        let anywhere = lines(OFFENSIVE).filter(|line| line.starts_with(ANYWHERE));
        let parts = lines(OFFENSIVE).filter(|line| !line.starts_with(NOT_IN_ALIASES));
        Self {
            reserved: lines(RESERVED)
                .map(str::to_owned)
                .chain(configured(reserved))
                .collect(),
            in_generated: automaton(all),
            in_aliases: automaton(anywhere.map(word)),
            parts_of_aliases: parts.map(word).chain(blocked.iter().cloned()).collect(),
        }
    }

    /// Whether somebody may choose this code (aliases: reserved and offensive words are refused,
    /// and everything that ends in `.qr`, which is kept free for QR codes).
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(&self, code: &Code) -> Result<(), Refusal> {
        let text = code.as_str();
        if text.bytes().all(|byte| byte == b'.') {
            return Err(Refusal::DotsOnly);
        }
        let text = text.to_lowercase();
        if self.is_reserved(&text) {
            return Err(Refusal::Reserved);
        }
        let is_word = |part: &str| {
            // A number is a number: nobody reads 455 as a word, and many aliases are counted.
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            let fits = |word: &String| part == word || (!number && reads_as(part, word));
            self.parts_of_aliases.iter().any(fits)
        };
        let whole = std::iter::once(text.as_str());
        let offends = whole
            .chain(text.split(['-', '_', '.']))
            .any(|part| is_word(part) || is_word(part.trim_matches(|c: char| c.is_ascii_digit())));
        if offends || self.in_aliases.is_match(&look(&text)) {
            return Err(Refusal::Offensive);
        }
        Ok(())
    }

    /// Whether a strategy may hand out this code: reserved words are refused, and everything that
    /// holds an offensive one.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check_generated(&self, code: &Code) -> Result<(), Refusal> {
        let text = code.as_str().to_lowercase();
        if self.is_reserved(&text) {
            return Err(Refusal::Reserved);
        }
        if self.in_generated.is_match(&look(&text)) {
            return Err(Refusal::Offensive);
        }
        Ok(())
    }

    fn is_reserved(&self, text: &str) -> bool {
        text.ends_with(QR_SUFFIX) || self.reserved.contains(text)
    }
}

/// The words of a built-in list.
fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn configured(words: &[String]) -> impl Iterator<Item = String> {
    words
        .iter()
        .map(|word| word.trim().to_lowercase())
        .filter(|word| !word.is_empty())
}

#[expect(clippy::expect_used, reason = "only gigabytes of words can fail")]
fn automaton(words: impl Iterator<Item = String>) -> AhoCorasick {
    AhoCorasick::new(words.map(|word| look(&word)))
        .expect("words have fewer than 2^31 bytes in all")
}

/// The letters a digit may stand for.
fn letters_for(digit: char) -> &'static str {
    match digit {
        '0' => "o",
        '1' => "il",
        '3' => "e",
        '4' => "a",
        '5' => "s",
        '7' => "t",
        '8' => "b",
        '9' => "g",
        _ => "",
    }
}

/// Text as it looks at a glance: digits as letters, and no difference between `l`, `i` and `1`.
fn look(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'l' => 'i',
            other => letters_for(other).chars().next().unwrap_or(other),
        })
        .collect()
}

/// Whether the text is this word or its plural, digits read as letters.
fn reads_as(text: &str, word: &str) -> bool {
    let mut rest = text.chars();
    let begins = word.chars().all(|wanted| {
        rest.next()
            .is_some_and(|c| c == wanted || letters_for(c).contains(wanted))
    });
    begins && matches!(rest.as_str(), "" | "s" | "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        crate::CodeRules::default().parse(text).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn paths_of_the_service_are_reserved_in_any_case() {
        let filter = CodeFilter::new(&words(&["Press "]), &[]);
        for word in [
            "api",
            "API",
            "robots.txt",
            ".well-known",
            "Favicon.ico",
            "press",
            "PRESS",
            "x.qr",
            "X.QR",
            ".qr",
        ] {
            assert_eq!(filter.check(&code(word)), Err(Refusal::Reserved), "{word}");
        }
        for word in ["apis", "robots", "pressed", "qr-code", "x.qrs", "xqr"] {
            assert_eq!(filter.check(&code(word)), Ok(()), "{word}");
        }
        assert_eq!(
            filter.check_generated(&code("admin")),
            Err(Refusal::Reserved)
        );
    }

    #[test]
    fn numbers_are_no_words() {
        let filter = CodeFilter::new(&[], &words(&["1488"]));
        for alias in ["455", "promo-455", "4555", "2026.455"] {
            assert_eq!(filter.check(&code(alias)), Ok(()), "{alias}");
        }
        for alias in ["1488", "a-1488"] {
            assert_eq!(filter.check(&code(alias)), Err(Refusal::Offensive));
        }
    }

    #[test]
    fn dots_alone_are_no_alias() {
        let filter = CodeFilter::new(&[], &[]);
        for dots in [".", "..", "..."] {
            assert_eq!(filter.check(&code(dots)), Err(Refusal::DotsOnly));
        }
        for good in [".a", "a.", "..a", "v1.2"] {
            assert_eq!(filter.check(&code(good)), Ok(()));
        }
    }

    #[test]
    fn offensive_words_are_refused_and_innocent_ones_that_hold_them_are_not() {
        let filter = CodeFilter::new(&[], &[]);
        for word in [
            "fuck",
            "FuCk",
            "fuck-this",
            "sh1t",
            "cunt",
            "cunts",
            "5h17",
            "n1gger",
            "n1993r",
            "big-ass-sale",
            "shit2025",
            "2025_sh1t",
            "xfuckx",
        ] {
            assert_eq!(filter.check(&code(word)), Err(Refusal::Offensive), "{word}");
            assert_eq!(
                filter.check_generated(&code(word)),
                Err(Refusal::Offensive),
                "{word}"
            );
        }
        for word in [
            "Scunthorpe",
            "Penistone",
            "class",
            "assess",
            "assassin",
            "grape",
            "therapist",
            "analysis",
            "cocktail",
            "cockpit",
            "sextant",
            "Essex",
            "Dickens",
            "Hancock",
            "Dickinson",
            "shiitake",
            "snigger",
            "push-it",
            "wash-it",
            "as-sale",
            "pen-is-mightier",
            "sex-education",
            "a55e55",
            "2025-sale",
            "summer_sale.v2",
            "straße",
            "日本語",
            "हिन्दी",
            "Москва",
            "العربية",
        ] {
            assert_eq!(filter.check(&code(word)), Ok(()), "{word}");
        }
        for word in ["Q9fuck7", "7cuntab", "aaSh1tb"] {
            assert_eq!(
                filter.check_generated(&code(word)),
                Err(Refusal::Offensive),
                "{word}"
            );
        }
    }

    #[test]
    fn few_random_codes_are_refused() {
        let filter = CodeFilter::default();
        let size = crate::Alphabet::Base62.capacity(7).unwrap();
        let refused = (0..20_000u128)
            .map(|n| n * 0x9E37_79B9_7F4A_7C15 % size)
            .map(|n| Code::from_stored(crate::Alphabet::Base62.encode_padded(n, 7)))
            .filter(|code| filter.check_generated(code).is_err())
            .count();
        assert!((1..1_000).contains(&refused), "{refused} of 20,000");
    }

    #[test]
    fn configured_words_match_anywhere_in_generated_codes_and_whole_in_aliases() {
        let filter = CodeFilter::new(&[], &words(&["Rival", "l33tco", " "]));
        for alias in [
            "rival",
            "RIVAL",
            "r1va1",
            "buy-rival",
            "rival.v2",
            "l33tco",
            "rivals.7",
        ] {
            assert_eq!(
                filter.check(&code(alias)),
                Err(Refusal::Offensive),
                "{alias}"
            );
        }
        for alias in ["arrivals", "rivalry", "riva"] {
            assert_eq!(filter.check(&code(alias)), Ok(()), "{alias}");
        }
        assert_eq!(
            filter.check_generated(&code("xR1valx")),
            Err(Refusal::Offensive)
        );
        assert_eq!(filter.check_generated(&code("zqm0007")), Ok(()));
    }
}

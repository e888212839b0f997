//! `Accept-Language` (RFC 9110, section 12.5.4) and basic filtering (RFC 4647, section 3.3.1).

/// Languages looked at; browsers send a handful.
const MAX_LANGUAGES: usize = 32;

/// The tag of the language this header prefers: that of the highest quality, the first of several.
/// Only this one counts for rules, so that `fr, de;q=0.5` goes by a rule for French even if one for
/// German stands before it. `None` if any language is as good.
pub(super) fn preferred(header: &str) -> Option<&str> {
    let mut best: Option<(&str, u16)> = None;
    for item in header.split(',').take(MAX_LANGUAGES) {
        let mut parts = item.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let quality = parts
            .find_map(|part| part.trim().strip_prefix(['q', 'Q']))
            .and_then(|rest| rest.trim_start().strip_prefix('='))
            .map_or(1_000, |value| thousandths(value.trim()));
        let better = best.is_none_or(|(_, best)| quality > best);
        if !tag.is_empty() && quality > 0 && better {
            best = Some((tag, quality));
        }
    }
    best.map(|(tag, _)| tag).filter(|tag| *tag != "*")
}

/// Whether a tag is of a range: equal to it, or beginning with it and a hyphen, whatever the case.
pub(super) fn range_fits(range: &str, tag: &str) -> bool {
    let (range, tag) = (range.as_bytes(), tag.as_bytes());
    tag.get(..range.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(range))
        && matches!(tag.get(range.len()), None | Some(b'-'))
}

/// A quality `0` to `1` with at most three decimals; 0, so never preferred, if it is anything else.
fn thousandths(text: &str) -> u16 {
    text.parse::<f32>()
        .ok()
        .filter(|quality| (0.0..=1.0).contains(quality))
        .map_or(0, |quality| (quality * 1_000.0) as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_highest_quality_is_preferred_and_the_first_of_equals() {
        for (header, tag) in [
            ("de", Some("de")),
            ("en-US,en;q=0.9,de;q=0.8", Some("en-US")),
            ("de;q=0.5, fr", Some("fr")),
            ("de;q=0.5, fr;q=0.5", Some("de")),
            ("da ; q = 0.3 , nl;Q=0.301", Some("nl")),
            ("de;q=0", None),
            ("*, de;q=0.9", None),
            ("*;q=0.1, de;q=0.9", Some("de")),
            ("de;q=2, fr;q=x, it;q=0.1", Some("it")),
            ("", None),
            (",,;q=1", None),
        ] {
            assert_eq!(preferred(header), tag, "{header}");
        }
    }

    #[test]
    fn a_range_fits_the_tags_it_begins() {
        for tag in ["pt", "pt-BR", "PT-br-x"] {
            assert!(range_fits("pt", tag), "{tag}");
        }
        for tag in ["p", "ptx", "en-pt", ""] {
            assert!(!range_fits("pt", tag), "{tag}");
        }
        assert!(!range_fits("pt-BR", "pt"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in any::<String>(), range in "[a-z-]{0,9}") {
            if let Some(tag) = preferred(&header) {
                prop_assert!(header.contains(tag));
                let _ = range_fits(&range, tag);
            }
        }
    }
}

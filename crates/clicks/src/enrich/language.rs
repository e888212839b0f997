//! `Accept-Language`.

use smol_str::SmolStr;

/// The language that is named first, in lower case and without its region: browsers write the one
/// that is liked best there.
pub(super) fn first(header: &str) -> Option<SmolStr> {
    let tag = header.split([',', ';']).next()?.trim();
    let language = tag.split(['-', '_']).next()?;
    let is_language = (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_language.then(|| language.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tag_without_its_region() {
        for (header, language) in [
            ("de-DE,de;q=0.9,en;q=0.8", Some("de")),
            ("EN", Some("en")),
            ("zh_Hant_TW", Some("zh")),
            (" fil ; q=1", Some("fil")),
            ("*", None),
            ("", None),
            ("d\u{e9}", None),
            ("verylonglanguage", None),
        ] {
            assert_eq!(first(header).as_deref(), language, "{header}");
        }
    }
}

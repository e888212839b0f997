use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The longest path that may still be a code: [`tollgate_links::MAX_CODE_CHARS`] characters of four
/// bytes, percent-encoded, with room for text that is not in its composed form.
const MAX_PATH_BYTES: usize = 4096;

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/`
    Root,
    /// `/robots.txt`
    Robots,
    /// `/favicon.ico`, which every browser asks for.
    Favicon,
    /// `/{code}`, or `/{code}/` as people paste it. Not known to be a code yet.
    Link(Cow<'a, str>),
    /// `/{code}+`
    Preview(Cow<'a, str>),
    /// `/{code}.qr` or `/{code}/qr`
    Qr(Cow<'a, str>),
    /// Nothing that could be here.
    Nowhere,
    /// Longer than anything that could be here.
    TooLong,
}

/// Reads a request's path. Does not allocate unless something is percent-encoded.
pub(super) fn route(path: &str) -> Route<'_> {
    if path.len() > MAX_PATH_BYTES {
        return Route::TooLong;
    }
    let Some(rest) = path.strip_prefix('/') else {
        // `OPTIONS *`
        return Route::Nowhere;
    };
    match rest {
        "" => return Route::Root,
        "robots.txt" => return Route::Robots,
        "favicon.ico" => return Route::Favicon,
        _ => {}
    }
    let (segment, wants_qr) = match rest.strip_suffix("/qr") {
        Some(segment) => (segment, true),
        None => (rest.strip_suffix('/').unwrap_or(rest), false),
    };
    if segment.is_empty() || segment.contains('/') {
        return Route::Nowhere;
    }
    let Ok(mut text) = percent_decode_str(segment).decode_utf8() else {
        return Route::Nowhere;
    };
    if wants_qr {
        return Route::Qr(text);
    }
    if cut(&mut text, "+") {
        return Route::Preview(text);
    }
    // No code ends so.
    if cut(&mut text, ".qr") {
        return Route::Qr(text);
    }
    Route::Link(text)
}

/// Whether it had this end, which it has no more.
fn cut(text: &mut Cow<'_, str>, end: &str) -> bool {
    if !text.ends_with(end) {
        return false;
    }
    let left = text.len() - end.len();
    match text {
        Cow::Borrowed(text) => *text = &text[..left],
        Cow::Owned(text) => text.truncate(left),
    }
    true
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn link(text: &str) -> Route<'_> {
        Route::Link(text.into())
    }

    #[test]
    fn fixed_paths() {
        assert_eq!(route("/"), Route::Root);
        assert_eq!(route("/robots.txt"), Route::Robots);
        assert_eq!(route("/favicon.ico"), Route::Favicon);
        assert_eq!(route("*"), Route::Nowhere);
        assert_eq!(route(""), Route::Nowhere);
    }

    #[test]
    fn codes_are_decoded_and_a_slash_at_the_end_is_no_difference() {
        assert_eq!(route("/abc"), link("abc"));
        assert!(matches!(route("/abc"), Route::Link(Cow::Borrowed(_))));
        assert_eq!(route("/abc/"), link("abc"));
        assert_eq!(route("/caf%C3%A9"), link("café"));
        assert_eq!(route("/a%2Fb"), link("a/b"), "refused later: no code");
        for nowhere in ["//", "/a/b", "/a//", "//a", "/%ff", "/%C3"] {
            assert_eq!(route(nowhere), Route::Nowhere, "{nowhere}");
        }
    }

    #[test]
    fn a_plus_at_the_end_asks_for_the_preview() {
        assert_eq!(route("/abc+"), Route::Preview("abc".into()));
        assert_eq!(route("/abc%2B"), Route::Preview("abc".into()));
        assert_eq!(route("/+"), Route::Preview("".into()));
        assert_eq!(route("/caf%C3%A9+"), Route::Preview("café".into()));
    }

    #[test]
    fn qr_at_the_end_asks_for_the_qr_code() {
        for path in ["/abc.qr", "/abc/qr", "/abc%2Eqr", "/abc.qr/"] {
            assert_eq!(route(path), Route::Qr("abc".into()), "{path}");
        }
        assert_eq!(route("/qr"), link("qr"));
        assert_eq!(route("/.qr"), Route::Qr("".into()));
        assert_eq!(route("//qr"), Route::Nowhere);
        assert_eq!(route("/a/b/qr"), Route::Nowhere);
        assert_eq!(route("/abc.QR"), link("abc.QR"));
    }

    #[test]
    fn the_longest_code_fits_in_the_bound() {
        let code = "%F0%90%90%80".repeat(tollgate_links::MAX_CODE_CHARS);
        assert!(matches!(route(&format!("/{code}")), Route::Link(_)));
        assert_eq!(route(&format!("/{}", "a".repeat(4096))), Route::TooLong);
    }

    proptest! {
        #[test]
        fn a_code_survives_its_encoding(
            code in r"[\p{L}\p{Nd}_.-]{1,128}",
            preview in any::<bool>(),
            slash in any::<bool>(),
        ) {
            prop_assume!(code != "robots.txt" && code != "favicon.ico" && !code.ends_with(".qr"));
            let encoded = utf8_percent_encode(&code, NON_ALPHANUMERIC);
            let plus = if preview { "+" } else { "" };
            let slash = if slash { "/" } else { "" };
            let path = format!("/{encoded}{plus}{slash}");
            let expected = match preview {
                true => Route::Preview(code.as_str().into()),
                false => Route::Link(code.as_str().into()),
            };
            prop_assert_eq!(route(&path), expected);
        }

        #[test]
        fn any_path_is_read(path in ".*") {
            let _ = route(&path);
        }
    }
}

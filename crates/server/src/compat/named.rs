//! Links as clients of other shorteners name them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use tollgate_links::{LinkKey, LinkService, without_port};

use crate::api::caller::Caller;
use crate::problem::Problem;

/// The link that a whole short link names, or `host/code`, or a code alone. `alias` is a host that
/// stands for the domain of the caller.
pub(super) fn link(
    caller: &Caller,
    service: &LinkService,
    text: &str,
    alias: Option<&str>,
) -> Result<LinkKey, Problem> {
    let (host, code) = parts(text);
    let host = host.filter(|host| alias.is_none_or(|alias| !host.eq_ignore_ascii_case(alias)));
    if let Some(host) = host
        && service.parts().domains.named(Some(host)).is_err()
    {
        let shown: String = host.chars().take(128).collect();
        return Err(Problem::no_such_link(format!(
            "{shown} is none of the domains of this service"
        )));
    }
    caller.link(service, host, &code)
}

/// The host, without its port, and the code.
fn parts(text: &str) -> (Option<&str>, Cow<'_, str>) {
    let text = text.trim();
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['?', '#']).next().unwrap_or_default();
    let Some((host, code)) = bare.split_once('/') else {
        return (None, bare.into());
    };
    let host = without_port(host);
    let code = percent_decode_str(code).decode_utf8_lossy();
    (Some(host).filter(|host| !host.is_empty()), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_links_are_taken_apart() {
        for (text, host, code) in [
            ("abc", None, "abc"),
            ("go.example/abc", Some("go.example"), "abc"),
            ("http://127.0.0.1:8080/abc", Some("127.0.0.1"), "abc"),
            ("https://go.example/%C3%A4?x=/y", Some("go.example"), "ä"),
            ("[::1]:8080/a", Some("[::1]"), "a"),
            ("[::1]/a", Some("[::1]"), "a"),
            ("/abc", None, "abc"),
            ("a/b/c", Some("a"), "b/c"),
            ("", None, ""),
            ("%ff", None, "%ff"),
        ] {
            assert_eq!(parts(text), (host, code.into()), "{text}");
        }
    }
}

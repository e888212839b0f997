//! Links: found, made, shown, edited, deleted.

pub(super) mod bulk;
pub(super) mod create;
mod draft;
pub(super) mod edit;
pub(super) mod list;
pub(super) mod one;
pub(super) mod remove;

use maud::{Markup, html};
use serde::Deserialize;
use tollgate_links::{LinkState, LinkView};

use super::client::{ApiPath, joined, push_parameter};
use super::visitor::Visitor;

/// Of which domain a link is, in the query of its pages.
#[derive(Deserialize)]
pub(super) struct Of {
    #[serde(default)]
    pub(super) domain: String,
}

/// Where a link is shown, or one of the pages below.
pub(super) fn address(link: &LinkView, below: &str) -> String {
    address_of(
        &link.code,
        link.domain.as_deref().unwrap_or_default(),
        below,
    )
}

fn address_of(code: &str, domain: &str, below: &str) -> String {
    let mut address = joined(&["links", code]);
    address.push_str(below);
    push_parameter(&mut address, "domain", domain);
    address
}

/// Where a link is shown that statistics name; none for the sum of others.
pub(super) fn address_of_value(value: &str) -> Option<String> {
    if value.starts_with('(') && value.ends_with(')') {
        return None;
    }
    Some(match value.split_once('/') {
        Some((domain, code)) => address_of(code, domain, ""),
        None => address_of(value, "", ""),
    })
}

/// A link in the API.
fn api(code: &str, domain: &str) -> ApiPath {
    ApiPath::new(["links", code]).with("domain", domain)
}

/// A target without its scheme, and not too long for a table.
pub(super) fn shortened(url: &str) -> String {
    const MOST: usize = 70;
    let bare = url.strip_prefix("https://").unwrap_or(url);
    if bare.chars().count() <= MOST {
        return bare.to_owned();
    }
    let start: String = bare.chars().take(MOST).collect();
    format!("{start}…")
}

/// What the link is good for now.
fn state(state: LinkState) -> Markup {
    let (class, text) = match state {
        LinkState::Live => ("badge good", "live"),
        LinkState::Pending => ("badge warn", "not yet"),
        LinkState::Expired => ("badge bad", "expired"),
        LinkState::UsedUp => ("badge bad", "used up"),
    };
    html! { span class=(class) { (text) } }
}

/// The domains a visitor may use, by host; the default one first.
pub(super) fn domains(visitor: &Visitor) -> Vec<(String, String)> {
    let domains = &visitor.dashboard.admin.service.parts().domains;
    let allowed = visitor.domains();
    let hosts = allowed.iter().map(|domain| domains.host_of(domain));
    hosts.map(|host| (host.clone(), host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_what_statistics_call_them() {
        let of = |value| address_of_value(value);
        assert_eq!(of("a b").as_deref(), Some("/links/a%20b"));
        assert_eq!(
            of("go.example/x").as_deref(),
            Some("/links/x?domain=go.example")
        );
        assert_eq!(of("(other)"), None);
        assert_eq!(shortened("https://a.example/"), "a.example/");
        assert_eq!(shortened(&"é".repeat(99)).chars().count(), 71);
    }
}

//! Whether a link that is there is the one that a row asks for.

use tollgate_links::{LinkDraft, LinkView, Rule, Tag};
use url::Url;

/// Whether it leads to the same target.
pub(super) fn same_target(draft: &LinkDraft, there: &LinkView) -> bool {
    Url::parse(&draft.url).is_ok_and(|url| url.as_str() == there.url)
}

/// The fields that the row sets, and that the link has otherwise.
pub(super) fn differences(draft: &LinkDraft, there: &LinkView) -> Vec<&'static str> {
    let title = draft.title.as_deref().map(str::trim);
    let redirect = draft.redirect.is_some() && draft.redirect != there.redirect;
    let starts_at = draft.starts_at.is_some() && draft.starts_at != there.starts_at;
    let expires_at = draft.expires_at.is_some() && draft.expires_at != there.expires_at;
    let max_clicks = draft.max_clicks.is_some() && draft.max_clicks != there.max_clicks;
    let title = title.is_some_and(|title| !title.is_empty()) && title != there.title.as_deref();
    let mut tags: Vec<String> = draft
        .tags
        .iter()
        .map(|tag| Tag::parse(tag).map_or_else(|_| tag.clone(), |tag| tag.to_string()))
        .collect();
    tags.sort();
    tags.dedup();
    let has_tags = !tags.is_empty() && tags != there.tags;
    let has_rules = !draft.rules.is_empty() && !same_rules(&draft.rules, &there.rules);
    [
        ("title", title),
        ("tags", has_tags),
        ("starts_at", starts_at),
        ("expires_at", expires_at),
        ("max_clicks", max_clicks),
        ("redirect", redirect),
        ("password", draft.password.is_some() && !there.has_password),
        ("forward_query", draft.forward_query && !there.forward_query),
        ("rules", has_rules),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

fn same_rules(wanted: &[Rule], there: &[Rule]) -> bool {
    let same = |(wanted, there): (&Rule, &Rule)| {
        wanted.conditions == there.conditions
            && Url::parse(&wanted.target).is_ok_and(|url| url.as_str() == there.target)
    };
    wanted.len() == there.len() && wanted.iter().zip(there).all(same)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_a_row_sets_is_compared() {
        let there: LinkView = serde_json::from_value(json!({
            "code": "a", "short_url": "https://s.example/a", "url": "https://a.example/",
            "state": "live", "has_password": false, "tags": ["news"], "title": "A",
            "forward_query": true, "rules": [], "origin": "alias", "version": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "created_by": "k",
        }))
        .unwrap();
        let mut draft = LinkDraft {
            url: "https://a.example".to_owned(),
            ..LinkDraft::default()
        };
        assert!(same_target(&draft, &there));
        assert!(differences(&draft, &there).is_empty());
        draft.tags = vec![" News".to_owned()];
        draft.title = Some("A ".to_owned());
        assert!(differences(&draft, &there).is_empty());
        draft.title = Some("B".to_owned());
        draft.max_clicks = Some(3);
        draft.password = Some("x".into());
        assert_eq!(
            differences(&draft, &there),
            ["title", "max_clicks", "password"]
        );
        draft.url = "https://b.example/".to_owned();
        assert!(!same_target(&draft, &there));
    }
}

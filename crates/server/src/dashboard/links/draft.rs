//! The form of a link, and what it asks the API for.

use maud::{Markup, html};
use serde_json::{Map, Value, json};
use tollgate_links::LinkView;

use crate::dashboard::client::Refusal;
use crate::dashboard::form::{Fields, Input, area, moment, select, tick};

const RULES_HINT: &str = r#"JSON: a list, tried in its order, such as [{"if": [{"type": "os", "is": "ios"}], "url": "https://example.com/app"}]. Conditions: device, os, language, query, date, percent."#;

/// The redirects to choose from.
const REDIRECTS: [(&str, &str); 5] = [
    ("", "As configured"),
    ("302", "302: every click is seen"),
    ("301", "301: browsers remember it"),
    ("307", "307: as 302, the method stays"),
    ("308", "308: as 301, the method stays"),
];

/// What the fields of the form hold: as they were sent, or as the link is.
#[derive(Default)]
pub(super) struct Values {
    pub(super) url: String,
    pub(super) title: String,
    pub(super) tags: String,
    pub(super) starts_at: String,
    pub(super) expires_at: String,
    pub(super) max_clicks: String,
    pub(super) redirect: String,
    pub(super) forward_query: bool,
    pub(super) rules: String,
}

impl Values {
    pub(super) fn sent(fields: &Fields) -> Self {
        let text = |name| fields.text(name).to_owned();
        Self {
            url: text("url"),
            title: text("title"),
            tags: text("tags"),
            starts_at: text("starts_at"),
            expires_at: text("expires_at"),
            max_clicks: text("max_clicks"),
            redirect: text("redirect"),
            forward_query: fields.is_set("forward_query"),
            rules: text("rules"),
        }
    }

    pub(super) fn of(link: &LinkView) -> Self {
        let local = |at: Option<tollgate_clock::UnixMillis>| {
            let text = at.map(|at| at.to_string()).unwrap_or_default();
            text.trim_end_matches('Z').to_owned()
        };
        let rules = if link.rules.is_empty() {
            String::new()
        } else {
            serde_json::to_string_pretty(&link.rules).unwrap_or_default()
        };
        Self {
            url: link.url.clone(),
            title: link.title.clone().unwrap_or_default(),
            tags: link.tags.join(", "),
            starts_at: local(link.starts_at),
            expires_at: local(link.expires_at),
            max_clicks: link.max_clicks.map(|n| n.to_string()).unwrap_or_default(),
            redirect: link.redirect.map(|n| n.to_string()).unwrap_or_default(),
            forward_query: link.forward_query,
            rules,
        }
    }

    /// Every field as the API wants it; `null` where it is empty.
    pub(super) fn json(&self) -> Result<Map<String, Value>, Refusal> {
        let text = |text: &str| {
            if text.is_empty() {
                Value::Null
            } else {
                json!(text)
            }
        };
        // What is no number is sent as it is, so that the API says what is wrong with it.
        let number = |given: &str| {
            given
                .parse::<u64>()
                .map_or_else(|_| text(given), Value::from)
        };
        let tags = self.tags.split(',').map(str::trim);
        let tags: Vec<&str> = tags.filter(|tag| !tag.is_empty()).collect();
        let rules: Value = if self.rules.is_empty() {
            json!([])
        } else {
            serde_json::from_str(&self.rules)
                .map_err(|error| Refusal::of_field("rules", format!("this is not JSON: {error}")))?
        };
        let mut all = Map::new();
        all.insert("url".to_owned(), json!(self.url));
        all.insert("title".to_owned(), text(&self.title));
        all.insert("tags".to_owned(), json!(tags));
        all.insert("starts_at".to_owned(), text(&moment(&self.starts_at)));
        all.insert("expires_at".to_owned(), text(&moment(&self.expires_at)));
        all.insert("max_clicks".to_owned(), number(&self.max_clicks));
        all.insert("redirect".to_owned(), number(&self.redirect));
        all.insert("forward_query".to_owned(), json!(self.forward_query));
        all.insert("rules".to_owned(), rules);
        Ok(all)
    }

    /// The fields that few links need.
    pub(super) fn more(&self, refusal: Option<&Refusal>) -> Markup {
        let redirects = REDIRECTS.map(|(value, name)| (value.to_owned(), name.to_owned()));
        html! {
            div.pair {
                (Input { name: "starts_at", label: "Can be used from", value: &self.starts_at, kind: "datetime-local", hint: "In UTC. Empty: at once.", ..Input::default() }.show(refusal))
                (Input { name: "expires_at", label: "Is gone from", value: &self.expires_at, kind: "datetime-local", hint: "In UTC. Empty: never.", ..Input::default() }.show(refusal))
                (Input { name: "max_clicks", label: "Most clicks", value: &self.max_clicks, kind: "number", hint: "Counted exactly; then it is gone. Empty: any number.", ..Input::default() }.show(refusal))
                (select("redirect", "Redirect", &self.redirect, &redirects))
            }
            (tick("forward_query", "yes", "Add the query of the request to that of the target", self.forward_query))
            (area("rules", "Rules: other targets for some visitors", &self.rules, RULES_HINT, 10, refusal))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_clear_and_times_are_utc() {
        let values = Values {
            url: "https://a.example".to_owned(),
            tags: " a,, b ".to_owned(),
            expires_at: "2030-01-31T12:00".to_owned(),
            max_clicks: "many".to_owned(),
            redirect: "307".to_owned(),
            ..Values::default()
        };
        let json = Value::Object(values.json().unwrap());
        assert_eq!(
            json,
            json!({
                "url": "https://a.example", "title": null, "tags": ["a", "b"],
                "starts_at": null, "expires_at": "2030-01-31T12:00:00Z",
                "max_clicks": "many", "redirect": 307, "forward_query": false, "rules": [],
            })
        );
        assert_eq!(moment("2030-01-31T12:00:30"), "2030-01-31T12:00:30Z");
        assert_eq!(moment(""), "");
    }

    #[test]
    fn rules_that_are_no_json_are_refused_at_their_field() {
        let rules = "[{".to_owned();
        let refusal = Values {
            rules,
            ..Values::default()
        }
        .json()
        .unwrap_err();
        assert!(refusal.reason("rules").unwrap().contains("line 1"));
    }
}

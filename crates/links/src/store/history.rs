//! What a history entry says about a change, the same in every store.

use serde_json::{Map, Value, json};

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
use super::{Edit, EditAction};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
use crate::Link;
use crate::LinkSpec;

/// The fields that differ, as `{"field": [before, after]}` under the names the API uses. An absent
/// side is a link that was not there yet, or is gone.
///
/// Of a password it tells only whether one was set: a hash in a history could be cracked offline
/// by everyone who may read histories.
#[must_use]
pub fn changes(before: Option<&LinkSpec>, after: Option<&LinkSpec>) -> Value {
    let old = before.map(fields).unwrap_or_default();
    let new = after.map(fields).unwrap_or_default();
    let password_replaced =
        before.and_then(|s| s.password.as_ref()) != after.and_then(|s| s.password.as_ref());
    let mut diff = Map::new();
    for name in FIELDS {
        let was = old.get(name).cloned().unwrap_or(Value::Null);
        let is = new.get(name).cloned().unwrap_or(Value::Null);
        if was != is || (name == "password" && password_replaced) {
            diff.insert(name.to_owned(), json!([was, is]));
        }
    }
    Value::Object(diff)
}

/// The creation of a link that was never edited: it stands in no row, but follows from the link.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
pub(super) fn creation(link: &Link) -> Option<Edit> {
    (link.version == 1).then(|| Edit {
        at: link.created_at,
        actor: link.created_by.clone(),
        action: EditAction::Created,
        version: 1,
        changes: changes(None, Some(&link.spec)),
    })
}

const FIELDS: [&str; 10] = [
    "url",
    "starts_at",
    "expires_at",
    "max_clicks",
    "redirect",
    "password",
    "tags",
    "title",
    "forward_query",
    "rules",
];

/// The fields that were chosen; those left at their default are missing.
fn fields(spec: &LinkSpec) -> Map<String, Value> {
    // A destructuring, so that a new field of the spec cannot be forgotten here.
    let LinkSpec {
        target,
        starts_at,
        expires_at,
        max_clicks,
        redirect,
        password,
        tags,
        title,
        forward_query,
        rules,
    } = spec;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("url", Some(json!(target.as_str())));
    put("starts_at", starts_at.map(|at| json!(at)));
    put("expires_at", expires_at.map(|at| json!(at)));
    put("max_clicks", max_clicks.map(|max| json!(max)));
    put("redirect", redirect.map(|kind| json!(kind)));
    put("password", password.as_ref().map(|_| json!("set")));
    put("tags", (!tags.is_empty()).then(|| json!(tags)));
    put("title", title.as_ref().map(|title| json!(title)));
    put("forward_query", forward_query.then_some(Value::Bool(true)));
    put("rules", (!rules.is_empty()).then(|| json!(rules)));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PasswordHash, TargetUrl};

    fn spec() -> LinkSpec {
        LinkSpec::to(TargetUrl::from_stored("https://a.example/"))
    }

    #[test]
    fn names_only_what_changed() {
        let mut after = spec();
        after.title = Some("A".into());
        assert_eq!(
            changes(Some(&spec()), Some(&after)),
            json!({"title": [null, "A"]})
        );
        assert_eq!(
            changes(Some(&after), None),
            json!({"url": ["https://a.example/", null], "title": ["A", null]})
        );
        assert_eq!(changes(Some(&after), Some(&after)), json!({}));
    }

    #[test]
    fn a_password_is_only_set_or_not_set() {
        let with = |phc: &str| {
            let mut spec = spec();
            spec.password = Some(PasswordHash::from_phc(phc));
            spec
        };
        let replaced = changes(Some(&with("$argon2id$one")), Some(&with("$argon2id$two")));
        assert_eq!(replaced, json!({"password": ["set", "set"]}));
        assert_eq!(
            changes(Some(&with("$argon2id$one")), Some(&spec())),
            json!({"password": ["set", null]})
        );
    }
}

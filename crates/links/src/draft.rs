//! What a caller asks for, before it is checked: the API's and the command line's common language.

use serde::{Deserialize, Deserializer, Serialize};
use tollgate_clock::UnixMillis;

use crate::{HiddenText, Origin, Rule, StrategyKind};

/// A link somebody wants. Every field is as the caller wrote it; [`crate::SpecRules`] checks it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkDraft {
    /// Where the link leads.
    pub url: String,
    /// The wanted alias; a strategy makes the code if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The host it lives on; that of `links.base_url` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// From when on it can be used (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<UnixMillis>,
    /// From when on it is gone (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<UnixMillis>,
    /// After how many clicks it is gone; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub max_clicks: Option<u64>,
    /// 301, 302, 307 or 308; the configured default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline, value_type = Option<RedirectStatus>))]
    pub redirect: Option<u16>,
    /// Asked for before the redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub password: Option<HiddenText>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// For people; shown on the preview page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Merge the request's query into the target's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward_query: bool,
    /// Other targets for some visitors; the first that fits wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Answer an equal link if there is one, instead of making another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// How the code is made; the configured default if absent. Not with `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyKind>,
    /// For imports: when the link was first made; now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub created_at: Option<UnixMillis>,
    /// For imports: clicks already taken of `max_clicks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicks_used: Option<u64>,
    /// For imports of an export: what a new link would have otherwise. Only with `created_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restored>,
}

/// What an export tells of a link, and what nobody can choose for a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Where the code came from.
    pub origin: Origin,
    /// The identifier of the API key that made it.
    pub created_by: String,
    /// When it was last edited.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: UnixMillis,
    /// Grows by 1 with each edit; at least 1.
    pub version: u64,
    /// The hash of its password: argon2id, as a PHC string. Not with `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub password_hash: Option<HiddenText>,
}

/// An edit: fields that are absent stay, `null` clears, a value replaces (RFC 7396). The target
/// cannot be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkPatch {
    /// Where the link leads.
    #[serde(
        default,
        deserialize_with = "needed",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    pub url: Option<String>,
    /// From when on it can be used (RFC 3339).
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<Option<UnixMillis>>,
    /// From when on it is gone (RFC 3339).
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Option<UnixMillis>>,
    /// After how many clicks it is gone; at least 1.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, minimum = 1))]
    pub max_clicks: Option<Option<u64>>,
    /// 301, 302, 307 or 308.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(inline, value_type = Option<RedirectStatus>))]
    pub redirect: Option<Option<u16>>,
    /// Asked for before the redirect.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub password: Option<Option<HiddenText>>,
    /// Labels; replaces them all.
    #[serde(
        default,
        deserialize_with = "cleared",
        skip_serializing_if = "Option::is_none"
    )]
    pub tags: Option<Vec<String>>,
    /// For people; shown on the preview page.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub title: Option<Option<String>>,
    /// Merge the request's query into the target's.
    #[serde(
        default,
        deserialize_with = "cleared",
        skip_serializing_if = "Option::is_none"
    )]
    pub forward_query: Option<bool>,
    /// Other targets for some visitors; replaces them all.
    #[serde(
        default,
        deserialize_with = "cleared",
        skip_serializing_if = "Option::is_none"
    )]
    pub rules: Option<Vec<Rule>>,
}

/// A status that a redirect can have.
#[cfg(feature = "openapi")]
struct RedirectStatus;

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for RedirectStatus {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let number = utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer);
        number.enum_values(Some([301, 302, 307, 308])).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for RedirectStatus {}

/// Tells `null` (`Some(None)`) from absent (`None`), for serde's `deserialize_with`.
///
/// # Errors
/// Those of the field.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Reads `null` as the value of a field that is not set.
fn cleared<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

/// Refuses `null`: nothing could stand in for the value.
fn needed<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What is wrong with one field of a draft or patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// The field's name in the API, such as `url` or `rules[2].url`.
    pub field: String,
    /// What is wrong and what to do, for people.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_password() {
        let draft = r#"{"url": "u", "password": "tanuki", "created_at": "2030-01-31T12:00:00Z", "restore":
            {"origin": "alias", "created_by": "a", "updated_at": "2030-01-31T12:00:00Z", "version": 1, "password_hash": "tanuki"}}"#;
        let draft: LinkDraft = serde_json::from_str(draft).unwrap();
        let patch: LinkPatch = serde_json::from_str(r#"{"password": "tanuki"}"#).unwrap();
        let shown = format!("{draft:?} {patch:?} {:#?}", Some(&draft));
        assert!(!shown.contains("tanuki"), "{shown}");
        let sent = serde_json::to_string(&draft).unwrap();
        assert_eq!(sent.matches("tanuki").count(), 2, "{sent}");
    }

    #[test]
    fn null_clears_what_can_be_cleared() {
        let patch: LinkPatch =
            serde_json::from_str(r#"{"tags":null,"rules":null,"forward_query":null,"title":null}"#)
                .unwrap();
        let cleared = LinkPatch {
            tags: Some(Vec::new()),
            rules: Some(Vec::new()),
            forward_query: Some(false),
            title: Some(None),
            ..LinkPatch::default()
        };
        assert_eq!(patch, cleared);
        assert!(serde_json::from_str::<LinkPatch>(r#"{"url":null}"#).is_err());
        let nothing: LinkPatch = serde_json::from_str("{}").unwrap();
        assert_eq!(nothing, LinkPatch::default());
    }
}

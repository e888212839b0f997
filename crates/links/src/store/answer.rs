//! What is remembered with an idempotency token, the same in all engines with rows.

use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;

use crate::{
    Code, Domain, Link, LinkKey, LinkSpec, Origin, PasswordHash, RedirectKind, Rule, Tag, TargetUrl,
};

/// What a token was used for; the numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Insert = 0,
    Update = 1,
    Delete = 2,
}

/// What a token that comes with a write means.
pub(super) enum Seen {
    New,
    /// Used for the same; the link as it was answered then, unless that was a deletion.
    Before(Option<Box<Link>>),
    Mismatch,
}

/// A link as the column keeps it.
pub(super) fn answer_column(link: &Link) -> serde_json::Result<String> {
    serde_json::to_string(&Answer::from(link))
}

/// Reads [`answer_column`].
pub(super) fn read_answer(json: &str) -> serde_json::Result<Link> {
    serde_json::from_str::<Answer>(json).map(Link::from)
}

/// A link as it was answered: whole, because it may be edited or gone when it is asked for again.
#[derive(Serialize, Deserialize)]
struct Answer {
    domain: Box<str>,
    code: Box<str>,
    url: Box<str>,
    origin: Origin,
    created_ms: i64,
    updated_ms: i64,
    created_by: String,
    version: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    clicks_used: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_clicks: Option<std::num::NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect: Option<RedirectKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forward_query: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Rule>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&Link> for Answer {
    fn from(link: &Link) -> Self {
        let spec = &link.spec;
        Self {
            domain: link.key.domain.as_str().into(),
            code: link.key.code.as_str().into(),
            url: spec.target.as_str().into(),
            origin: link.origin,
            created_ms: link.created_at.as_millis(),
            updated_ms: link.updated_at.as_millis(),
            created_by: link.created_by.clone(),
            version: link.version,
            clicks_used: link.clicks_used,
            starts_ms: spec.starts_at.map(UnixMillis::as_millis),
            expires_ms: spec.expires_at.map(UnixMillis::as_millis),
            max_clicks: spec.max_clicks,
            redirect: spec.redirect,
            password: spec.password.as_ref().map(|hash| hash.as_phc().into()),
            tags: spec.tags.iter().map(|tag| tag.as_str().into()).collect(),
            title: spec.title.clone(),
            forward_query: spec.forward_query,
            rules: spec.rules.clone(),
        }
    }
}

impl From<Answer> for Link {
    fn from(answer: Answer) -> Self {
        Self {
            key: LinkKey {
                domain: Domain::from_stored(&answer.domain),
                code: Code::from_stored(answer.code),
            },
            spec: LinkSpec {
                target: TargetUrl::from_stored(answer.url),
                starts_at: answer.starts_ms.map(UnixMillis::from_millis),
                expires_at: answer.expires_ms.map(UnixMillis::from_millis),
                max_clicks: answer.max_clicks,
                redirect: answer.redirect,
                password: answer.password.map(PasswordHash::from_phc),
                tags: answer
                    .tags
                    .iter()
                    .map(|tag| Tag::from_stored(tag))
                    .collect(),
                title: answer.title,
                forward_query: answer.forward_query,
                rules: answer.rules,
            },
            origin: answer.origin,
            created_at: UnixMillis::from_millis(answer.created_ms),
            updated_at: UnixMillis::from_millis(answer.updated_ms),
            created_by: answer.created_by,
            version: answer.version,
            clicks_used: answer.clicks_used,
        }
    }
}

//! Drafts become specs here, and nowhere else: every field is checked and all that is wrong is
//! told at once.

use std::fmt::Display;
use std::num::NonZeroU64;

use tollgate_clock::UnixMillis;

use crate::rule::{MAX_CONDITION_CHARS, MAX_CONDITIONS};
use crate::tag::MAX_TAGS;
use crate::{
    Condition, FieldError, LinkDraft, LinkPatch, LinkSpec, MAX_RULES, PasswordHasher, RedirectKind,
    Restored, Rule, Tag, TargetRules, TargetUrl,
};

/// The longest password, in bytes: hashing must not become work for whoever sends megabytes.
pub const MAX_PASSWORD_BYTES: usize = 256;
/// The longest identifier of an author, in bytes.
const MAX_AUTHOR_BYTES: usize = 128;
/// The longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 512;

/// The bounds a link's fields have to keep.
#[derive(Debug, Clone)]
pub struct SpecRules {
    /// What targets are allowed.
    pub targets: TargetRules,
    /// How passwords are hashed.
    pub passwords: PasswordHasher,
}

impl SpecRules {
    /// Checks a draft's fields but `code`, `domain` and `strategy`. Hashing a password takes tens
    /// of milliseconds of CPU: call it where that may block.
    ///
    /// An end in the past is refused, unless `created_at` tells that this is an import, which
    /// brings expired links along.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn spec(&self, draft: &LinkDraft, now: UnixMillis) -> Result<LinkSpec, Vec<FieldError>> {
        let mut wrong = Wrong::default();
        let target = wrong.keep("url", self.targets.parse(&draft.url));
        let max_clicks = draft.max_clicks.and_then(|max| wrong.max_clicks(max));
        let redirect = draft.redirect.and_then(|status| wrong.redirect(status));
        let tags = wrong.tags(&draft.tags);
        let title = draft.title.as_deref().and_then(|title| wrong.title(title));
        let rules = wrong.rules(&draft.rules, &self.targets);
        wrong.times(draft.starts_at, draft.expires_at);
        match draft.created_at {
            Some(at) if at > now => wrong.tell("created_at", "cannot be in the future"),
            None if draft.expires_at.is_some_and(|at| at <= now) => {
                wrong.tell("expires_at", "is in the past: the link would never work");
            }
            _ => {}
        }
        if draft.clicks_used.is_some() && draft.max_clicks.is_none() {
            wrong.tell(
                "clicks_used",
                "is counted only with max_clicks: set that too",
            );
        }
        let restored = draft
            .restore
            .as_ref()
            .and_then(|restored| self.restored(draft, restored, &mut wrong));
        let password = self
            .password(draft.password.as_deref(), &mut wrong)
            .or(restored);
        match target {
            Some(target) if wrong.0.is_empty() => Ok(LinkSpec {
                target,
                starts_at: draft.starts_at,
                expires_at: draft.expires_at,
                max_clicks,
                redirect,
                password,
                tags,
                title,
                forward_query: draft.forward_query,
                rules,
            }),
            _ => Err(wrong.0),
        }
    }

    /// Applies a patch to a spec. An end in the past is fine: it ends the link now.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn patched(&self, spec: &LinkSpec, patch: &LinkPatch) -> Result<LinkSpec, Vec<FieldError>> {
        let mut wrong = Wrong::default();
        let mut spec = spec.clone();
        if let Some(url) = &patch.url
            && let Some(target) = wrong.keep("url", self.targets.parse(url))
        {
            spec.target = target;
        }
        if let Some(starts_at) = patch.starts_at {
            spec.starts_at = starts_at;
        }
        if let Some(expires_at) = patch.expires_at {
            spec.expires_at = expires_at;
        }
        if patch.starts_at.is_some() || patch.expires_at.is_some() {
            wrong.times(spec.starts_at, spec.expires_at);
        }
        if let Some(max) = patch.max_clicks {
            spec.max_clicks = max.and_then(|max| wrong.max_clicks(max));
        }
        if let Some(status) = patch.redirect {
            spec.redirect = status.and_then(|status| wrong.redirect(status));
        }
        if let Some(tags) = &patch.tags {
            spec.tags = wrong.tags(tags);
        }
        if let Some(title) = &patch.title {
            spec.title = title.as_deref().and_then(|title| wrong.title(title));
        }
        if let Some(forward_query) = patch.forward_query {
            spec.forward_query = forward_query;
        }
        if let Some(rules) = &patch.rules {
            spec.rules = wrong.rules(rules, &self.targets);
        }
        if let Some(password) = &patch.password {
            spec.password = self.password(password.as_deref(), &mut wrong);
        }
        if wrong.0.is_empty() {
            Ok(spec)
        } else {
            Err(wrong.0)
        }
    }

    /// Checks what an export tells; answers the hash of the password.
    fn restored(
        &self,
        draft: &LinkDraft,
        restored: &Restored,
        wrong: &mut Wrong,
    ) -> Option<crate::PasswordHash> {
        match draft.created_at {
            None => wrong.tell("restore", "only with created_at: an export has it"),
            Some(made) if restored.updated_at < made => {
                wrong.tell(
                    "restore.updated_at",
                    format_args!("is before created_at, {made}"),
                );
            }
            Some(_) => {}
        }
        // Stores count in signed 64-bit integers.
        if restored.version == 0 || i64::try_from(restored.version).is_err() {
            wrong.tell("restore.version", format_args!("is 1 to {}", i64::MAX));
        }
        let by = restored.created_by.as_str();
        if by.len() > MAX_AUTHOR_BYTES || by.chars().any(char::is_control) {
            wrong.tell(
                "restore.created_by",
                format_args!("has at most {MAX_AUTHOR_BYTES} bytes, and no control characters"),
            );
        }
        let hash = restored.password_hash.as_deref()?;
        if draft.password.is_some() {
            wrong.tell(
                "restore.password_hash",
                "a password is given, too: leave one out",
            );
        }
        wrong.keep("restore.password_hash", self.passwords.adopt(hash))
    }

    /// Hashes only if nothing else is wrong: a refused request shall be cheap.
    fn password(&self, password: Option<&str>, wrong: &mut Wrong) -> Option<crate::PasswordHash> {
        let password = password?;
        if !(1..=MAX_PASSWORD_BYTES).contains(&password.len()) {
            wrong.tell(
                "password",
                format_args!(
                    "has 1 to {MAX_PASSWORD_BYTES} bytes, not {}",
                    password.len()
                ),
            );
        }
        if !wrong.0.is_empty() {
            return None;
        }
        wrong.keep("password", self.passwords.hash(password))
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn tell(&mut self, field: impl Into<String>, reason: impl Display) {
        self.0.push(FieldError {
            field: field.into(),
            reason: reason.to_string(),
        });
    }

    fn keep<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.tell(field, error)).ok()
    }

    fn times(&mut self, starts_at: Option<UnixMillis>, expires_at: Option<UnixMillis>) {
        if let (Some(starts), Some(expires)) = (starts_at, expires_at)
            && starts >= expires
        {
            self.tell(
                "expires_at",
                format_args!("must be after starts_at, {starts}"),
            );
        }
    }

    fn max_clicks(&mut self, max: u64) -> Option<NonZeroU64> {
        // Stores count in signed 64-bit integers.
        let max = NonZeroU64::new(max).filter(|max| i64::try_from(max.get()).is_ok());
        if max.is_none() {
            self.tell("max_clicks", format_args!("is 1 to {}", i64::MAX));
        }
        max
    }

    fn redirect(&mut self, status: u16) -> Option<RedirectKind> {
        let kind = RedirectKind::try_from(status)
            .map_err(|_| format!("is one of 301, 302, 307 and 308, not {status}"));
        self.keep("redirect", kind)
    }

    fn tags(&mut self, texts: &[String]) -> Vec<Tag> {
        if texts.len() > MAX_TAGS {
            self.tell(
                "tags",
                format_args!("are at most {MAX_TAGS}, not {}", texts.len()),
            );
            return Vec::new();
        }
        let mut tags = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            tags.extend(self.keep(&format!("tags[{index}]"), Tag::parse(text)));
        }
        tags.sort();
        tags.dedup();
        tags
    }

    /// Trimmed; nothing left is no title.
    fn title(&mut self, text: &str) -> Option<String> {
        let title = text.trim();
        let chars = title.chars().count();
        if chars > MAX_TITLE_CHARS {
            self.tell(
                "title",
                format_args!("has at most {MAX_TITLE_CHARS} characters, not {chars}"),
            );
        }
        if title.chars().any(char::is_control) {
            self.tell(
                "title",
                "cannot hold control characters such as tabs and line breaks",
            );
        }
        (!title.is_empty()).then(|| title.to_owned())
    }

    fn rules(&mut self, rules: &[Rule], targets: &TargetRules) -> Vec<Rule> {
        if rules.len() > MAX_RULES {
            self.tell(
                "rules",
                format_args!("are at most {MAX_RULES}, not {}", rules.len()),
            );
            return Vec::new();
        }
        let mut checked = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let target = self.keep(&format!("rules[{index}].url"), targets.parse(&rule.target));
            if rule.conditions.len() > MAX_CONDITIONS {
                self.tell(
                    format!("rules[{index}].if"),
                    format_args!(
                        "has at most {MAX_CONDITIONS} conditions, not {}",
                        rule.conditions.len()
                    ),
                );
                continue;
            }
            for (nth, condition) in rule.conditions.iter().enumerate() {
                self.condition(&format!("rules[{index}].if[{nth}]"), condition);
            }
            checked.extend(target.map(|target: TargetUrl| Rule {
                conditions: rule.conditions.clone(),
                target: target.to_string(),
            }));
        }
        checked
    }

    fn condition(&mut self, place: &str, condition: &Condition) {
        match condition {
            Condition::Device { .. } | Condition::Os { .. } => {}
            Condition::Language { is } => {
                if !is_language_range(is) {
                    let reason = format!("{:?} is no language tag such as pt or pt-BR", shown(is));
                    self.tell(format!("{place}.is"), reason);
                }
            }
            Condition::Query { name, value } => {
                let too_long = |text: &str| text.chars().count() > MAX_CONDITION_CHARS;
                if name.is_empty() || too_long(name) {
                    self.tell(
                        format!("{place}.name"),
                        format_args!("has 1 to {MAX_CONDITION_CHARS} characters"),
                    );
                }
                if value.as_deref().is_some_and(too_long) {
                    self.tell(
                        format!("{place}.value"),
                        format_args!("has at most {MAX_CONDITION_CHARS} characters"),
                    );
                }
            }
            Condition::Date { from, until } => match (from, until) {
                (None, None) => self.tell(place, "needs from, until or both"),
                (Some(from), Some(until)) if from >= until => {
                    self.tell(
                        format!("{place}.until"),
                        format_args!("must be after from, {from}"),
                    );
                }
                _ => {}
            },
            Condition::Percent { share } => {
                if !(1..=100).contains(share) {
                    self.tell(
                        format!("{place}.share"),
                        format_args!("is 1 to 100, not {share}"),
                    );
                }
            }
        }
    }
}

/// A basic language range of RFC 4647, but `*`, which would say nothing.
fn is_language_range(text: &str) -> bool {
    let mut subtags = text.split('-');
    let fits = |subtag: &str| (1..=8).contains(&subtag.len());
    subtags
        .next()
        .is_some_and(|first| fits(first) && first.bytes().all(|b| b.is_ascii_alphabetic()))
        && subtags.all(|subtag| fits(subtag) && subtag.bytes().all(|b| b.is_ascii_alphanumeric()))
        && text.len() <= MAX_CONDITION_CHARS
}

/// The beginning of a text, short enough for an error.
fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests;

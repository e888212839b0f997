//! What an entry says.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate_clock::UnixMillis;

use crate::Action;

/// The longest text that is kept whole, in bytes. Of a longer one (policies, rules) its beginning is kept, its
/// length and its SHA-256.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The longest user agent that is kept, in characters.
const MAX_USER_AGENT: usize = 256;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// Whoever holds an API key.
    Key {
        /// Its identifier.
        id: String,
        /// Its name.
        name: String,
    },
    /// A person who signed in at a provider.
    Person {
        /// The identifier of their key.
        id: String,
        /// Their name.
        name: String,
        /// The provider, and its name for them.
        subject: String,
    },
    /// A user of the operating system, by the command line and without a server.
    User {
        /// The user's name, or number.
        name: String,
    },
    /// The server itself.
    Server,
    /// Somebody who has not shown who they are.
    Nobody,
}

/// By which way it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The API.
    Api,
    /// A page of the dashboard.
    Dashboard,
    /// The API of Shlink.
    Shlink,
    /// The API of YOURLS.
    Yourls,
    /// The API of Bitly.
    Bitly,
    /// The command line, on the files themselves.
    CommandLine,
    /// Nobody asked: the server did it.
    Server,
}

/// From where it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// By which way.
    pub via: Via,
    /// The address of the client, as trusted proxies tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What the client says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The identifier of the request, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Origin {
    /// Not from a request.
    #[must_use]
    pub const fn local(via: Via) -> Self {
        Self {
            via,
            address: None,
            user_agent: None,
            request_id: None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, and nothing was changed.
    Refused,
}

/// A text that names no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use done or refused")]
pub struct UnknownOutcome;

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = [Self::Done, Self::Refused].into_iter();
        all.find(|outcome| outcome.as_str() == text)
            .ok_or(UnknownOutcome)
    }
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what: the host and code of a link, the identifier of a key or a webhook, the domain of policies.
    pub resource: String,
    /// Changed fields with the value before and after, as `{"field": [before, after]}`, without secrets.
    pub changes: Value,
    /// From where.
    pub from: Origin,
    /// What came of it.
    pub result: Outcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    /// The text that is kept, and hashed: JSON with sorted names, and no text in it that is too long.
    pub(crate) fn text(&self) -> String {
        // Structs, texts and numbers: this cannot fail.
        let mut entry = serde_json::to_value(self).unwrap_or_default();
        bound(&mut entry["changes"]);
        if let Some(agent) = &self.from.user_agent {
            let cut: String = agent.chars().take(MAX_USER_AGENT).collect();
            entry["from"]["user_agent"] = cut.into();
        }
        entry.to_string()
    }
}

/// Cuts texts that are too long.
fn bound(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            let digest = Sha256::digest(text.as_bytes());
            let hex = base16ct::lower::encode_string(&digest);
            let end = text.floor_char_boundary(MAX_TEXT_BYTES);
            let length = text.len();
            *text = format!("{}… ({length} bytes, SHA-256 {hex})", &text[..end]);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        Value::Object(fields) => fields.values_mut().for_each(bound),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_reads_back_and_long_texts_are_cut() {
        let entry = Entry {
            at: UnixMillis::from_millis(1_800_000_000_123),
            actor: Actor::Key {
                id: "key_1".into(),
                name: "a\n\u{1b}[31m".into(),
            },
            action: Action::PoliciesSet,
            resource: "http".into(),
            changes: json!({"yaml": [null, "é".repeat(MAX_TEXT_BYTES)], "a": [1, [true]]}),
            from: Origin {
                via: Via::Api,
                address: Some("2001:db8::1".parse().unwrap()),
                user_agent: Some("x".repeat(1_000)),
                request_id: None,
            },
            result: Outcome::Done,
            reason: None,
        };
        let text = entry.text();
        assert!(text.len() < MAX_TEXT_BYTES + 1_000, "{}", text.len());
        assert!(text.is_ascii() || text.contains('é'));
        assert!(!text.contains('\n') && !text.contains('\u{1b}'));
        let read: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(read.at, entry.at);
        assert_eq!(read.actor, entry.actor);
        assert_eq!(read.from.user_agent.unwrap().len(), MAX_USER_AGENT);
        assert_eq!(read.changes["a"], json!([1, [true]]));
        let cut = read.changes["yaml"][1].as_str().unwrap().to_owned();
        assert!(cut.contains("(32768 bytes, SHA-256 "), "{}", &cut[16_000..]);
    }
}

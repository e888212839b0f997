//! What can be done.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! actions {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        /// One kind of administrative act.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[doc = $doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name: what it is done to, a dot, and what is done.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// A link was made.
    LinkCreate = "link.create";
    /// A link was edited.
    LinkUpdate = "link.update";
    /// A link was deleted by somebody; not by its expiry.
    LinkDelete = "link.delete";
    /// Clicks of another shortener were counted.
    ClicksImport = "clicks.import";
    /// The clicks of a link were deleted.
    ClicksDelete = "clicks.delete";
    /// An API key was made.
    KeyCreate = "key.create";
    /// An API key got another secret.
    KeyRotate = "key.rotate";
    /// An API key was revoked.
    KeyRevoke = "key.revoke";
    /// A webhook was made.
    WebhookCreate = "webhook.create";
    /// A webhook was changed, paused or resumed.
    WebhookUpdate = "webhook.update";
    /// A webhook got another secret.
    WebhookRotate = "webhook.rotate";
    /// A webhook was deleted.
    WebhookDelete = "webhook.delete";
    /// Policies of limits were set.
    PoliciesSet = "policies.set";
    /// Policies of limits that were set were taken back.
    PoliciesUnset = "policies.unset";
    /// Policies of limits were read again, because a file changed.
    PoliciesReload = "policies.reload";
    /// Somebody signed in to the dashboard, or tried.
    SessionBegin = "session.begin";
    /// Somebody signed out.
    SessionEnd = "session.end";
    /// The server started, with the configuration that it says.
    ServerStart = "server.start";
    /// Schemas were brought up to date from the command line.
    DataMigrate = "data.migrate";
    /// The data was copied.
    DataBackup = "data.backup";
    /// The data was put back from a copy.
    DataRestore = "data.restore";
}

/// A text that names neither an action nor a group of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no action: use one such as link.create, or all of a kind, such as link")]
pub struct UnknownAction(String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.iter().copied();
        all.find(|action| action.as_str() == text)
            .ok_or_else(|| UnknownAction(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One action, or all that are done to one kind of thing: `link.create`, or `link`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(String);

impl Group {
    /// Whether the action is among these.
    #[must_use]
    pub fn has(&self, action: Action) -> bool {
        let rest = action.as_str().strip_prefix(&self.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Group {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let group = Self(text.to_owned());
        if !text.is_empty() && Action::ALL.iter().any(|action| group.has(*action)) {
            return Ok(group);
        }
        Err(UnknownAction(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_groups_hold_whole_words() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
            let group: Group = action.as_str().parse().unwrap();
            let held = Action::ALL.iter().filter(|other| group.has(**other));
            assert_eq!(held.count(), 1);
        }
        let links: Group = "link".parse().unwrap();
        assert!(links.has(Action::LinkDelete) && !links.has(Action::KeyCreate));
        for bad in ["", "lin", "link.", "links", "link.create.x", "*"] {
            assert!(bad.parse::<Group>().is_err(), "{bad:?}");
        }
    }
}

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use tollgate_clock::UnixMillis;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A link was made.
    LinkCreated,
    /// A link was edited.
    LinkUpdated,
    /// A link was deleted, by somebody or because it had expired.
    LinkDeleted,
    /// A link has passed its `expires_at`.
    LinkExpired,
    /// A link has as many clicks as a subscription waits for.
    LinkThreshold,
    /// Somebody tries whether messages arrive. Sent on demand to one subscription, whatever it wants.
    Ping,
}

/// A text that names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no event: use link.created, link.updated, link.deleted, link.expired or \
     link.threshold"
)]
pub struct UnknownEvent(String);

impl EventKind {
    /// All that can be subscribed to.
    pub const ALL: [Self; 5] = [
        Self::LinkCreated,
        Self::LinkUpdated,
        Self::LinkDeleted,
        Self::LinkExpired,
        Self::LinkThreshold,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkCreated => "link.created",
            Self::LinkUpdated => "link.updated",
            Self::LinkDeleted => "link.deleted",
            Self::LinkExpired => "link.expired",
            Self::LinkThreshold => "link.threshold",
            Self::Ping => "ping",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|kind| kind.name() == text);
        found.ok_or_else(|| UnknownEvent(text.chars().take(64).collect()))
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The same for the same event, however often it is found: it is queued once.
    pub key: String,
    /// The host of the link; empty for the default domain.
    pub domain: String,
    /// When.
    pub at: UnixMillis,
    /// What there is to say.
    pub data: Value,
}

impl Event {
    /// The body of its message.
    pub(crate) fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            timestamp: UnixMillis,
            data: &'a Value,
        }
        let body = Body {
            r#type: self.kind.name(),
            timestamp: self.at,
            data: &self.data,
        };
        // Strings, a time and JSON: all of it can be written.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for bad in ["", "ping", "link", "LINK.CREATED"] {
            assert!(bad.parse::<EventKind>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_has_type_time_and_data() {
        let event = Event {
            kind: EventKind::LinkCreated,
            key: "created:1".to_owned(),
            domain: String::new(),
            at: UnixMillis::from_millis(1_800_000_000_000),
            data: serde_json::json!({"code": "a"}),
        };
        let body: Value = serde_json::from_str(&event.body()).unwrap();
        let wanted = serde_json::json!({
            "type": "link.created",
            "timestamp": "2027-01-15T08:00:00Z",
            "data": {"code": "a"},
        });
        assert_eq!(body, wanted);
    }
}

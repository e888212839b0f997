use std::collections::BTreeSet;

use tollgate_clock::UnixMillis;
use url::Url;

use crate::EventKind;

const MAX_URL_CHARS: usize = 2_048;
const MAX_THRESHOLDS: usize = 20;
const MAX_DESCRIPTION_CHARS: usize = 200;

/// Who wants to be told of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its identifier: `wh_` and 32 hexadecimal digits.
    pub id: String,
    /// What it wants.
    pub draft: Draft,
    /// Nothing is queued and nothing is sent while it is paused.
    pub paused: bool,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// What a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    url: Url,
    events: BTreeSet<EventKind>,
    thresholds: BTreeSet<u64>,
    domain: Option<String>,
    description: String,
}

/// What is wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DraftError {
    /// Which field.
    pub field: &'static str,
    /// Why.
    pub reason: String,
}

impl Draft {
    /// A draft for links of all domains, or of one (empty for the default one).
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new(
        url: &str,
        events: BTreeSet<EventKind>,
        thresholds: BTreeSet<u64>,
        domain: Option<String>,
        description: String,
    ) -> Result<Self, DraftError> {
        let wrong = |field, reason: &str| DraftError {
            field,
            reason: reason.to_owned(),
        };
        let url = read_url(url).map_err(|reason| wrong("url", reason))?;
        if events.is_empty() {
            return Err(wrong("events", "name at least one event"));
        }
        let wants_thresholds = events.contains(&EventKind::LinkThreshold);
        if wants_thresholds == thresholds.is_empty() {
            let reason = "give the numbers of clicks to be told of, and the event link.threshold";
            return Err(wrong("thresholds", reason));
        }
        if thresholds.contains(&0) || thresholds.len() > MAX_THRESHOLDS {
            return Err(wrong("thresholds", "give 1 to 20 numbers above 0"));
        }
        if thresholds.last() > Some(&(i64::MAX as u64)) {
            return Err(wrong("thresholds", "no link has so many clicks"));
        }
        if description.chars().count() > MAX_DESCRIPTION_CHARS {
            return Err(wrong("description", "it has at most 200 characters"));
        }
        Ok(Self {
            url,
            events,
            thresholds,
            domain,
            description,
        })
    }

    /// Where messages go: `http` or `https`.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Of what.
    #[must_use]
    pub const fn events(&self) -> &BTreeSet<EventKind> {
        &self.events
    }

    /// At how many clicks of a link.
    #[must_use]
    pub const fn thresholds(&self) -> &BTreeSet<u64> {
        &self.thresholds
    }

    /// Of links of which host; of all if none.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// For people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

fn read_url(text: &str) -> Result<Url, &'static str> {
    if text.chars().count() > MAX_URL_CHARS {
        return Err("it has at most 2048 characters");
    }
    let mut url = Url::parse(text).map_err(|_| "give a URL such as https://example.com/hook")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("use https, or http");
    }
    // The WHATWG standard gives these schemes a host always.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name and a password are not sent: leave them out");
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(url: &str, events: &[EventKind], thresholds: &[u64]) -> Result<Draft, DraftError> {
        Draft::new(
            url,
            events.iter().copied().collect(),
            thresholds.iter().copied().collect(),
            None,
            String::new(),
        )
    }

    #[test]
    fn what_is_wrong_is_named() {
        use EventKind::{LinkCreated, LinkThreshold};
        let url = "https://example.com/hook";
        for (field, result) in [
            ("url", draft("", &[LinkCreated], &[])),
            ("url", draft("ftp://example.com/", &[LinkCreated], &[])),
            (
                "url",
                draft("https://a:b@example.com/", &[LinkCreated], &[]),
            ),
            ("url", draft("/hook", &[LinkCreated], &[])),
            ("events", draft(url, &[], &[])),
            ("thresholds", draft(url, &[LinkThreshold], &[])),
            ("thresholds", draft(url, &[LinkCreated], &[5])),
            ("thresholds", draft(url, &[LinkThreshold], &[0, 5])),
            ("thresholds", draft(url, &[LinkThreshold], &[u64::MAX])),
        ] {
            assert_eq!(result.unwrap_err().field, field);
        }
        let good = draft(&format!("{url}#part"), &[LinkCreated], &[]).unwrap();
        assert_eq!(good.url().as_str(), url);
    }
}

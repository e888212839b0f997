use std::time::Duration;

use crate::{MAX_WINDOW, MIN_WINDOW, Quota, QuotaError};

/// One key and value of a descriptor, such as `remote_address` and `192.0.2.7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What kind of thing.
    pub key: String,
    /// Which one.
    pub value: String,
}

impl Entry {
    /// An entry of this key and value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// What a request is, in one respect: it is counted against at most one rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// From the general to the particular.
    pub entries: Vec<Entry>,
    /// How much it takes here, if not as much as the request says; 0 peeks.
    pub hits: Option<u64>,
    /// A limit that the request brings itself. It takes the place of any rule, if the domain is
    /// known.
    pub limit: Option<Allowance>,
}

impl Descriptor {
    /// A descriptor of these keys and values, without hits and a limit of its own.
    pub fn of<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            entries: entries
                .into_iter()
                .map(|(key, value)| Entry::new(key, value))
                .collect(),
            hits: None,
            limit: None,
        }
    }
}

/// So many requests a window; unlike a [`Quota`], also none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// No request, ever. The window is only what is shown.
    Nothing(Duration),
    /// As many as the quota.
    Quota(Quota),
}

impl Allowance {
    /// `requests` each `window`; 0 is [`Allowance::Nothing`].
    ///
    /// # Errors
    /// [`QuotaError::Limit`] or [`QuotaError::Window`] out of range.
    pub fn new(requests: u64, window: Duration) -> Result<Self, QuotaError> {
        match requests {
            0 if (MIN_WINDOW..=MAX_WINDOW).contains(&window) => Ok(Self::Nothing(window)),
            0 => Err(QuotaError::Window(window)),
            _ => Quota::new(requests, window).map(Self::Quota),
        }
    }

    /// Requests per window.
    #[must_use]
    pub const fn requests(self) -> u64 {
        match self {
            Self::Nothing(_) => 0,
            Self::Quota(quota) => quota.limit(),
        }
    }

    /// The window.
    #[must_use]
    pub const fn window(self) -> Duration {
        match self {
            Self::Nothing(window) => window,
            Self::Quota(quota) => quota.window(),
        }
    }
}

impl From<Quota> for Allowance {
    fn from(quota: Quota) -> Self {
        Self::Quota(quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_at_all_is_an_allowance_of_a_valid_window() {
        let minute = Duration::from_secs(60);
        let none = Allowance::new(0, minute).unwrap();
        assert_eq!((none.requests(), none.window()), (0, minute));
        let some = Allowance::new(3, minute).unwrap();
        assert_eq!(some, Quota::per_minute(3).unwrap().into());
        assert_eq!((some.requests(), some.window()), (3, minute));
        for requests in [0, 1] {
            assert_eq!(
                Allowance::new(requests, Duration::ZERO),
                Err(QuotaError::Window(Duration::ZERO))
            );
        }
    }
}

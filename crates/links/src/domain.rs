use std::fmt;
use std::sync::Arc;

/// The host a link lives on. The empty domain is the default one, that of `links.base_url`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(
    // No allocation and no shared counter for the default domain: every redirect makes one.
    Option<Arc<str>>,
);

/// A text that is no host name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a host name: {0:?} (write it like go.example.com, without scheme, port or path)")]
pub struct DomainError(String);

impl Domain {
    /// The default domain.
    #[must_use]
    pub const fn default_domain() -> Self {
        Self(None)
    }

    /// Parses a host name: IDN is turned into its ASCII form, case is folded.
    ///
    /// # Errors
    /// When the text is not a DNS name or IP address.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let refuse = || DomainError(text.chars().take(128).collect());
        match url::Host::parse(text.trim_end_matches('.')) {
            Ok(host) => Ok(Self::from_stored(&host.to_string())),
            Err(_) => Err(refuse()),
        }
    }

    /// From text a store wrote, which was valid when it was written.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self((!text.is_empty()).then(|| Arc::from(text)))
    }

    /// The host name; empty for the default domain.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether this is the default domain.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_idn_becomes_ascii() {
        assert_eq!(
            Domain::parse("Go.Example.COM.").unwrap().as_str(),
            "go.example.com"
        );
        assert_eq!(
            Domain::parse("bücher.example").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
        for bad in ["", "http://a.example", "a.example/x", "a example", "a:80"] {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
    }
}

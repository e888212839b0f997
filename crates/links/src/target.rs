use std::fmt;

use crate::Domain;

/// The longest target URL, in bytes, as given and as normalised.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Where a link leads: a URL in the normal form of the WHATWG URL standard, ASCII only, so that it
/// can stand in a `Location` header as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl(Box<str>);

/// Why a text cannot be a target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Over [`MAX_TARGET_BYTES`].
    #[error("a target URL has at most {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// Control characters, which URL parsers would silently drop.
    #[error("a target URL cannot hold control characters")]
    ControlCharacter,
    /// The WHATWG parser refused it.
    #[error("not a URL: {0}")]
    Malformed(url::ParseError),
    /// A scheme that is not allowed here.
    #[error("the scheme {0:?} is not allowed")]
    Scheme(String),
    /// `user:password@host`.
    #[error("a target URL cannot hold a user name or password")]
    Credentials,
    /// It points back at one of our own short domains.
    #[error("the target would lead back to this service")]
    Loop,
}

/// What targets are allowed; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct TargetRules {
    /// Allowed schemes, lower case.
    pub schemes: Vec<String>,
    /// Whether `user:password@` may stand in a target.
    pub allow_credentials: bool,
    /// Hosts that are this service itself. A port is compared where one is given.
    pub own_hosts: Vec<(Domain, Option<u16>)>,
}

impl TargetUrl {
    /// From text a store wrote.
    #[must_use]
    pub fn from_stored(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The URL in normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! What of an HTTP request is counted by: the same for every front end, and for access logs.

use std::fmt::Write as _;

use http::HeaderName;
use sha2::{Digest as _, Sha256};

use crate::policy::{Descriptor, Entry};

/// The longest value that is counted by, in bytes; what is longer is cut.
pub const MAX_VALUE_BYTES: usize = 1024;

/// What of a request a descriptor counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `remote_address`: the client's.
    RemoteAddress,
    /// `method`
    Method,
    /// `host`
    Host,
    /// `path`: without the query.
    Path,
    /// `api_key`: a hash of the token of `Authorization: Bearer`, or of `X-Api-Key`.
    ApiKey,
    /// `header:NAME`
    Header(HeaderName),
}

impl Attribute {
    /// Reads an attribute as the configuration and queries write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "remote_address" => Self::RemoteAddress,
            "method" => Self::Method,
            "host" => Self::Host,
            "path" => Self::Path,
            "api_key" => Self::ApiKey,
            _ => Self::header(text.strip_prefix("header:")?)?,
        })
    }

    /// Reads several attributes joined by `+`: those of one descriptor.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse_joined(text: &str) -> Result<Vec<Self>, NoAttribute> {
        text.split('+')
            .map(|name| Self::parse(name).ok_or_else(|| NoAttribute(name.to_owned())))
            .collect()
    }

    /// Writes attributes as [`Attribute::parse_joined`] reads them.
    #[must_use]
    pub fn join(by: &[Self]) -> String {
        let names = by.iter().map(|attribute| match attribute {
            Self::Header(name) => format!("header:{name}"),
            other => other.key().to_owned(),
        });
        names.collect::<Vec<_>>().join("+")
    }

    /// The header of this name; none if that is no name of a header.
    #[must_use]
    pub fn header(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::Header)
    }

    /// The descriptor of these attributes with their values; none if the request lacks one of them.
    pub fn descriptor(by: &[Self], value: impl Fn(&Self) -> Option<String>) -> Option<Descriptor> {
        let entries = by.iter().map(|attribute| {
            let mut value = value(attribute)?;
            value.truncate(cut(&value).len());
            Some(Entry::new(attribute.key(), value))
        });
        Some(Descriptor {
            entries: entries.collect::<Option<_>>()?,
            ..Descriptor::default()
        })
    }

    /// The key of its entries.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::RemoteAddress => "remote_address",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::ApiKey => "api_key",
            Self::Header(name) => name.as_str(),
        }
    }
}

/// What is nothing to count by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing to count by: write remote_address, method, host, path, api_key or header:NAME, or \
     several joined by +"
)]
pub struct NoAttribute(String);

/// As much of a value as is counted by: up to [`MAX_VALUE_BYTES`] of it.
#[must_use]
pub fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_VALUE_BYTES)]
}

/// A secret is counted by, and shown, without being kept: 16 digits of its SHA-256.
#[must_use]
pub fn digest(secret: &[u8]) -> String {
    let mut text = String::with_capacity(16);
    for byte in &Sha256::digest(secret)[..8] {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_attributes_are_written_as_they_are_read() {
        for text in ["remote_address", "host+path", "api_key+header:x-tenant"] {
            assert_eq!(
                Attribute::join(&Attribute::parse_joined(text).unwrap()),
                text
            );
        }
        let error = Attribute::parse_joined("host+user").unwrap_err();
        assert_eq!(error, NoAttribute("user".to_owned()));
    }

    #[test]
    fn attributes_are_read_as_they_are_written() {
        for name in ["remote_address", "method", "host", "path", "api_key"] {
            assert_eq!(Attribute::parse(name).unwrap().key(), name);
        }
        let header = Attribute::parse("header:X-Tenant").unwrap();
        assert_eq!(header.key(), "x-tenant");
        for wrong in ["", "user", "header:", "header:a b"] {
            assert_eq!(Attribute::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = format!("/{}", "ä".repeat(MAX_VALUE_BYTES));
        let descriptor = Attribute::descriptor(&[Attribute::Path], |_| Some(long.clone())).unwrap();
        assert_eq!(descriptor.entries[0].value.len(), MAX_VALUE_BYTES - 1);
    }

    #[test]
    fn a_digest_is_the_beginning_of_its_sha_256() {
        assert_eq!(digest(b"secret"), "2bb80d537b1da3e3");
    }
}
